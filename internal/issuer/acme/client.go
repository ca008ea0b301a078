package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

const (
	requestTimeout  = 30 * time.Second
	maxResponse     = 1 << 20
	maxConnections  = 16
	maxNonceRetries = 200
)

// errBadNonce stands for the CA's badNonce answer (RFC 8555 §6.5). It keeps
// lego from its own sleeping retry: call asks again at once.
var errBadNonce = errors.New("the CA did not accept the nonce")

// client is the connection to one CA that all orders share: connections, the
// directory and unused nonces.
type client struct {
	directoryURL string
	http         *http.Client

	mu        sync.Mutex
	nonces    []string
	directory []byte // the directory's JSON once fetched
}

// newClient trusts the system's roots and those of bundle (PEM, may be empty).
func newClient(directoryURL string, bundle []byte) (*client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(bundle) > 0 && !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the CA bundle holds no certificate in PEM")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     maxConnections,
		MaxIdleConnsPerHost: maxConnections,
		IdleConnTimeout:     30 * time.Second,
	}
	return &client{directoryURL: directoryURL, http: &http.Client{Transport: transport, Timeout: requestTimeout}}, nil
}

// session is lego's API bound to one context and one account.
type session struct {
	*api.Core
	ctx    context.Context //nolint:containedctx // lego's API takes no context: a session lives for one step.
	client *client

	mu         sync.Mutex
	retryAfter map[string]time.Duration
}

// open starts a session. The directory is fetched once for all sessions.
func (c *client) open(ctx context.Context, accountURL string, key crypto.Signer) (*session, error) {
	s := &session{ctx: ctx, client: c, retryAfter: map[string]time.Duration{}}
	core, err := api.New(&http.Client{Transport: s}, "terraform-provider-certificate", c.directoryURL, accountURL, key)
	if err != nil {
		return nil, fmt.Errorf("reach the CA at %s: %w", c.directoryURL, adviseReach(err))
	}
	s.Core = core
	return s, nil
}

// call runs one of lego's requests and repeats it at once for as long as the CA
// rejects the nonce.
func call[T any](s *session, request func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		result, err := request()
		if ended := s.ctx.Err(); ended != nil && err != nil && !errors.Is(err, ended) {
			return result, fmt.Errorf("%w: %w", ended, err) // not all of lego's errors wrap
		}
		if !errors.Is(err, errBadNonce) || attempt == maxNonceRetries {
			return result, err
		}
	}
}

// RoundTrip implements http.RoundTripper: it binds the request to the session's
// context, answers from the shared directory and nonces where it can, and reads
// the body whole so that connections are used again.
func (s *session) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet && request.URL.String() == s.client.directoryURL {
		body, err := s.client.fetchDirectory(s.ctx)
		if err != nil {
			return nil, err
		}
		return reply(request, answer{code: http.StatusOK, status: "200 OK", header: http.Header{"Content-Type": {"application/json"}}, body: body}), nil
	}
	if request.Method == http.MethodHead {
		if nonce := s.client.takeNonce(); nonce != "" {
			return reply(request, answer{code: http.StatusOK, status: "200 OK", header: http.Header{"Replay-Nonce": {nonce}}}), nil
		}
	}
	got, err := s.client.do(request.WithContext(s.ctx))
	if err != nil {
		return nil, err
	}
	if request.Method != http.MethodHead {
		// lego's own store would keep the nonce for this session alone.
		s.client.putNonce(got.header.Get("Replay-Nonce"))
		got.header.Del("Replay-Nonce")
	}
	if got.code == http.StatusBadRequest && problemType(got.body) == acme.BadNonceErr {
		return nil, errBadNonce
	}
	s.keepRetryAfter(request.URL.String(), got.header.Get("Retry-After"))
	return reply(request, got), nil
}

// answer is a response whose body was read whole.
type answer struct {
	code   int
	status string
	header http.Header
	body   []byte
}

func (c *client) do(request *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(request.Context(), requestTimeout)
	defer cancel()
	response, err := c.http.Transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer of %s: %w", request.URL, err)
	}
	return answer{response.StatusCode, response.Status, response.Header, body}, nil
}

// unavailableError is the answer of a CA that does not show its directory.
type unavailableError struct {
	status string
	wait   time.Duration // how long it asks to be left alone, 0 when it does not
	at     time.Time
}

func (e *unavailableError) Error() string {
	return "the CA answers " + e.status + retryHint(e.wait, e.at)
}

// fetchDirectory returns the directory's JSON (RFC 8555 §7.1.1), from memory
// once it was fetched.
func (c *client) fetchDirectory(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	known := c.directory
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.directoryURL, nil)
	if err != nil {
		return nil, err
	}
	got, err := c.do(request)
	if err != nil {
		return nil, err
	}
	if got.code != http.StatusOK {
		now := time.Now()
		wait, _ := parseRetryAfter(got.header.Get("Retry-After"), now)
		return nil, &unavailableError{status: got.status, wait: wait, at: now}
	}
	var directory acme.Directory
	if err := json.Unmarshal(got.body, &directory); err != nil || directory.NewOrderURL == "" {
		return nil, errors.New("this is no ACME directory")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.directory = got.body
	return got.body, nil
}

func (c *client) takeNonce() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nonces) == 0 {
		return ""
	}
	nonce := c.nonces[len(c.nonces)-1]
	c.nonces = c.nonces[:len(c.nonces)-1]
	return nonce
}

func (c *client) putNonce(nonce string) {
	if nonce == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nonces = append(c.nonces, nonce)
}

func (s *session) keepRetryAfter(url, header string) {
	wait, ok := parseRetryAfter(header, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		s.retryAfter[url] = wait
	} else {
		delete(s.retryAfter, url)
	}
}

func (s *session) retryAfterOf(url string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retryAfter[url]
}

// reply is an answer in the form lego reads it.
func reply(request *http.Request, a answer) *http.Response {
	return &http.Response{
		StatusCode: a.code, Status: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Request: request, ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
	}
}

func problemType(body []byte) string {
	var problem acme.ProblemDetails
	if json.Unmarshal(body, &problem) != nil {
		return ""
	}
	return problem.Type
}
