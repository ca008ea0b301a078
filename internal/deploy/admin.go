package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/icholy/digest"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Admin is the HTTP interface by which a server is administered.
type Admin struct {
	URL      string // http or https, without a path unless the server is below one
	Username string
	Password secret.Text
	CABundle []byte // PEM, to trust besides the system's roots
}

// ErrAdmin says that a server's administration did not do what it was asked for.
var ErrAdmin = errors.New("the server's administration refused")

const (
	adminTimeout = time.Minute
	maxAnswer    = 1 << 20
)

// check refuses an interface that cannot be used as given.
func (a Admin) check() error {
	u, err := url.Parse(a.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("%q is no http or https URL of an administration, such as http://127.0.0.1:8080", a.URL)
	}
	if len(a.CABundle) > 0 && !x509.NewCertPool().AppendCertsFromPEM(a.CABundle) {
		return errors.New("the CA bundle of the administration holds no certificate in PEM")
	}
	return nil
}

// client speaks to the interface from the machine where the transport can
// connect from there, else from here. Redirects are not followed: they lead to a
// login page.
func (a Admin) client(machine transport.Transport, withDigest bool) *http.Client {
	dial := new(net.Dialer).DialContext
	if dialer, ok := machine.(transport.Dialer); ok {
		dial = func(ctx context.Context, _, address string) (net.Conn, error) { return dialer.Dial(ctx, address) }
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(a.CABundle)
	var round http.RoundTripper = &http.Transport{
		DialContext: dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	if withDigest {
		round = &digest.Transport{Username: a.Username, Password: a.Password.Reveal(), Transport: round}
	}
	return &http.Client{Transport: round, Timeout: adminTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// request is one question to an administration.
type request struct {
	method, path string
	header       map[string]string
	body         []byte
	digest       bool // digest authentication (RFC 7616) instead of basic
}

// ask sends a request and returns the body of an answer with a good status.
// Errors carry the server's own words.
func (a Admin) ask(ctx context.Context, machine transport.Transport, r request) (string, error) {
	target := strings.TrimSuffix(a.URL, "/") + r.path
	question, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return "", err
	}
	for name, value := range r.header {
		question.Header.Set(name, value)
	}
	if !r.digest {
		question.SetBasicAuth(a.Username, a.Password.Reveal())
	}
	answer, err := a.client(machine, r.digest).Do(question)
	if err != nil {
		return "", fmt.Errorf("ask the administration: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", target, err)
	}
	text := withoutKeys(string(body))
	switch {
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return "", fmt.Errorf("%w: %s answers %s: check user name, password and the roles of the user", ErrAdmin, target, answer.Status)
	case answer.StatusCode >= 300:
		return "", fmt.Errorf("%w: %s answers %s: %s", ErrAdmin, target, answer.Status, abridged(text))
	}
	return text, nil
}

// abridged is the beginning of a long answer.
func abridged(text string) string {
	const most = 500
	text = strings.TrimSpace(text)
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
