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
	"sync/atomic"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

const (
	requestTimeout = 30 * time.Second
	maxResponse    = 1 << 20
	// maxConnections is also the most requests at once, which HTTP/2 sends over
	// one connection: CAs limit both.
	maxConnections = 16
	userAgent      = "terraform-provider-certificate"
)

var (
	// errBadNonce stands for the CA's badNonce answer (RFC 8555 §6.5). It keeps
	// lego from its own sleeping retry: call asks again at once.
	errBadNonce    = errors.New("the CA did not accept the nonce")
	errNoDirectory = errors.New("this is no ACME directory")
)

// client is the connection to one CA that all orders share: connections, the
// directory and unused nonces.
type client struct {
	directoryURL string
	http         *http.Client
	slots        chan struct{} // one for each request that is on its way

	mu        sync.Mutex
	nonces    []string
	directory []byte    // the directory's JSON once fetched
	silent    time.Time // since when every request failed; zero while some do not
	ahead     *time.Duration
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
	return &client{
		directoryURL: directoryURL, http: &http.Client{Transport: transport, Timeout: requestTimeout},
		slots: make(chan struct{}, maxConnections),
	}, nil
}

// session is lego's API bound to one context and one account.
type session struct {
	*api.Core
	ctx    context.Context //nolint:containedctx // lego's API takes no context: a session lives for one step.
	client *client

	refused atomic.Bool // the CA may not have known the account's key

	mu         sync.Mutex
	retryAfter map[string]time.Duration
	reserved   []string // nonces for the requests that are about to be made
}

// open starts a session. The directory is fetched once for all sessions.
func (c *client) open(ctx context.Context, accountURL string, key crypto.Signer) (*session, error) {
	s := &session{ctx: ctx, client: c, retryAfter: map[string]time.Duration{}}
	if _, err := repeat(s, lost, func() ([]byte, error) { return c.fetchDirectory(ctx) }); err != nil {
		return nil, fmt.Errorf("reach the CA at %s: %w", c.directoryURL, adviseReach(err))
	}
	core, err := api.New(&http.Client{Transport: s}, userAgent, c.directoryURL, accountURL, key)
	if err != nil {
		return nil, fmt.Errorf("reach the CA at %s: %w", c.directoryURL, err)
	}
	s.Core = core
	return s, nil
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
		if nonce := s.takeNonce(); nonce != "" {
			return reply(request, answer{code: http.StatusOK, status: "200 OK", header: http.Header{"Replay-Nonce": {nonce}}}), nil
		}
	}
	got, err := s.client.do(request.WithContext(s.ctx), requestTimeout)
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
	if kind := problemType(got.body); kind == problemMalformed || kind == problemUnauthorized || kind == problemNoAccount {
		s.refused.Store(true)
	}
	s.keepRetryAfter(request.URL.String(), got.header.Get("Retry-After"))
	if (got.code >= http.StatusInternalServerError || got.code == http.StatusTooManyRequests) && problemType(got.body) == "" {
		return nil, newStatusError(got) // a proxy's page, which lego would quote whole
	}
	return reply(request, got), nil
}

// answer is a response whose body was read whole.
type answer struct {
	code   int
	status string
	header http.Header
	body   []byte
}

// do sends a request once and notes whether the CA does its work.
func (c *client) do(request *http.Request, timeout time.Duration) (answer, error) {
	begun := time.Now()
	got, err := c.send(request, timeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	// A cache would tell the time of long ago.
	if date, dateErr := http.ParseTime(got.header.Get("Date")); dateErr == nil && got.header.Get("Age") == "" && request.Method != http.MethodGet {
		ahead := date.Sub(begun)
		c.ahead = &ahead
	}
	switch {
	case err == nil && (judgeStatus(got.code) == lasting || got.code == http.StatusTooManyRequests):
		c.silent = time.Time{}
	case c.silent.IsZero() && request.Context().Err() == nil:
		c.silent = begun
	}
	return got, err
}

// patienceEnds is when the CA has been failing all requests for too long.
func (c *client) patienceEnds() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent.IsZero() {
		return time.Now().Add(patience)
	}
	return c.silent.Add(patience)
}

// send sends a request once, when it is its turn.
func (c *client) send(request *http.Request, timeout time.Duration) (answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-request.Context().Done():
		return answer{}, connectionError{request.Context().Err()}
	}
	ctx, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	response, err := c.http.Transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return answer{}, connectionError{err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return answer{}, connectionError{fmt.Errorf("read the answer of %s: %w", request.URL, err)}
	}
	return answer{response.StatusCode, response.Status, response.Header, body}, nil
}

func newStatusError(got answer) *statusError {
	wait, _ := parseRetryAfter(got.header.Get("Retry-After"), time.Now())
	return &statusError{status: got.status, code: got.code, wait: wait}
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
	timeout := requestTimeout
	if c.patienceEnds().Before(time.Now()) {
		timeout = patience // many orders may be waiting for their turn to fail
	}
	got, err := c.do(request, timeout)
	if err != nil {
		return nil, err
	}
	if got.code != http.StatusOK {
		return nil, newStatusError(got)
	}
	var directory acme.Directory
	if err := json.Unmarshal(got.body, &directory); err != nil || directory.NewOrderURL == "" {
		return nil, errNoDirectory
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.directory = got.body
	return got.body, nil
}

// reserveNonce sets a nonce aside for the next request, fetching one (RFC 8555
// §7.2) where none is left. lego would fetch it too, and not tell why it could
// not.
func (s *session) reserveNonce() error {
	nonce := s.client.takeNonce()
	if nonce == "" {
		request, err := http.NewRequestWithContext(s.ctx, http.MethodHead, s.GetDirectory().NewNonceURL, nil)
		if err != nil {
			return err
		}
		got, err := s.client.do(request, requestTimeout)
		if err != nil {
			return err
		}
		if nonce = got.header.Get("Replay-Nonce"); nonce == "" {
			return newStatusError(got)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved = append(s.reserved, nonce)
	return nil
}

// takeNonce returns a nonce that was set aside, or any; empty when there is
// none.
func (s *session) takeNonce() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.reserved) - 1; last >= 0 {
		nonce := s.reserved[last]
		s.reserved = s.reserved[:last]
		return nonce
	}
	return s.client.takeNonce()
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
