package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// What can go wrong on the way to a machine.
var (
	ErrUnreachable = errors.New("the host cannot be reached")
	ErrConnection  = errors.New("the connection was lost")
	ErrBastion     = errors.New("bastion") // and which; with what is wrong there
)

// Hop is one machine that speaks SSH, and how to get in.
type Hop struct {
	Address     string // host or host:port; default port 22
	User        string
	Trust       HostTrust
	Credentials Credentials
}

// hop is a Hop that was read.
type hop struct {
	address     string // with port
	user        string
	trust       trust
	credentials Credentials
	signers     []ssh.Signer
}

func (h Hop) parse() (hop, error) {
	read := hop{user: h.User, credentials: h.Credentials}
	var problems []error
	var err error
	if read.address, err = withPort(h.Address, "22"); err != nil {
		problems = append(problems, err)
	}
	if h.User == "" {
		problems = append(problems, errors.New("the user to log in as is empty"))
	}
	if h.Credentials.empty() {
		problems = append(problems, errors.New("there is nothing to log in with: set a private key or a password, or start an agent (SSH_AUTH_SOCK)"))
	}
	if read.trust, err = h.Trust.parse(); err != nil {
		problems = append(problems, err)
	}
	if read.signers, err = h.Credentials.signers(); err != nil {
		problems = append(problems, err)
	}
	return read, errors.Join(problems...)
}

// withPort completes an address.
func withPort(address, port string) (string, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	switch {
	case address == "":
		return "", errors.New("the address is empty")
	case net.ParseIP(bare) != nil || !strings.Contains(address, ":"):
		return net.JoinHostPort(bare, port), nil
	}
	host, own, err := net.SplitHostPort(address)
	if err != nil || host == "" || own == "" {
		return "", fmt.Errorf("%q is no host or host:port", address)
	}
	return address, nil
}

// link is one connection to a machine, with those to the bastions before it.
type link struct {
	client  *ssh.Client
	clients []*ssh.Client // all, from the first bastion on
	gone    chan struct{} // closed when the connection is
	silent  atomic.Bool   // it was given up because nothing answered
	turns   chan struct{} // one for each channel that is open
}

// maxChannels stays below the ten sessions that sshd allows on a connection.
const maxChannels = 6

// dialAll connects to each hop through the one before it.
func dialAll(ctx context.Context, hops []hop, timeout, keepAlive time.Duration) (*link, error) {
	l := &link{gone: make(chan struct{}), turns: make(chan struct{}, maxChannels)}
	dial := new(net.Dialer).DialContext
	for i, h := range hops {
		client, err := connect(ctx, dial, h, timeout)
		if err != nil {
			l.close()
			if i < len(hops)-1 {
				err = fmt.Errorf("%w %d of %d: %w", ErrBastion, i+1, len(hops)-1, err)
			}
			return nil, err
		}
		l.clients = append(l.clients, client)
		l.client, dial = client, client.DialContext
	}
	go func() {
		_ = l.client.Wait() // the reason is in the errors of those who used it
		close(l.gone)
		l.close()
	}()
	go l.keepAlive(keepAlive)
	return l, nil
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// connect reaches one machine, makes sure that it is the right one and logs in.
func connect(ctx context.Context, dial dialer, h hop, timeout time.Duration) (*ssh.Client, error) {
	var problems []error
	for _, algorithms := range append(h.trust.algorithms(h.address), defaultAlgorithms()) {
		client, err := handshake(ctx, dial, h, algorithms, timeout)
		if err == nil {
			return client, nil
		}
		// To be shown another key is worth another try, and nothing else.
		var negotiation *ssh.AlgorithmNegotiationError
		if errors.As(err, &negotiation) && strings.Contains(negotiation.What, "host key") {
			continue
		}
		problems = append(problems, err)
		if !errors.Is(err, ErrHostKey) || h.trust.fingerprint == "" {
			break
		}
	}
	if len(problems) == 0 {
		return nil, fmt.Errorf("%w: %s has no host key of a kind that is known here", ErrHostKey, h.address)
	}
	return nil, problems[0]
}

func handshake(ctx context.Context, dial dialer, h hop, algorithms []string, timeout time.Duration) (*ssh.Client, error) {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := dial(within, "tcp", h.address)
	if err != nil {
		return nil, unreachable(ctx, h, timeout, err)
	}
	l := &login{credentials: h.credentials, signers: h.signers}
	defer l.close()
	var refused error
	verified := false
	config := &ssh.ClientConfig{
		User: h.user, Auth: l.methods(within), HostKeyAlgorithms: slices.Clone(algorithms),
		HostKeyCallback: func(dialed string, remote net.Addr, key ssh.PublicKey) error {
			refused = h.trust.check(h.address)(dialed, remote, key)
			verified = refused == nil
			return refused
		},
	}
	// The handshake knows no context: closing the connection ends it.
	stop := context.AfterFunc(within, func() { _ = raw.Close() })
	connection, channels, requests, err := ssh.NewClientConn(raw, h.address, config)
	if !stop() && err == nil { // it ended, and so did the connection
		err = within.Err()
	}
	if err == nil {
		return ssh.NewClient(connection, channels, requests), nil
	}
	_ = raw.Close() // of no use without the handshake
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case refused != nil:
		return nil, refused
	case within.Err() != nil:
		return nil, unreachable(ctx, h, timeout, within.Err())
	case verified && !errors.As(err, &negotiation):
		return nil, l.explain(h.user, h.address, err)
	}
	return nil, unreachable(ctx, h, timeout, err)
}

// unreachable says why a machine could not be talked to.
func unreachable(ctx context.Context, h hop, timeout time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("connect to %s: %w", h.address, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, net.ErrClosed):
		return fmt.Errorf("%w: %s did not answer within %s (connect_timeout)", ErrUnreachable, h.address, timeout)
	}
	return fmt.Errorf("%w: connect to %s: %w", ErrUnreachable, h.address, err)
}

// keepAlive asks the machine for a sign of life and gives the connection up when
// none comes: a network that swallows packets says nothing by itself.
func (l *link) keepAlive(interval time.Duration) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-timer.C:
		}
		answered := make(chan struct{})
		go func() {
			// That the request is refused is an answer too.
			_, _, _ = l.client.SendRequest("keepalive@openssh.com", true, nil)
			close(answered)
		}()
		timer.Reset(interval)
		select {
		case <-answered:
			timer.Reset(interval)
		case <-l.gone:
			return
		case <-timer.C:
			l.silent.Store(true)
			l.close()
			return
		}
	}
}

// lost reports whether the connection is gone.
func (l *link) lost() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// why describes a connection that is gone.
func (l *link) why() error {
	if l.silent.Load() {
		return fmt.Errorf("%w: the host did not answer any more", ErrConnection)
	}
	return ErrConnection
}

// blame gives the loss of the connection as the reason where it is the reason;
// its channels learn of it a moment earlier.
func (l *link) blame(ctx context.Context, otherwise error) error {
	wait(ctx, l.gone, patience)
	if l.lost() {
		return l.why()
	}
	return otherwise
}

// close gives up all connections, the machine's own first.
func (l *link) close() {
	for _, client := range slices.Backward(l.clients) {
		_ = client.Close() // closing twice is no harm, and nothing is lost
	}
}
