package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// WinRMOptions describe a Windows that is reached by WinRM over HTTPS.
type WinRMOptions struct {
	Address    string // host or host:port; default port 5986
	User       string // name, DOMAIN\name or name@domain
	Password   secret.Text
	NTLM       bool   // else basic authentication, which Windows allows for local accounts only
	CABundle   []byte // PEM; default: the system's
	ServerName string // name in the server's certificate; default: the host of Address

	ConnectTimeout time.Duration // default 15 s
	CommandTimeout time.Duration // for each operation; default 5 min
}

// The sizes are those that every WinRM takes: requests of 150 KiB, which is
// 153600 bytes with content in base64.
const (
	envelopeSize = 153600
	inputSize    = 64 << 10
	// pollTimeout is how long the service waits for output before it says that
	// there is none. It answers within that time.
	pollTimeout = 20 * time.Second
	replySlack  = 15 * time.Second
)

// winRM speaks the WS-Management shell protocol (MS-WSMV 3.1.4.1.13). One shell
// serves all commands of a connection.
type winRM struct {
	lanes    *lanes
	url      string
	user     string
	password secret.Text

	mu    sync.Mutex
	shell string
}

// NewWinRM reads the options. It does not connect.
func NewWinRM(options WinRMOptions) (*Windows, error) {
	address, err := withPort(options.Address, "5986")
	problems := []error{err}
	if options.User == "" {
		problems = append(problems, errors.New("the user to log in as is empty"))
	}
	if options.Password.IsEmpty() {
		problems = append(problems, errors.New("the password is empty"))
	}
	config := &tls.Config{ServerName: options.ServerName, MinVersion: tls.VersionTLS12}
	if len(options.CABundle) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(options.CABundle) {
			problems = append(problems, errors.New("the CA bundle has no certificate in PEM"))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	w := &winRM{
		lanes: newLanes(config, cmp.Or(options.ConnectTimeout, defaultConnectTimeout), options.NTLM),
		url:   "https://" + address + "/wsman", user: options.User, password: options.Password,
	}
	return &Windows{w, cmp.Or(options.CommandTimeout, defaultCommandTimeout)}, nil
}

// errNoShell is a shell that the service has forgotten.
var errNoShell = errors.New("the shell on the host is gone")

// command runs a line and waits for it.
func (w *winRM) command(ctx context.Context, j job) (ended, error) {
	shell, id, err := w.start(ctx, j.line)
	if err != nil {
		return ended{}, err
	}
	result, err := w.converse(ctx, shell, id, j)
	// The signal ends a command that runs and clears up after one that does not.
	// What may outlive it is looked for after that.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	_, signalled := w.post(within, terminate(shell, id))
	if err != nil && ctx.Err() != nil && j.kill != nil {
		j.kill(context.WithoutCancel(ctx))
	}
	if err == nil && signalled != nil && !errors.Is(signalled, errNoShell) {
		w.forget(shell) // whatever is wrong with it, the command is over
	}
	return result, err
}

// start begins a command, in a new shell where the old one is gone.
func (w *winRM) start(ctx context.Context, line string) (shell, id string, err error) {
	for first := true; ; first = false {
		if shell, err = w.open(ctx); err != nil {
			return "", "", err
		}
		answer, err := w.post(ctx, execute(shell, line))
		if errors.Is(err, errNoShell) && first {
			w.forget(shell)
			continue
		}
		if err == nil && answer.Command == "" {
			err = errNoNumber
		}
		if err != nil {
			return "", "", fmt.Errorf("start a command: %w", err)
		}
		return shell, answer.Command, nil
	}
}

// open returns the shell, a new one where there is none.
func (w *winRM) open(ctx context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shell != "" {
		return w.shell, nil
	}
	answer, err := w.post(ctx, openShell())
	if err == nil && answer.Shell == "" {
		err = errNoNumber
	}
	if err != nil {
		return "", fmt.Errorf("open a shell on the host: %w", err)
	}
	w.shell = answer.Shell
	return w.shell, nil
}

func (w *winRM) forget(shell string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shell == shell {
		w.shell = ""
	}
}

// converse sends the input and collects the output.
func (w *winRM) converse(ctx context.Context, shell, id string, j job) (ended, error) {
	out, errs := j.captures()
	for rest := j.stdin; ; {
		part := rest[:min(len(rest), inputSize)]
		rest = rest[len(part):]
		if _, err := w.post(ctx, sendInput(shell, id, part, len(rest) == 0)); err != nil {
			return ended{}, fmt.Errorf("send input: %w", err)
		}
		if len(rest) == 0 {
			break
		}
	}
	for {
		answer, err := w.post(ctx, receive(shell, id))
		if errors.Is(err, errNoOutput) {
			continue
		}
		if err != nil {
			return ended{}, fmt.Errorf("receive output: %w", err)
		}
		finished, err := answer.write(out, errs)
		if err != nil {
			return ended{}, fmt.Errorf("receive output: %w", err)
		}
		if finished {
			if err := missing(out, errs); err != nil {
				return ended{}, err
			}
			return ended{out: out.bytes(), errs: errs.bytes(), code: answer.State.ExitCode}, nil
		}
	}
}

// errNoOutput says that a command runs on and has said nothing.
var errNoOutput = errors.New("no output yet")

// post sends one message and returns the answer.
func (w *winRM) post(ctx context.Context, m message) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, strings.NewReader(m.to(w.url)))
	if err != nil {
		return reply{}, fmt.Errorf("write a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	request.SetBasicAuth(w.user, w.password.Reveal())
	client, leave, err := w.lanes.enter(ctx)
	if err != nil {
		return reply{}, err
	}
	defer leave()
	response, err := client.Do(request)
	if err != nil {
		return reply{}, w.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(io.LimitReader(response.Body, 2*envelopeSize+1))
	if err != nil {
		return reply{}, w.unreachable(ctx, err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		r, err := parseReply(text, m.action)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // the answer was cut off
		}
		return r, err
	case http.StatusUnauthorized:
		return reply{}, fmt.Errorf("%w: user %s on %s; the service offers %s", ErrLogin, w.user, w.url, strings.Join(response.Header.Values("Www-Authenticate"), ", "))
	}
	return reply{}, fault(response.Status, text)
}

// unreachable says why there is no answer, without the request.
func (w *winRM) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, errNoNTLM) {
		return fmt.Errorf("%w: user %s on %s: %w", ErrLogin, w.user, w.url, errNoNTLM)
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: %s shows a certificate that is not accepted: %w. Set ca_bundle_pem to the certificate of the CA that issued it", ErrHostKey, w.url, untrusted.Err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, w.url, err)
}

// fault reads why the service did not do what it was asked (SOAP 1.2 §5.4).
func fault(status string, text []byte) error {
	var envelope struct {
		Fault struct {
			Subcode string `xml:"Code>Subcode>Value"`
			Reason  string `xml:"Reason>Text"`
			Detail  struct {
				Code    string `xml:"Code,attr"`
				Message string `xml:"Message"`
			} `xml:"Detail>WSManFault"`
		} `xml:"Body>Fault"`
	}
	// A page of a proxy is no XML; then there is only the status.
	_ = xml.Unmarshal(text, &envelope)
	f := envelope.Fault
	switch code := f.Subcode[strings.LastIndex(f.Subcode, ":")+1:]; {
	case code == "TimedOut" || f.Detail.Code == "2150858793":
		return errNoOutput
	case code == "InvalidSelectors" || f.Detail.Code == "2150858843":
		return errNoShell
	}
	words := strings.TrimSpace(cmp.Or(strings.TrimSpace(f.Detail.Message), strings.TrimSpace(f.Reason)))
	if words == "" {
		return fmt.Errorf("the service answers %s", status)
	}
	return fmt.Errorf("the service answers %s: %s", status, words)
}

// Place implements windowsShell.
func (w *winRM) Place() string { return w.url }

// Close deletes the shell and gives the connection up.
func (w *winRM) Close() error {
	w.mu.Lock()
	shell := w.shell
	w.shell = ""
	w.mu.Unlock()
	if shell != "" {
		ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
		defer cancel()
		// One that stays is deleted by the service after a while.
		_, _ = w.post(ctx, deleteShell(shell))
	}
	w.lanes.close()
	return nil
}
