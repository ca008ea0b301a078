package challenge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	answerTimeout = 10 * time.Second
	maxHeader     = 8 << 10 // bytes
	busyPatience  = 5 * time.Second
	busyPause     = 100 * time.Millisecond
)

// ListenSolver answers challenges itself, at an address of this machine. It
// listens from the first record that is presented to the last one that is
// withdrawn, once for all orders of the process.
type ListenSolver struct {
	kind      string
	attribute string // that has the address
	address   string
	logger    *slog.Logger

	mu        sync.Mutex
	presented map[string]Record // by what the CA asks for
	freed     chan struct{}     // closed when something is withdrawn
	stop      func()            // nil while nothing listens
}

// NewHTTPSolver answers http-01 challenges at an address (RFC 8555 §8.3).
func NewHTTPSolver(address string, logger *slog.Logger) *ListenSolver {
	return newListenSolver(HTTP01, "validation.http_01.listen", address, logger)
}

// NewTLSSolver answers tls-alpn-01 challenges at an address (RFC 8737).
func NewTLSSolver(address string, logger *slog.Logger) *ListenSolver {
	return newListenSolver(TLSALPN01, "validation.tls_alpn_01.listen", address, logger)
}

func newListenSolver(kind, attribute, address string, logger *slog.Logger) *ListenSolver {
	return &ListenSolver{
		kind: kind, attribute: attribute, address: address, logger: logger,
		presented: map[string]Record{}, freed: make(chan struct{}),
	}
}

// Type implements Solver.
func (s *ListenSolver) Type() string { return s.kind }

// Present implements Solver. A handshake names the host and nothing else, so
// where two orders validate one host the second waits for the first. Where the
// address is busy, another configuration of the provider may have it, in a
// process of its own: that is over soon.
func (s *ListenSolver) Present(ctx context.Context, records []Record) error {
	began := time.Now()
	for {
		freed, err := s.tryPresent(ctx, records)
		var again <-chan time.Time
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && time.Since(began) < busyPatience:
			s.logger.DebugContext(ctx, "wait for the address", "address", s.address)
			again = time.After(busyPause)
		case err != nil || freed == nil:
			return err
		}
		select {
		case <-freed:
		case <-again:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s can be answered: %w", s.kind, ctx.Err())
		}
	}
}

// tryPresent presents all records or none. Where a name is taken it returns what
// to wait for before trying again.
func (s *ListenSolver) tryPresent(ctx context.Context, records []Record) (freed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := func(r Record) bool {
		other, ok := s.presented[s.key(r)]
		return ok && other.Value != r.Value
	}
	if slices.ContainsFunc(records, taken) {
		return s.freed, nil
	}
	if s.stop == nil && len(records) > 0 {
		if err := s.listen(ctx); err != nil {
			return nil, err
		}
	}
	for _, r := range records {
		s.presented[s.key(r)] = r
	}
	return nil, nil
}

// Withdraw implements Solver.
func (s *ListenSolver) Withdraw(_ context.Context, records []Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if s.presented[s.key(r)].Value == r.Value {
			delete(s.presented, s.key(r))
		}
	}
	close(s.freed)
	s.freed = make(chan struct{})
	if len(s.presented) == 0 && s.stop != nil {
		s.stop()
		s.stop = nil
	}
	return nil
}

// listen opens the address and serves it.
func (s *ListenSolver) listen(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return s.adviseListen(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serveFile), ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, IdleTimeout: answerTimeout,
		MaxHeaderBytes: maxHeader,
	}
	if s.kind == TLSALPN01 {
		// The handshake is all there is (RFC 8737 §3).
		listener = tls.NewListener(listener, s.tlsConfig())
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){alpnProtocol: func(*http.Server, *tls.Conn, http.Handler) {}}
	}
	s.logger.DebugContext(ctx, "listen for the CA", "type", s.kind, "address", listener.Addr())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Close
	}()
	s.stop = func() {
		_ = server.Close() // what it cuts off is of no use any more
		<-served
		s.logger.Debug("listen no longer", "type", s.kind, "address", s.address)
	}
	return nil
}

// adviseListen says what to do about an address that cannot be opened.
func (s *ListenSolver) adviseListen(err error) error {
	_, port, _ := net.SplitHostPort(s.address)
	advice := fmt.Sprintf("check %s", s.attribute)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && s.kind == HTTP01:
		advice = fmt.Sprintf("another program listens on port %s; have it serve the files with validation.http_01.webroot instead, or have it pass %s on to another address and set %s to that", port, wellKnown, s.attribute)
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf("another program listens on port %s; stop it for the apply, or pass connections for the protocol %s on to another address and set %s to that", port, alpnProtocol, s.attribute)
	case errors.Is(err, syscall.EACCES):
		advice = fmt.Sprintf("this user may not listen on port %s; give the provider the right to (CAP_NET_BIND_SERVICE on Linux), or forward the port to one above 1023 and set %s to that", port, s.attribute)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = fmt.Sprintf("this machine does not have the address; correct %s, or leave the host out to listen on all", s.attribute)
	}
	return fmt.Errorf("listen on %s for the CA's %s validation: %w; %s", s.address, s.kind, err, advice)
}

// key is what the CA asks for: the path of a file or the name of a server.
func (s *ListenSolver) key(r Record) string {
	if s.kind == HTTP01 {
		return r.path()
	}
	return r.Name
}

// at is the record that is presented where the CA asks for a key.
func (s *ListenSolver) at(key string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.presented[key]
	return r, ok
}
