package acme_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// failures are the ways in which a CA fails for a moment.
func failures() map[string]func(*gate, http.ResponseWriter, *http.Request) {
	return map[string]func(*gate, http.ResponseWriter, *http.Request){
		"a problem, 503": func(g *gate, w http.ResponseWriter, r *http.Request) {
			g.refuse(w, r, http.StatusServiceUnavailable, "serverInternal", "later")
		},
		"a problem, 500": func(g *gate, w http.ResponseWriter, r *http.Request) {
			g.refuse(w, r, http.StatusInternalServerError, "serverInternal", "oops")
		},
		"a gateway's page, 502": func(_ *gate, w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		},
		"a connection that is reset": func(*gate, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half an answer": func(_ *gate, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("{"))
			panic(http.ErrAbortHandler)
		},
	}
}

// Whatever only asks is asked again within the run, and leads to one order.
func TestRetry_momentaryFailures(t *testing.T) {
	t.Parallel()
	for sentence, fail := range failures() {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			var mu sync.Mutex
			chance := rand.New(rand.NewPCG(1, 2))
			fails := func() bool {
				mu.Lock()
				defer mu.Unlock()
				return chance.IntN(4) == 0
			}
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				// newOrder may only fail where the answer says that nothing was
				// done.
				if kind == "order-plz" && !strings.HasPrefix(sentence, "a problem") || !fails() {
					return false
				}
				fail(g, w, r)
				return true
			})
			mustRun(t, newRunner(t, l), wish(names("often", 5)...))
			if g.placed() != 1 || l.CA.Issued() != 1 {
				t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
			}
			wantNoRecords(t, l, names("often", 5)...)
		})
	}
}

// A time the CA names is waited for, in the middle of a run too.
func TestRetry_afterWhatTheCASays(t *testing.T) {
	t.Parallel()
	for sentence, status := range map[string]int{"under repair": http.StatusServiceUnavailable, "too many requests": http.StatusTooManyRequests} {
		for _, kind := range []string{"dir", "order-plz", "authZ", "my-order", "finalize-order", "certZ"} {
			t.Run(sentence+", "+kind, func(t *testing.T) {
				t.Parallel()
				l, g := newGatedLab(t)
				once := first(1)
				g.set(func(w http.ResponseWriter, r *http.Request, k string) bool {
					if k != kind || !once() {
						return false
					}
					w.Header().Set("Retry-After", "1")
					g.refuse(w, r, status, "rateLimited", "slow down")
					return true
				})
				mustRun(t, newRunner(t, l), wish("www.example.test"))
				asked := g.of(kind)
				if len(asked) < 2 || asked[1].at.Sub(asked[0].at) < time.Second {
					t.Errorf("asked again after %s, want a second at least", asked[1].at.Sub(asked[0].at))
				}
				if g.placed() != 1 {
					t.Errorf("%d orders, want 1", g.placed())
				}
			})
		}
	}
}

// An outage in the middle of an order: the records stay while the CA is asked
// again, go when the run fails, and the next run continues the same order.
func TestRetry_outageWhileAnOrderIsOpen(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		wait, outage time.Duration
		is           error
	}{
		"shorter than the wait": {time.Minute, 7 * time.Second, nil},
		"longer than the wait":  {8 * time.Second, time.Hour, order.ErrUnavailable},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			var down atomic.Bool
			var published atomic.Int64
			g.set(func(_ http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "chalZ" && g.answer(r).Code < http.StatusBadRequest && down.CompareAndSwap(false, true) {
					time.AfterFunc(test.outage, func() { g.set(nil) })
				}
				if down.Load() {
					values, _ := l.Responder.TXT(challenge.Name("www.example.test") + ".")
					published.Store(int64(len(values)))
					panic(http.ErrAbortHandler)
				}
				return false
			})
			w := wish("www.example.test")
			w.Wait = test.wait
			begun := time.Now()
			broken, _, err := newRunner(t, l).Run(t.Context(), w)
			if !errors.Is(err, test.is) || errors.Is(err, order.ErrRejected) || (err == nil) != (test.is == nil) {
				t.Fatalf("status %s, %v, want %v", broken.Status, err, test.is)
			}
			if took := time.Since(begun); took > test.wait+time.Second {
				t.Errorf("it took %s, want at most the wait of %s", took, test.wait)
			}
			if published.Load() == 0 {
				t.Error("the record was gone while the CA was asked again")
			}
			wantNoRecords(t, l, "www.example.test")
			g.set(nil)
			w.Wait = time.Minute
			j := mustRun(t, newRunner(t, l), w)
			if j.OrderID != broken.OrderID || g.placed() != 1 || l.CA.Issued() != 1 {
				t.Errorf("order %s, %d placed, %d certificates, want %s, 1 and 1", j.OrderID, g.placed(), l.CA.Issued(), broken.OrderID)
			}
		})
	}
}

// nobody is an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// Without an order another CA may do: one that is down is given some seconds,
// all orders together.
func TestRetry_deadCAIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{})
	c := config(l)
	c.DirectoryURL = "https://" + nobody(t) + "/dir"
	runner := newRunnerWith(t, l.StorageDirectory(), c, solver(t, l))
	begun := time.Now()
	for n := range 20 {
		j, _, err := runner.Run(t.Context(), wish(fmt.Sprintf("n%d.example.test", n)))
		if !errors.Is(err, order.ErrUnavailable) || j.OrderID != "" {
			t.Errorf("order %q, %v, want %v", j.OrderID, err, order.ErrUnavailable)
		}
	}
	if took := time.Since(begun); took > 7*time.Second {
		t.Errorf("20 orders failed after %s, want about 5s", took)
	}
}

// What another try does not mend is not tried again.
func TestRetry_notForLastingFailures(t *testing.T) {
	t.Parallel()
	for sentence, spoil := range map[string]func(*lab.Lab, *gate){
		"no directory": func(_ *lab.Lab, g *gate) {
			g.set(func(w http.ResponseWriter, _ *http.Request, kind string) bool {
				_, _ = w.Write([]byte("<html>welcome</html>"))
				return kind == "dir"
			})
		},
		"nothing there": func(_ *lab.Lab, g *gate) {
			g.set(func(w http.ResponseWriter, r *http.Request, _ string) bool { http.NotFound(w, r); return true })
		},
		"a CA that nobody trusts": func(l *lab.Lab, _ *gate) { l.CABundle = nil },
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			spoil(l, g)
			begun := time.Now()
			if _, _, err := newRunner(t, l).Run(t.Context(), wish("www.example.test")); err == nil {
				t.Error("it worked")
			}
			if took := time.Since(begun); took > time.Second || len(g.of("dir")) > 1 {
				t.Errorf("asked %d times in %s, want once", len(g.of("dir")), took)
			}
		})
	}
}

// A proxy's page is no news: the status is.
func TestRetry_doesNotQuoteAPage(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	g.set(func(w http.ResponseWriter, _ *http.Request, kind string) bool {
		if kind == "order-plz" {
			http.Error(w, strings.Repeat("<p>sorry</p>", 1000), http.StatusBadGateway)
		}
		return kind == "order-plz"
	})
	_, _, err := newRunner(t, l).Run(t.Context(), wish("www.example.test"))
	if !errors.Is(err, order.ErrUnavailable) || !strings.Contains(err.Error(), "502") || strings.Contains(err.Error(), "sorry") {
		t.Errorf("%v, want %v with the status alone", err, order.ErrUnavailable)
	}
	if got := len(g.of("order-plz")); got != 1 { // a gateway may have lost the answer
		t.Errorf("%d requests for an order, want 1", got)
	}
}

// A server error at finalizing is a moment's, or means that the CA does not
// grant the end that was asked for.
func TestFinalize_serverErrors(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		failures int
		end      bool
		refused  bool
		orders   int
	}{
		"for a moment":                       {3, false, false, 1},
		"for a moment, with an end":          {3, true, false, 1},
		"whenever an end was asked for":      {1000, true, true, 2},
		"for longer, without an end of ours": {6, false, false, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			fails := first(test.failures)
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind != "finalize-order" || g.placed() > 1 || !fails() {
					return false
				}
				g.refuse(w, r, http.StatusInternalServerError, "serverInternal", "the server experienced an internal error")
				return true
			})
			w := wish("www.example.test")
			if test.end {
				w.NotAfter = time.Now().Add(17 * 24 * time.Hour).Truncate(time.Second)
			}
			j := mustRun(t, newRunner(t, l), w)
			if j.DatesRefused != test.refused || g.placed() != test.orders || l.CA.Issued() != 1 {
				t.Errorf("dates refused: %t, %d orders, %d certificates, want %t, %d and 1", j.DatesRefused, g.placed(), l.CA.Issued(), test.refused, test.orders)
			}
		})
	}
}

// The pauses between tries end with the run.
func TestRetry_endsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"dir", "my-order"} {
		l, g := newGatedLab(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var at atomic.Pointer[time.Time]
		g.set(func(_ http.ResponseWriter, _ *http.Request, k string) bool {
			if k != kind {
				return false
			}
			if len(g.of(kind)) == 4 { // the next pause is a quarter of a second
				time.AfterFunc(20*time.Millisecond, func() {
					now := time.Now()
					at.Store(&now)
					cancel()
				})
			}
			panic(http.ErrAbortHandler)
		})
		_, _, err := newRunner(t, l).Run(ctx, wish("www.example.test"))
		if !errors.Is(err, context.Canceled) || at.Load() == nil || time.Since(*at.Load()) > 200*time.Millisecond {
			t.Errorf("%s: %v, want %v at once", kind, err, context.Canceled)
		}
		wantNoRecords(t, l, "www.example.test")
	}
}
