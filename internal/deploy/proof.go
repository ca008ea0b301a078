package deploy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What a handshake can show besides the expected.
var (
	ErrOtherServed     = errors.New("the server serves another certificate")
	ErrIncompleteChain = errors.New("the server does not send the whole chain")
)

// Endpoint is where a server is asked for its certificate.
type Endpoint struct {
	Address    string // host:port
	ServerName string // for SNI; empty or an IP address sends none
}

// Served is what one completed handshake showed.
type Served struct {
	Chain       []*x509.Certificate // as sent, at least the leaf
	Fingerprint string              // of the leaf: SHA-256, lower-case hex
	Version     string              // negotiated protocol, as "TLS 1.3"
}

// Proof says how a served certificate is proven.
type Proof struct {
	Endpoint    Endpoint
	TLCP        bool          // ask by TLCP, as servers with a pair of SM2 speak it
	Consecutive int           // connections in a row; default 3
	Steady      time.Duration // that the row lasts at least; default 250 ms, negative for none
	Timeout     time.Duration // for all of it; default one minute
}

const (
	defaultConsecutive = 3
	defaultSteady      = 250 * time.Millisecond
	defaultTimeout     = time.Minute
	probeTimeout       = 5 * time.Second // one connection
	firstWait          = 5 * time.Millisecond
	longestWait        = 500 * time.Millisecond
	longestRowWait     = 50 * time.Millisecond
)

// Probe is Inspect with little patience, for a server that is known to be near.
func Probe(ctx context.Context, endpoint Endpoint) (Served, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return Inspect(ctx, endpoint)
}

// Inspect makes one new connection, completes the handshake and returns what the
// server sent. Whether to trust that is not its question.
func Inspect(ctx context.Context, endpoint Endpoint) (Served, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", endpoint.Address)
	if err != nil {
		return Served{}, fmt.Errorf("connect to %s: %w", endpoint.Address, err)
	}
	// The deferred close is the last use of a connection that carried no data.
	defer func() { _ = raw.Close() }()
	served, err := inspect(ctx, raw, endpoint.ServerName)
	if err != nil {
		return Served{}, fmt.Errorf("TLS handshake with %s (server name %q): %w", endpoint.Address, endpoint.ServerName, err)
	}
	return served, nil
}

// inspect completes a handshake that accepts every certificate. It looks at what
// is served, expired and self-signed included, and sends nothing over the
// connection afterwards, so no trust is placed in it. The peer's possession of
// the key is verified all the same: the handshake does not complete without it.
func inspect(ctx context.Context, raw net.Conn, serverName string) (Served, error) {
	var served Served
	config := &tls.Config{
		InsecureSkipVerify:     true, //nolint:gosec // inspects and trusts nothing, see above
		ServerName:             serverName,
		MinVersion:             tls.VersionTLS10,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return pki.ErrNoCertificate
			}
			served = Served{state.PeerCertificates, pki.Fingerprint(state.PeerCertificates[0]), tls.VersionName(state.Version)}
			return nil
		},
	}
	if err := tls.Client(raw, config).HandshakeContext(ctx); err != nil {
		return Served{}, err
	}
	return served, nil
}

// Prove connects until want accepts what is served the needed number of times in
// a row, and for as long as Steady says: after a reload nginx has old and new
// workers accept side by side for 0.1 s, in which a short row of the new
// certificate proves nothing. At the deadline its error is the last reason to go
// on; when ctx itself ended, that too.
func Prove(ctx context.Context, proof Proof, want func(Served) error) (Served, error) {
	proof = proof.withDefaults()
	within, cancel := context.WithTimeout(ctx, proof.Timeout)
	defer cancel()
	var last error
	var began time.Time
	wait, row := firstWait, 0
	for {
		served, err := proof.probe(within)
		if err == nil {
			err = want(served)
		}
		switch {
		case err == nil && row == 0:
			row, began, wait = 1, time.Now(), firstWait
		case err == nil:
			row, wait = row+1, min(wait, longestRowWait)
		default:
			row = 0
			if last == nil || within.Err() == nil { // not the deadline's own effect
				last = err
			}
		}
		if row >= proof.Consecutive && time.Since(began) >= proof.Steady {
			return served, nil
		}
		if pause(within, wait) != nil {
			if last == nil {
				last = fmt.Errorf("there was time for %d connections in a row over %s, want %d over %s", row, time.Since(began).Round(time.Millisecond), proof.Consecutive, proof.Steady)
			}
			return Served{}, errors.Join(ctx.Err(), fmt.Errorf("prove what %s serves: %w", proof.Endpoint.Address, last))
		}
		wait = min(2*wait, longestWait)
	}
}

func (p Proof) withDefaults() Proof {
	p.Consecutive = cmp.Or(p.Consecutive, defaultConsecutive)
	p.Steady = cmp.Or(p.Steady, defaultSteady)
	p.Timeout = cmp.Or(p.Timeout, defaultTimeout)
	return p
}

// serves returns the check that a server serves the leaf of chain and sends the
// rest after it. A root at the end may be missing: clients have it.
func serves(endpoint Endpoint, chain []*x509.Certificate) func(Served) error {
	return func(served Served) error {
		if leaf := served.Chain[0]; !leaf.Equal(chain[0]) {
			return fmt.Errorf("%w: %s (server name %q) serves %s; expected fingerprint %s", ErrOtherServed,
				endpoint.Address, endpoint.ServerName, describe(leaf), pki.Fingerprint(chain[0]))
		}
		for i, c := range chain {
			if i < len(served.Chain) && served.Chain[i].Equal(c) {
				continue
			}
			if i > 0 && i == len(chain)-1 && pki.CheckChain([]*x509.Certificate{c}) == nil {
				continue
			}
			return fmt.Errorf("%w: %s (server name %q) sends the expected leaf, but at position %d not the intermediate %q (%d certificates sent)",
				ErrIncompleteChain, endpoint.Address, endpoint.ServerName, i+1, c.Subject, len(served.Chain))
		}
		return nil
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
