package acme_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// way is a way of validation, used by one process after another.
type way struct {
	// process is the solver of a new process.
	process func() challenge.Solver
	// wantNothing fails when something is left of a validation.
	wantNothing func(t testing.TB)
}

// ways are those that need no DNS, in a lab.
func ways() map[string]func(t testing.TB, l *lab.Lab) way {
	logger := slog.New(slog.DiscardHandler)
	return map[string]func(testing.TB, *lab.Lab) way{
		"http_01 listen": func(_ testing.TB, l *lab.Lab) way {
			return way{func() challenge.Solver { return challenge.NewHTTPSolver(l.HTTPAddress(), logger) }, wantNobody(l.HTTPAddress())}
		},
		"http_01 webroot": func(t testing.TB, l *lab.Lab) way {
			root := t.TempDir()
			serveFiles(t, l.HTTPAddress(), root)
			return way{func() challenge.Solver { return challenge.NewWebrootSolver(root) }, wantEmpty(root)}
		},
		"tls_alpn_01": func(_ testing.TB, l *lab.Lab) way {
			return way{func() challenge.Solver { return challenge.NewTLSSolver(l.TLSAddress(), logger) }, wantNobody(l.TLSAddress())}
		},
	}
}

// serveFiles is a web server that was there before.
func serveFiles(t testing.TB, address, root string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(root))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func wantNobody(address string) func(testing.TB) {
	return func(t testing.TB) {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v, want nobody to listen at %s", err, address)
		}
	}
}

func wantEmpty(root string) func(testing.TB) {
	return func(t testing.TB) {
		t.Helper()
		left, err := os.ReadDir(root)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the webroot: %v, %v", left, err)
		}
	}
}

// forEachWay runs a test in a lab of its own for each way.
func forEachWay(t *testing.T, test func(t *testing.T, l *lab.Lab, g *gate, w way)) {
	t.Helper()
	for name, newWay := range ways() {
		t.Run(name, func(t *testing.T) {
			l, g := newGatedLab(t)
			test(t, l, g, newWay(t, l))
		})
	}
}

func TestIssue_withoutDNS(t *testing.T) {
	forEachWay(t, func(t *testing.T, l *lab.Lab, _ *gate, w way) {
		runner := newRunnerWith(t, l.StorageDirectory(), config(l), w.process())
		for _, wanted := range [][]string{{"www.example.test"}, {"127.0.0.1"}, append(names("many", 20), "127.0.0.1")} {
			verify(t, l, mustRun(t, runner, wish(wanted...)))
			w.wantNothing(t)
		}
	})
}

// All orders of a process share what listens.
func TestIssue_withoutDNSInParallel(t *testing.T) {
	forEachWay(t, func(t *testing.T, l *lab.Lab, _ *gate, w way) {
		runner := newRunnerWith(t, l.StorageDirectory(), config(l), w.process())
		var orders sync.WaitGroup
		for n := range 6 {
			orders.Go(func() {
				// One name is in all of them.
				j, _, err := runner.Run(t.Context(), wish(fmt.Sprintf("n%d.example.test", n), "shared.example.test"))
				if err != nil || j.Status != order.StatusIssued {
					t.Errorf("status %s, %v", j.Status, err)
				}
			})
		}
		orders.Wait()
		w.wantNothing(t)
	})
}

// mortalSolver is a solver whose process can die: what it listens on is then closed,
// what it wrote stays.
type mortalSolver struct {
	challenge.Solver
	records []challenge.Record
}

func (m *mortalSolver) Present(ctx context.Context, records []challenge.Record) error {
	m.records = append(m.records, records...)
	return m.Solver.Present(ctx, records)
}

func (m *mortalSolver) Locate(ctx context.Context, records []challenge.Record) ([]challenge.Record, error) {
	if locator, ok := m.Solver.(challenge.Locator); ok {
		return locator.Locate(ctx, records)
	}
	return records, nil
}

func (m *mortalSolver) die(t *testing.T) {
	t.Helper()
	if _, listens := m.Solver.(*challenge.ListenSolver); listens {
		if err := m.Withdraw(t.Context(), m.records); err != nil {
			t.Error(err)
		}
	}
}

// runAndDie runs an order in a process that dies before its nth step.
func runAndDie(t *testing.T, l *lab.Lab, solver challenge.Solver, n int, w order.Wish) {
	t.Helper()
	m := &mortalSolver{Solver: solver}
	var process sync.WaitGroup
	process.Go(func() {
		runner := newRunnerWith(t, l.StorageDirectory(), config(l), m)
		runner.Issuer = &dyingIssuer{runner.Issuer, n}
		_, _, _ = runner.Run(t.Context(), w)
	})
	process.Wait()
	m.die(t)
}

func TestIssue_killedBetweenStepsWithoutDNS(t *testing.T) {
	forEachWay(t, func(t *testing.T, l *lab.Lab, _ *gate, w way) {
		for n := range 7 {
			wanted := wish(fmt.Sprintf("killed-%d.example.test", n))
			runAndDie(t, l, w.process(), n, wanted)
			mustRun(t, newRunnerWith(t, l.StorageDirectory(), config(l), w.process()), wanted)
			w.wantNothing(t)
			if l.CA.Issued() != n+1 {
				t.Fatalf("killed before step %d: %d certificates, want %d", n, l.CA.Issued(), n+1)
			}
		}
	})
}

// The CA has not come to look when the process dies that would have answered it:
// the next one answers for the same order.
func TestIssue_presentsAgainWhatDiedWithItsProcess(t *testing.T) {
	forEachWay(t, func(t *testing.T, l *lab.Lab, g *gate, w way) {
		var dead atomic.Bool
		g.set(func(rw http.ResponseWriter, r *http.Request, kind string) bool {
			if kind != "chalZ" || dead.Load() {
				return false
			}
			rw.Header().Set("Replay-Nonce", g.nonce(r))
			_, _ = rw.Write([]byte(`{"status":"pending"}`)) // and does nothing
			return true
		})
		runAndDie(t, l, w.process(), 4, wish("www.example.test"))
		dead.Store(true)
		mustRun(t, newRunnerWith(t, l.StorageDirectory(), config(l), w.process()), wish("www.example.test"))
		w.wantNothing(t)
		if g.placed() != 1 || l.CA.Issued() != 1 {
			t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
		}
	})
}

// An order that was begun with one validation goes on with another.
func TestIssue_goesOnWithAnotherValidation(t *testing.T) {
	forEachWay(t, func(t *testing.T, l *lab.Lab, g *gate, w way) {
		runAndDie(t, l, solver(t, l), 2, wish("www.example.test"))
		mustRun(t, newRunnerWith(t, l.StorageDirectory(), config(l), w.process()), wish("www.example.test"))
		w.wantNothing(t)
		runAndDie(t, l, w.process(), 2, wish("back.example.test"))
		mustRun(t, newRunner(t, l), wish("back.example.test"))
		if g.placed() != 2 || l.CA.Issued() != 2 {
			t.Errorf("%d orders and %d certificates, want 2 and 2", g.placed(), l.CA.Issued())
		}
	})
}

// Journals of the first version have records without a type, of DNS.
func TestIssue_goesOnWithAnOlderJournal(t *testing.T) {
	l, g := newGatedLab(t)
	runAndDie(t, l, solver(t, l), 3, wish("www.example.test"))
	files, err := filepath.Glob(filepath.Join(l.StorageDirectory(), "journals", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("journals %q, %v, want one", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	older := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Contains(line, `"type": "dns-01"`) })
	if len(older) == len(strings.Split(string(text), "\n")) {
		t.Fatalf("no record with a type in %s", text)
	}
	if err := os.WriteFile(files[0], []byte(strings.Join(older, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, newRunner(t, l), wish("www.example.test"))
	wantNoRecords(t, l, "www.example.test")
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}

func TestAuthorize_namesWhatTheCAOffers(t *testing.T) {
	l := newLab(t, lab.Options{})
	runner := newRunnerWith(t, l.StorageDirectory(), config(l), challenge.NewHTTPSolver(l.HTTPAddress(), slog.New(slog.DiscardHandler)))
	_, _, err := runner.Run(t.Context(), wish("*.example.test"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"no http-01 validation", "example.test", "dns-01"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want %q in it", err, part)
		}
	}
}

// A busy port ends the run; the order goes on when it is free.
func TestIssue_busyPort(t *testing.T) {
	l, g := newGatedLab(t)
	busy, err := net.Listen("tcp", l.HTTPAddress())
	if err != nil {
		t.Fatal(err)
	}
	runner := newRunnerWith(t, l.StorageDirectory(), config(l), challenge.NewHTTPSolver(l.HTTPAddress(), slog.New(slog.DiscardHandler)))
	_, _, err = runner.Run(t.Context(), wish("www.example.test"))
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), l.HTTPAddress()) {
		t.Errorf("%v, want %v and the address", err, syscall.EADDRINUSE)
	}
	_ = busy.Close()
	mustRun(t, runner, wish("www.example.test"))
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}
