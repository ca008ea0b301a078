package acme_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// newRunner prepares orders at a lab's CA, with the provider's own parts.
func newRunner(t testing.TB, l *lab.Lab) *order.Runner {
	t.Helper()
	return newRunnerWith(t, l.StorageDirectory(), config(l), solver(t, l))
}

func newRunnerWith(t testing.TB, storage string, config acme.Config, solver issuer.Solver) *order.Runner {
	t.Helper()
	store, err := custody.Open(custody.Options{Directory: storage})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	opened, err := acme.New(config, store, solver, logger)
	if err != nil {
		t.Fatal(err)
	}
	return &order.Runner{Issuer: opened, Keeper: store, Logger: logger, Now: time.Now}
}

func config(l *lab.Lab) acme.Config {
	return acme.Config{DirectoryURL: l.DirectoryURL, CABundle: string(l.CABundle), TermsOfServiceAgreed: true}
}

func solver(t testing.TB, l *lab.Lab) *challenge.DNSSolver {
	t.Helper()
	publisher, err := challenge.NewResponder(l.ResponderURL, l.ResponderToken)
	if err != nil {
		t.Fatal(err)
	}
	return &challenge.DNSSolver{Publisher: publisher, Resolver: resolver(t, l), Logger: slog.New(slog.DiscardHandler), Patience: 10 * time.Second}
}

func resolver(t testing.TB, l *lab.Lab) *challenge.Resolver {
	t.Helper()
	return &challenge.Resolver{Servers: []string{l.DNS}, AuthoritativePort: int(l.Responder.Addr().Port())}
}

func newLab(t testing.TB, options lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func names(prefix string, count int) []string {
	list := make([]string, count)
	for n := range list {
		list[n] = fmt.Sprintf("%s-%d.example.test", prefix, n)
	}
	return list
}

func wish(names ...string) order.Wish {
	return order.Wish{Intent: order.Intent{Issuer: "lab", Names: names, Algorithm: pki.ECDSAP256}, Wait: time.Minute}
}

// mustRun runs a wish to its certificate.
func mustRun(t testing.TB, r *order.Runner, w order.Wish) order.Journal {
	t.Helper()
	j, _, err := r.Run(t.Context(), w)
	if err != nil || j.Status != order.StatusIssued {
		t.Fatalf("status %s, %v", j.Status, err)
	}
	return j
}

// wantNoRecords fails when a validation record is still published.
func wantNoRecords(t testing.TB, l *lab.Lab, names ...string) {
	t.Helper()
	for _, name := range names {
		values, err := l.Responder.TXT(challenge.Name(strings.TrimPrefix(name, "*.")) + ".")
		if err != nil || len(values) != 0 {
			t.Errorf("%s has still %d records, %v", name, len(values), err)
		}
	}
}

// asked is a request as a gate saw it.
type asked struct {
	kind    string // the first part of its path
	payload map[string]any
	at      time.Time
	status  int // of the answer
}

// gate stands before a lab's CA, notes all requests and lets tests interfere.
type gate struct {
	mu       sync.Mutex
	ca       http.Handler
	requests []asked
	rule     rule
}

// rule may answer a request itself; otherwise it returns false, or calls the CA.
type rule func(w http.ResponseWriter, r *http.Request, kind string) bool

// newGatedLab is a lab behind a gate.
func newGatedLab(t testing.TB) (*lab.Lab, *gate) {
	t.Helper()
	g := &gate{}
	l := newLab(t, lab.Options{Intercept: func(ca http.Handler) http.Handler { g.ca = ca; return g }})
	return l, g
}

func (g *gate) set(r rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = r
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.mu.Lock()
	n, current := len(g.requests), g.rule
	g.requests = append(g.requests, asked{kind: kind, payload: payload(body), at: time.Now()})
	g.mu.Unlock()
	recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	if current == nil || !current(recorder, r, kind) {
		g.ca.ServeHTTP(recorder, r)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests[n].status = recorder.status
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// payload is what a JWS carries.
func payload(body []byte) map[string]any {
	var jws struct{ Payload string }
	if json.Unmarshal(body, &jws) != nil {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil {
		return nil
	}
	var fields map[string]any
	_ = json.Unmarshal(text, &fields) // empty for POST-as-GET
	return fields
}

// of returns the requests of one kind so far.
func (g *gate) of(kind string) []asked {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []asked
	for _, a := range g.requests {
		if a.kind == kind {
			found = append(found, a)
		}
	}
	return found
}

// placed is how many orders the CA has taken.
func (g *gate) placed() int { return g.answered("order-plz", http.StatusCreated) }

// accounts is how many accounts the CA has made.
func (g *gate) accounts() int { return g.answered("sign-me-up", http.StatusCreated) }

// answered is how many requests of a kind were answered with a status: a nonce
// that is rejected makes for one more.
func (g *gate) answered(kind string, status int) int {
	count := 0
	for _, a := range g.of(kind) {
		if a.status == status {
			count++
		}
	}
	return count
}

// answer has the CA answer a request and returns that instead of sending it.
func (g *gate) answer(r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	g.ca.ServeHTTP(recorder, r)
	return recorder
}

// send sends an answer, with another body where one is given.
func send(w http.ResponseWriter, answer *httptest.ResponseRecorder, body []byte) {
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	if body == nil {
		body = answer.Body.Bytes()
	}
	_, _ = w.Write(body)
}

// nonce is a fresh one that the CA will accept.
func (g *gate) nonce(r *http.Request) string {
	request := r.Clone(r.Context())
	request.Method, request.URL.Path, request.Body = http.MethodHead, "/nonce-plz", http.NoBody
	return g.answer(request).Header().Get("Replay-Nonce")
}

// refuse answers with a problem document.
func (g *gate) refuse(w http.ResponseWriter, r *http.Request, status int, problem, detail string) {
	w.Header().Set("Replay-Nonce", g.nonce(r))
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, problem, detail, status)
}

// first is true the first n times it is called.
func first(n int) func() bool {
	var mu sync.Mutex
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		n--
		return n >= 0
	}
}
