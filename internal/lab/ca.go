package lab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

const renewalInfoPath = "/draft-ietf-acme-ari-03/renewalInfo/"

// CA is Pebble in process, with its requests counted.
type CA struct {
	management http.Handler

	mu          sync.Mutex
	counts      map[string]int
	connections map[net.Conn]bool
	most        int
}

// startCA starts Pebble, which looks records up at the lab's responder or where
// the options say.
func (l *Lab) startCA(context.Context) error {
	// Pebble reads these when it is built: no artificial sleeping, and each
	// order validated anew. It keeps rejecting some good nonces.
	if err := errors.Join(os.Setenv("PEBBLE_VA_NOSLEEP", "1"), os.Setenv("PEBBLE_AUTHZREUSE", "0")); err != nil {
		return fmt.Errorf("prepare Pebble: %w", err)
	}
	life := l.options.CertificateLife
	if life == 0 {
		life = 90 * 24 * time.Hour
	}
	logger, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	authority := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default": {Description: "the lab's only profile", ValidityPeriod: uint64(life / time.Second)},
	})
	validator := va.New(logger, l.HTTPPort, l.TLSPort, false, cmp.Or(l.options.Resolver, l.DNS), store)
	for id, key := range l.options.ExternalAccounts {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			return fmt.Errorf("add external account %s: %w", id, err)
		}
	}
	front := wfe.New(logger, store, validator, authority, []string{"pebble.letsencrypt.org"}, false, len(l.options.ExternalAccounts) > 0, 0, 0)
	l.CA = &CA{management: front.ManagementHandler(), counts: map[string]int{}, connections: map[net.Conn]bool{}}
	l.Roots = authority.GetRootCert(0).PEM()

	handler := l.CA.count(l.pollable(front.Handler()))
	if l.options.Intercept != nil {
		handler = l.options.Intercept(handler)
	}
	identity, err := newIdentity("127.0.0.1")
	if err != nil {
		return err
	}
	l.CABundle = identity.rootPEM
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{identity.pair}, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: l.CA.connState,
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with Close
	l.closers = append(l.closers, server.Close)
	l.DirectoryURL = "https://" + listener.Addr().String() + wfe.DirectoryPath
	return nil
}

// pollable lets clients ask for renewal information as often as they like.
func (l *Lab) pollable(next http.Handler) http.Handler {
	if !l.options.PollSuggestions {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, renewalInfoPath) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(eagerWriter{w}, r)
	})
}

// eagerWriter replaces Retry-After by "at once".
type eagerWriter struct{ http.ResponseWriter }

func (w eagerWriter) WriteHeader(status int) {
	w.Header().Set("Retry-After", "0")
	w.ResponseWriter.WriteHeader(status)
}

func (w eagerWriter) Write(b []byte) (int, error) {
	w.Header().Set("Retry-After", "0")
	return w.ResponseWriter.Write(b)
}

// count counts the requests by the first part of their path, by "issued" the
// finalize requests that were accepted, and by "placed" the new orders that
// were.
func (c *CA) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		c.mu.Lock()
		defer c.mu.Unlock()
		c.counts[kind]++
		switch {
		case kind == "order-plz" && recorder.status == http.StatusCreated:
			c.counts["placed"]++
		case kind == "finalize-order" && recorder.status == http.StatusOK:
			c.counts["issued"]++
		}
	})
}

// connState counts the connections that are open at once.
func (c *CA) connState(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.connections[conn] = true
		c.most = max(c.most, len(c.connections))
	case http.StateClosed, http.StateHijacked:
		delete(c.connections, conn)
	}
}

// Connections returns how many connections to the CA were open at most.
func (c *CA) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Requests returns how many requests the CA has answered, renewal information
// apart, and how many of them asked for renewal information.
func (c *CA) Requests() (requests, suggestions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, n := range c.counts {
		switch kind {
		case "issued", "placed":
		case "draft-ietf-acme-ari-03":
			suggestions += n
		default:
			requests += n
		}
	}
	return requests, suggestions
}

// Count returns how many requests of one kind the CA has answered, by the first
// part of their path: "order-plz", "sign-me-up", … Those whose nonce it rejected
// count too.
func (c *CA) Count(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[kind]
}

// Placed returns how many orders the CA has taken. It is asked more often: now
// and then it does not accept a good nonce.
func (c *CA) Placed() int { return c.Count("placed") }

// Issued returns how many certificates the CA has made.
func (c *CA) Issued() int { return c.Count("issued") }

// SetWindow has the CA suggest a renewal window for a certificate it issued
// (PEM; what follows the first certificate is ignored).
func (c *CA) SetWindow(certificate []byte, start, end time.Time) error {
	answer, err := json.Marshal(map[string]any{
		"suggestedWindow": map[string]time.Time{"start": start.UTC(), "end": end.UTC()},
		"explanationURL":  "https://127.0.0.1/why-renew-now",
	})
	if err != nil {
		return fmt.Errorf("encode the window: %w", err)
	}
	body, err := json.Marshal(map[string]string{"Certificate": string(certificate), "ARIResponse": string(answer)})
	if err != nil {
		return fmt.Errorf("encode the window: %w", err)
	}
	recorder := httptest.NewRecorder()
	request, err := http.NewRequest(http.MethodPost, "/set-renewal-info/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask Pebble: %w", err)
	}
	request.Header.Set("User-Agent", "certificate-lab") // Pebble insists on one
	c.management.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		return fmt.Errorf("the CA does not take the window: %s", recorder.Body)
	}
	return nil
}
