package acme_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

func TestNonce_rejectedNineTimesOutOfTen(t *testing.T) {
	l, g := newGatedLab(t)
	var count atomic.Int64
	g.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Method != http.MethodPost || count.Add(1)%10 == 0 {
			return false
		}
		g.refuse(w, r, http.StatusBadRequest, "badNonce", "try again")
		return true
	})
	mustRun(t, newRunner(t, l), wish("www.example.test"))
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}

// cutAfter ends the connection instead of sending the first good answer to a
// kind of request.
func (g *gate) cutAfter(cut string) {
	once := first(1)
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind != cut {
			return false
		}
		answer := g.answer(r)
		if answer.Code < http.StatusBadRequest && once() {
			panic(http.ErrAbortHandler)
		}
		send(w, answer, nil)
		return true
	})
}

// An answer that is lost is asked for again, in the same run; what was asked is
// done once.
func TestIssue_lostAnswers(t *testing.T) {
	for _, kind := range []string{"dir", "nonce-plz", "sign-me-up", "authZ", "chalZ", "my-order", "finalize-order", "certZ"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			g.cutAfter(kind)
			mustRun(t, newRunner(t, l), wish("www.example.test"))
			if g.placed() != 1 || l.CA.Issued() != 1 {
				t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
			}
			wantNoRecords(t, l, "www.example.test")
		})
	}
}

// The answer to a new order cannot be asked for again: the run ends, and no
// other order is placed in it.
func TestPlace_lostAnswerEndsTheRun(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	g.cutAfter("order-plz")
	j, _, err := newRunner(t, l).Run(t.Context(), wish("www.example.test"))
	if !errors.Is(err, order.ErrUnavailable) || j.OrderID != "" || g.placed() != 0 { // the lost one does not count
		t.Errorf("order %q, %d more placed, %v, want %v and no other", j.OrderID, g.placed(), err, order.ErrUnavailable)
	}
	mustRun(t, newRunner(t, l), wish("www.example.test"))
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}

// dyingIssuer ends its run, as a killed process does, before its nth step.
type dyingIssuer struct {
	order.Issuer
	left int
}

func (d *dyingIssuer) Step(ctx context.Context, j order.Journal) (order.Journal, error) {
	if d.left == 0 {
		runtime.Goexit()
	}
	d.left--
	return d.Issuer.Step(ctx, j)
}

func TestIssue_killedBetweenSteps(t *testing.T) {
	l, g := newGatedLab(t)
	for n := range 7 {
		name := fmt.Sprintf("killed-%d.example.test", n)
		var wait sync.WaitGroup
		wait.Go(func() {
			runner := newRunner(t, l)
			runner.Issuer = &dyingIssuer{runner.Issuer, n}
			_, _, _ = runner.Run(t.Context(), wish(name))
		})
		wait.Wait()
		mustRun(t, newRunner(t, l), wish(name))
		wantNoRecords(t, l, name)
		if g.placed() != n+1 || l.CA.Issued() != n+1 {
			t.Fatalf("killed before step %d: %d orders and %d certificates, want %d", n, g.placed(), l.CA.Issued(), n+1)
		}
	}
}

// liar publishes another value than the CA wants and claims that all is well.
type liar struct{ *challenge.DNSSolver }

func wrong(records []challenge.Record) []challenge.Record {
	var changed []challenge.Record
	for _, r := range records {
		r.Value = "wrong-" + r.Value
		changed = append(changed, r)
	}
	return changed
}

func (s liar) Present(ctx context.Context, records []challenge.Record) error {
	return s.DNSSolver.Present(ctx, wrong(records))
}

func (s liar) Withdraw(ctx context.Context, records []challenge.Record) error {
	return s.DNSSolver.Withdraw(ctx, wrong(records))
}

func TestIssue_failedValidation(t *testing.T) {
	l, g := newGatedLab(t)
	runner := newRunnerWith(t, l.StorageDirectory(), config(l), liar{solver(t, l)})
	failed, _, err := runner.Run(t.Context(), wish("good.example.test", "www.example.test"))
	if !errors.Is(err, order.ErrRejected) {
		t.Fatalf("%v, want %v", err, order.ErrRejected)
	}
	for _, part := range []string{"www.example.test", "unauthorized", "Correct value not found"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want %q in it", err, part)
		}
	}
	wantNoRecords(t, l, "good.example.test", "www.example.test")
	j := mustRun(t, newRunner(t, l), wish("good.example.test", "www.example.test"))
	if j.OrderID == failed.OrderID || j.KeyID != failed.KeyID || j.Lineage != failed.Lineage {
		t.Errorf("order %s, key %s, want a new order with the key %s", j.OrderID, j.KeyID, failed.KeyID)
	}
	if g.placed() != 2 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 2 and 1", g.placed(), l.CA.Issued())
	}
}

func TestPlace_refusedNamesTheReason(t *testing.T) {
	l, g := newGatedLab(t)
	once := first(1)
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind == "order-plz" && once() {
			g.refuse(w, r, http.StatusForbidden, "rejectedIdentifier", "we do not like this name")
			return true
		}
		return false
	})
	_, _, err := newRunner(t, l).Run(t.Context(), wish("www.example.test"))
	if !errors.Is(err, order.ErrRejected) || !strings.Contains(err.Error(), "we do not like this name") {
		t.Errorf("%v, want %v with the CA's words", err, order.ErrRejected)
	}
	mustRun(t, newRunner(t, l), wish("www.example.test"))
}

func TestRateLimit_saysUntilWhen(t *testing.T) {
	for sentence, test := range map[string]struct {
		status     int
		problem    string
		retryAfter string
		until      time.Time
	}{
		"seconds":                    {http.StatusTooManyRequests, "rateLimited", "7200", time.Now().Add(2 * time.Hour)},
		"a date":                     {http.StatusTooManyRequests, "rateLimited", "Fri, 01 Jan 2100 12:00:00 GMT", time.Date(2100, 1, 1, 12, 0, 0, 0, time.UTC)},
		"a CA under repair":          {http.StatusServiceUnavailable, "serverInternal", "7200", time.Now().Add(2 * time.Hour)},
		"a limit without an end":     {http.StatusTooManyRequests, "rateLimited", "", time.Time{}},
		"an end that makes no sense": {http.StatusTooManyRequests, "rateLimited", "soon", time.Time{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			l, g := newGatedLab(t)
			once := first(1)
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "order-plz" && once() {
					w.Header().Set("Retry-After", test.retryAfter)
					g.refuse(w, r, test.status, test.problem, "slow down")
					return true
				}
				return false
			})
			begun := time.Now()
			_, _, err := newRunner(t, l).Run(t.Context(), wish("www.example.test"))
			if time.Since(begun) > 10*time.Second {
				t.Error("it waited")
			}
			if err == nil || errors.Is(err, order.ErrRejected) || !strings.Contains(err.Error(), "slow down") {
				t.Errorf("%v, want the CA's words in it", err)
			}
			wantUntil(t, err, test.until)
			mustRun(t, newRunner(t, l), wish("www.example.test"))
			if g.placed() != 1 {
				t.Errorf("%d orders, want 1", g.placed())
			}
		})
	}
}

// wantUntil fails unless an error says until when to wait; zero: it does not.
func wantUntil(t *testing.T, err error, want time.Time) {
	t.Helper()
	_, rest, found := strings.Cut(fmt.Sprint(err), ", until ")
	if want.IsZero() {
		if found {
			t.Errorf("%v, want no time in it", err)
		}
		return
	}
	text, _, _ := strings.Cut(rest, ")")
	got, parseErr := time.Parse("2006-01-02 15:04:05 MST", text)
	if parseErr != nil || got.Sub(want).Abs() > time.Minute {
		t.Errorf("%v, want it to say until %s", err, want)
	}
}

func TestDirectory_unavailable(t *testing.T) {
	l, g := newGatedLab(t)
	runner := newRunner(t, l)
	g.set(func(w http.ResponseWriter, _ *http.Request, kind string) bool {
		if kind != "dir" {
			return false
		}
		w.Header().Set("Retry-After", "7200")
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	_, _, err := runner.Run(t.Context(), wish("www.example.test"))
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), l.DirectoryURL) {
		t.Errorf("%v, want 503 and the URL in it", err)
	}
	wantUntil(t, err, time.Now().Add(2*time.Hour))
	g.set(nil)
	mustRun(t, runner, wish("www.example.test")) // the failure is not remembered
}

func TestContext_endsEveryRequest(t *testing.T) {
	for _, held := range []string{"dir", "nonce-plz", "sign-me-up", "order-plz", "authZ", "chalZ", "my-order", "finalize-order", "certZ"} {
		t.Run(held, func(t *testing.T) {
			l, g := newGatedLab(t)
			arrived := make(chan struct{}, 100)
			g.set(func(_ http.ResponseWriter, r *http.Request, kind string) bool {
				if kind != held {
					return false
				}
				arrived <- struct{}{}
				<-r.Context().Done()
				return true
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			runner := newRunner(t, l)
			go func() {
				_, _, err := runner.Run(ctx, wish("www.example.test"))
				done <- err
			}()
			await(t, arrived, 20*time.Second)
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want %v", err, context.Canceled)
				}
			case <-time.After(time.Second):
				t.Fatal("the run goes on a second after it was cancelled")
			}
			wantNoRecords(t, l, "www.example.test")
			g.set(nil)
			mustRun(t, newRunner(t, l), wish("www.example.test"))
			if g.placed() != 1 || l.CA.Issued() != 1 {
				t.Errorf("%d orders and %d certificates, want 1", g.placed(), l.CA.Issued())
			}
		})
	}
}

func await[T any](t testing.TB, c <-chan T, patience time.Duration) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("nothing happened in %s", patience)
	}
}

// Orders in parallel have few requests on their way, also where HTTP/2 would
// carry hundreds. Pebble locks up over some fifty orders at once.
func TestConnections_requestsArePaced(t *testing.T) {
	l, g := newGatedLab(t)
	var running, most atomic.Int64
	g.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		now := running.Add(1)
		defer running.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			continue
		}
		<-time.After(20 * time.Millisecond) // let them pile up
		send(w, g.answer(r), nil)
		return true
	})
	runner := newRunner(t, l)
	var wait sync.WaitGroup
	for _, name := range names("paced", 30) {
		wait.Go(func() {
			if j, _, err := runner.Run(t.Context(), wish(name)); err != nil || j.Status != order.StatusIssued {
				t.Error(name, j.Status, err)
			}
		})
	}
	wait.Wait()
	if got := most.Load(); got > 16 || got < 8 {
		t.Errorf("%d requests at once, want many, and at most 16", got)
	}
}

// Orders in parallel share few connections, also where the CA has no HTTP/2.
func TestConnections_areBounded(t *testing.T) {
	var ca http.Handler
	l := newLab(t, lab.Options{Intercept: func(h http.Handler) http.Handler { ca = h; return h }})
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ca.ServeHTTP(w, r) }))
	var open, most atomic.Int64
	front.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			most.Store(max(most.Load(), open.Add(1))) // one goroutine accepts
		case http.StateClosed:
			open.Add(-1)
		}
	}
	front.StartTLS() // HTTP/1.1
	t.Cleanup(front.Close)
	c := config(l)
	c.DirectoryURL, c.CABundle = front.URL+"/dir", pemOf(front.Certificate())
	runner := newRunnerWith(t, l.StorageDirectory(), c, solver(t, l))
	var wait sync.WaitGroup
	for _, name := range names("crowd", 50) {
		wait.Go(func() {
			if j, _, err := runner.Run(t.Context(), wish(name)); err != nil || j.Status != order.StatusIssued {
				t.Error(name, j.Status, err)
			}
		})
	}
	wait.Wait()
	if got := most.Load(); got > 16 || got < 2 {
		t.Errorf("%d connections at once, want some, and at most 16", got)
	}
}
