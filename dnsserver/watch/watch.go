// Package watch looks at certificates that servers use, and tells people in
// time that one of them has not been renewed: by webhook, by mail and as
// metrics.
//
// It renews nothing and judges no chain; what it knows is the expiry. Its
// invariant: of one certificate each stage is told once to each channel, across
// restarts, and a stage that could not be told is told later.
package watch

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Times of the watcher.
const (
	dialTimeout  = 10 * time.Second
	tellTimeout  = 30 * time.Second
	DefaultEvery = time.Hour
	retryEvery   = time.Minute // after something could not be told
)

// Endpoint is one server to look at.
type Endpoint struct {
	Name       string // how people know it
	Address    string // host:port, TLS from the first byte
	ServerName string // of the handshake; "" means the host of Address
	WindowDays int    // how long before the expiry it is to be renewed; 0 goes by the certificate's life
}

// Documents keep what was told across restarts.
type Documents interface {
	Document(key string) (value []byte, ok bool, err error)
	PutDocument(ctx context.Context, key string, value []byte) error
}

// Channel is a way to tell people.
type Channel interface {
	Name() string // stays the same across restarts
	Tell(ctx context.Context, n Notice) error
}

// Notice is what people are told, and the JSON body of a webhook.
type Notice struct {
	ID          string    `json:"id"` // the same when it is told again
	Stage       string    `json:"stage"`
	Name        string    `json:"name"` // of the endpoint
	Endpoint    string    `json:"endpoint"`
	Subject     string    `json:"subject"`
	Names       []string  `json:"names"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint_sha256"`
	NotAfter    time.Time `json:"not_after"`
	Left        int       `json:"days_left"` // whole days, less than 0 after the expiry
	Unreachable string    `json:"unreachable,omitempty"`
}

// Config is what a Watcher does.
type Config struct {
	Endpoints []Endpoint
	Channels  []Channel
	Place     *time.Location // of calendar days; nil means UTC
	Every     time.Duration  // how often to look; 0 means DefaultEvery
	Now       func() time.Time
	Log       *slog.Logger
}

// Watcher looks at endpoints. Make it with New.
type Watcher struct {
	docs Documents

	mu     sync.Mutex // guards what follows
	config Config
	states map[string]*state
	wake   chan struct{}
}

// state is what is known of one endpoint, and its document.
type state struct {
	Certificate certificate         `json:"certificate"`
	Told        map[string][]string `json:"told"` // channel to stages
	fault       string              // why it could not be looked at this time
	loaded      bool
}

// certificate is what is kept of one.
type certificate struct {
	Fingerprint string    `json:"fingerprint_sha256"`
	Serial      string    `json:"serial"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
}

// New makes a Watcher that does nothing before Run.
func New(config Config, docs Documents) *Watcher {
	w := &Watcher{docs: docs, states: map[string]*state{}, wake: make(chan struct{}, 1)}
	w.Use(config)
	return w
}

// Use puts another Config into force and has it looked at now.
func (w *Watcher) Use(config Config) {
	if config.Place == nil {
		config.Place = time.UTC
	}
	if config.Every == 0 {
		config.Every = DefaultEvery
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.config = config
	for name := range w.states {
		if !slices.ContainsFunc(config.Endpoints, func(e Endpoint) bool { return e.Name == name }) {
			delete(w.states, name)
		}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run looks and tells until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		next := w.settings().Every
		if !w.Look(ctx) {
			next = min(next, retryEvery)
		}
		timer.Reset(next)
	}
}

func (w *Watcher) settings() Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.config
}

// Look looks at every endpoint once and tells what is to be told. It reports
// false when something could not be told.
func (w *Watcher) Look(ctx context.Context) bool {
	config := w.settings()
	var all sync.WaitGroup
	results := make([]bool, len(config.Endpoints))
	places := make(chan struct{}, 8) // how many at once
	for i, e := range config.Endpoints {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			results[i] = w.lookAt(ctx, config, e)
		})
	}
	all.Wait()
	return !slices.Contains(results, false)
}

func (w *Watcher) lookAt(ctx context.Context, config Config, e Endpoint) bool {
	log := config.Log.With("watch", e.Name, "endpoint", e.Address)
	s, err := w.known(e.Name)
	if err != nil {
		log.Error("what was told before cannot be read, so nothing is told now", "error", err)
		return false
	}
	seen, err := observe(ctx, e)
	if ctx.Err() != nil {
		return true
	}
	s.fault = ""
	if err != nil {
		s.fault = err.Error()
		log.Warn("the certificate cannot be looked at", "error", err)
	} else if seen.Fingerprint != s.Certificate.Fingerprint {
		s.Certificate, s.Told = seen, map[string][]string{}
	}
	defer w.keep(e.Name, s)
	if s.Certificate.Fingerprint == "" {
		return true
	}
	c := s.Certificate
	name := reached(stages(c.NotBefore, c.NotAfter, e.WindowDays, config.Place), config.Now())
	if name == "" {
		return true
	}
	if err := w.join(e.Name, s); err != nil {
		log.Error("what other servers told cannot be read, so nothing is told now", "error", err)
		return false
	}
	done := true
	for _, channel := range config.Channels {
		if slices.Contains(s.Told[channel.Name()], name) {
			continue
		}
		if err := tell(ctx, channel, notice(e, s, name, config.Now())); err != nil {
			log.Error("people could not be told, it is tried again", "stage", name, "channel", channel.Name(), "error", err)
			done = false
			continue
		}
		log.Info("told that a certificate is not renewed", "stage", name, "channel", channel.Name(), "not_after", c.NotAfter)
		s.Told[channel.Name()] = append(s.Told[channel.Name()], name)
		if err := w.remember(context.WithoutCancel(ctx), e.Name, s); err != nil {
			log.Error("that people were told cannot be kept; after a restart they would be told again", "error", err)
			done = false
		}
	}
	return done
}

// known is the state of an endpoint: of this process, else of the documents.
// What is returned is the caller's until keep.
func (w *Watcher) known(name string) (state, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.states[name]; s != nil && s.loaded {
		next := *s
		next.Told = map[string][]string{}
		for channel, told := range s.Told {
			next.Told[channel] = slices.Clone(told)
		}
		return next, nil
	}
	s, err := w.read(name)
	s.loaded = true
	return s, err
}

// read is the state of an endpoint as its document has it.
func (w *Watcher) read(name string) (state, error) {
	var s state
	text, ok, err := w.docs.Document(key(name))
	if err == nil && ok {
		if err = json.Unmarshal(text, &s); err != nil {
			err = fmt.Errorf("read document %s: %w", key(name), err)
		}
	}
	if s.Told == nil {
		s.Told = map[string][]string{}
	}
	return s, err
}

// join adds what was told meanwhile of the same certificate: by another server
// that has the same documents.
func (w *Watcher) join(name string, s state) error {
	kept, err := w.read(name)
	if err != nil || kept.Certificate.Fingerprint != s.Certificate.Fingerprint {
		return err
	}
	for channel, told := range kept.Told {
		for _, stage := range told {
			if !slices.Contains(s.Told[channel], stage) {
				s.Told[channel] = append(s.Told[channel], stage)
			}
		}
	}
	return nil
}

func (w *Watcher) keep(name string, s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[name] = &s
}

func (w *Watcher) remember(ctx context.Context, name string, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return w.docs.PutDocument(context.WithoutCancel(ctx), key(name), text)
}

func key(name string) string { return "watch/" + name }

func tell(ctx context.Context, channel Channel, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	return channel.Tell(ctx, n)
}

func notice(e Endpoint, s state, stage string, now time.Time) Notice {
	c := s.Certificate
	sum := sha256.Sum256([]byte(e.Name + "\x00" + c.Fingerprint + "\x00" + stage))
	left := c.NotAfter.Sub(now)
	days := int(left / day)
	if left < 0 {
		days--
	}
	return Notice{
		ID: hex.EncodeToString(sum[:16]), Stage: stage, Name: e.Name, Endpoint: e.Address, Subject: c.Subject, Names: c.Names,
		Issuer: c.Issuer, Serial: c.Serial, Fingerprint: c.Fingerprint, NotAfter: c.NotAfter, Left: days, Unreachable: s.fault,
	}
}

// observe shakes hands and returns the leaf. No data is sent over the
// connection, and an expired or foreign certificate is what is looked for, so
// nothing is verified.
func observe(ctx context.Context, e Endpoint) (certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	serverName := e.ServerName
	if serverName == "" {
		host, _, err := net.SplitHostPort(e.Address)
		if err != nil {
			return certificate{}, err
		}
		serverName = host
	}
	dialer := tls.Dialer{Config: &tls.Config{ServerName: serverName, InsecureSkipVerify: true}} //nolint:gosec // see above
	conn, err := dialer.DialContext(ctx, "tcp", e.Address)
	if err != nil {
		return certificate{}, fmt.Errorf("look at %s: %w", e.Address, err)
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	over, ok := conn.(*tls.Conn)
	if !ok || len(over.ConnectionState().PeerCertificates) == 0 {
		return certificate{}, fmt.Errorf("look at %s: it showed no certificate", e.Address)
	}
	return read(over.ConnectionState().PeerCertificates[0]), nil
}

func read(c *x509.Certificate) certificate {
	sum := sha256.Sum256(c.Raw)
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return certificate{
		Fingerprint: hex.EncodeToString(sum[:]), Serial: fmt.Sprintf("%x", c.SerialNumber), Subject: c.Subject.String(),
		Issuer: c.Issuer.String(), Names: names, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
}
