package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// Server answers DNS queries and takes changes. Make it with New; several in
// one process do not disturb each other.
type Server struct {
	zones         map[string]*zone
	settings      atomic.Pointer[settings]
	store         Store
	shared        Shared // the store, if it is shared; else nil
	log           *slog.Logger
	idleTimeout   atomic.Int64 // nanoseconds
	reloading     sync.Mutex
	replies       Config // what the policy was made of; guarded by reloading
	conns         *connections
	taps          taps
	queries       *queryLog
	history       *history
	counters      counters
	storageFault  atomic.Bool   // the last change could not be stored
	accounts      atomic.Int64  // how many there are
	updatesOf     quotas        // by account
	registrations quotas        // by client
	bcrypting     chan struct{} // has room for one
	checking      chan struct{} // has room for as many checks of delegations as run at once
	verified      verifications
	sessions      sessions
	logins        quotas // by client
	pages         func() (*template.Template, error)
	dial          func(netip.Addr) netip.AddrPort // where tests have the world's name servers; nil is the world
	moreMetrics   []func(*metric.Writer)
	since         time.Time // when it was made
	policy        atomic.Pointer[policy]
	signing       DNSSEC // guarded by reloading
	replays       *replays
	journals      journals
	transfers     chan struct{} // has room for as many as go on at once
	followers     followers
	copiers       copiers
	updating      atomic.Int64 // updates over UDP that are being made
	warnings      quotas       // by client, of what strangers do wrong

	view    atomic.Pointer[view] // nil until the records are loaded: SERVFAIL
	updates chan update
	clock   clock

	// The writer's alone:
	expiries  expiries
	unsaved   []Document        // serials that could not be stored at the start
	served    map[string]uint32 // serials of zones of which the store, put back, has older ones
	different map[string]bool   // "zone server" of those that have another configuration
	stop      chan struct{}     // closed when no further change is taken
	running   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	started   bool
	cancel    context.CancelFunc
	endpoints []endpoint
	inherited map[netip.AddrPort]endpoint
	tlsConfig *tls.Config // nil: no DNS over TLS
	tlsAddrs  []string

	tlsListeners []*net.TCPListener
	// background ends with Shutdown; nil before Start.
	background context.Context //nolint:containedctx // followers that a reload adds need it
}

// New checks the Config and makes a Server that serves nothing yet. Its error
// joins one *ConfigError for each problem. A nil logger discards. The server
// never closes the store.
func New(config Config, store Store, logger *slog.Logger) (*Server, error) {
	zones, tokens, problems := config.compile()
	if err := joined(problems); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		zones: zones, store: store, log: logger,
		conns: newConnections(
			orDefault(config.MaxConnections, DefaultMaxConnections),
			orDefault(config.MaxPerClient, DefaultMaxPerClient)),
		updates:   make(chan update),
		clock:     systemClock(),
		stop:      make(chan struct{}),
		queries:   newQueryLog(config.QueryLog),
		history:   newHistory(config.QueryLog),
		since:     time.Now(),
		bcrypting: make(chan struct{}, 1),
		checking:  make(chan struct{}, 8),
		transfers: make(chan struct{}, maxTransfers),
		pages:     pages(),
	}
	s.shared, _ = store.(Shared)
	s.different, s.served = map[string]bool{}, map[string]uint32{}
	s.idleTimeout.Store(int64(orDefault(config.IdleTimeout, DefaultIdleTimeout)))
	s.replays = newReplays(s.since, maxReplays)
	s.replies, s.signing = config, config.DNSSEC
	s.policy.Store(config.policy())
	s.settings.Store(newSettings(config, tokens))
	return s, nil
}

// Start listens over UDP and TCP on every address, such as 127.0.0.1:0 or
// [::1]:53, and loads the records from the store; until they are loaded every
// answer is SERVFAIL. With port 0 the kernel picks one that is free for both.
// When Start returns nil the server serves until Shutdown; ctx bounds Start
// only. After an error nothing listens. A Server starts once.
func (s *Server) Start(ctx context.Context, addrs ...string) error {
	background, err := s.begin(ctx, addrs)
	if err != nil {
		return err
	}
	v, err := s.load(ctx)
	if err == nil {
		err = s.activate(background, v)
	}
	if err == nil {
		err = s.beginKeys(ctx, background)
	}
	if err != nil {
		return errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	}
	return nil
}

// activate puts the first view into force and takes changes.
func (s *Server) activate(background context.Context, v *view) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if background.Err() != nil {
		return ErrStopped
	}
	s.view.Store(v)
	s.background = background
	s.running.Go(s.write)
	s.useFollowers(background, s.settings.Load().following)
	s.useCopiers(background, s.settings.Load().primaries)
	return nil
}

// begin opens the sockets and starts what answers queries. The context it
// returns ends with Shutdown.
func (s *Server) begin(ctx context.Context, addrs []string) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil, errors.New("start: the server was started before; make another with New")
	}
	s.started = true
	err := s.openTLS(ctx)
	var conns []datagrams
	if err == nil {
		conns, err = s.open(ctx, addrs)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeSockets())
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	for _, c := range conns {
		s.running.Go(func() { s.serveUDP(background, c, s.taps.add(overUDP, s.queries)) })
	}
	for _, e := range s.endpoints {
		s.running.Go(func() { s.serveTCP(background, e.tcp, s.taps.add(overTCP, s.queries)) })
	}
	for _, l := range s.tlsListeners {
		s.running.Go(func() { s.serveTCP(background, l, s.taps.add(overTLS, s.queries)) })
	}
	return background, nil
}

// open opens the sockets. Of what it returns each wants a goroutine.
func (s *Server) open(ctx context.Context, addrs []string) ([]datagrams, error) {
	if len(addrs) == 0 {
		return nil, errors.New("start: there is no address to listen on")
	}
	var conns []datagrams
	for _, text := range addrs {
		addr, err := parseListen(text)
		if err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
		e, there, err := s.inheritedAt(addr)
		if err == nil && !there {
			e, err = listen(ctx, addr)
		}
		if err != nil {
			return nil, fmt.Errorf("listen for DNS on %s: %w", addr, err)
		}
		s.endpoints = append(s.endpoints, e)
		for i := range processors() {
			c, err := newDatagrams(e.udp[i%len(e.udp)], addr.Addr())
			if err != nil {
				return nil, fmt.Errorf("listen for DNS on %s: learn where each query was sent: %w", addr, err)
			}
			conns = append(conns, c)
		}
	}
	if err := s.unused(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return conns, nil
}

// Addr is the first address the server listens on, with its real port; the
// zero AddrPort before Start.
func (s *Server) Addr() netip.AddrPort {
	if addrs := s.Addrs(); len(addrs) > 0 {
		return addrs[0]
	}
	return netip.AddrPort{}
}

// Addrs are all addresses the server listens on, in the order given to Start.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]netip.AddrPort, len(s.endpoints))
	for i, e := range s.endpoints {
		addrs[i] = e.addr
	}
	return addrs
}

// Shutdown takes no further change or query, finishes those in hand and closes
// the sockets. When ctx ends first it cuts off the clients that are still
// connected and returns ctx's error. The store may be closed after it returns
// nil. Without Start, and a second time, it does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.cancel = nil
	close(s.stop)
	for _, e := range s.endpoints {
		for _, udp := range e.udp {
			_ = udp.SetReadDeadline(time.Unix(1, 0)) // ends the read; a reply in hand still leaves
		}
		_ = e.tcp.Close() // ends the accept
	}
	for _, l := range s.tlsListeners {
		_ = l.Close() // ends the accept
	}
	s.conns.interrupt()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		s.conns.closeAll()
		err = fmt.Errorf("shut down: %w", ctx.Err())
	}
	return errors.Join(err, s.closeSockets())
}

// closeSockets closes what is open. A listener that Shutdown closed before is
// no error.
func (s *Server) closeSockets() error {
	var errs []error
	for _, e := range s.endpoints {
		if err := e.close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, l := range s.tlsListeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// logQuery says who asked what and what they got.
func (s *Server) logQuery(ctx context.Context, transport string, client netip.AddrPort, msg []byte, r reply) {
	if !s.settings.Load().logQueries || !r.query.asked {
		return
	}
	q, _ := readQuery(msg) // whatever came before the fault
	s.log.LogAttrs(ctx, slog.LevelInfo, "query",
		slog.String("client", client.String()), slog.String("transport", transport),
		slog.String("name", q.question.name),
		slog.String("type", dns.Type(q.question.rrtype).String()),
		slog.String("rcode", dns.RcodeToString[r.rcode]))
}
