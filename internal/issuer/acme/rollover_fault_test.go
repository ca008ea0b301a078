package acme_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// mortal is a storage whose user dies, or whose disk is full, at the nth change
// of an account.
type mortal struct {
	custody.Store
	at    string // "before", "after" or "failing"
	after int
}

func (m *mortal) pass(at, key string) error {
	if !strings.HasPrefix(key, "accounts/") || at == "after" && m.at != "after" || at != "after" && m.at == "after" {
		return nil
	}
	if m.after--; m.after >= 0 {
		return nil
	}
	if m.at == "failing" {
		return errors.New("injected: no space left on device")
	}
	runtime.Goexit()
	return nil
}

func (m *mortal) Put(ctx context.Context, key string, data []byte) error {
	if err := m.pass("before", key); err != nil {
		return err
	}
	if err := m.Store.Put(ctx, key, data); err != nil {
		return err
	}
	return m.pass("after", key)
}

func (m *mortal) Delete(ctx context.Context, key string) error {
	if err := m.pass("before", key); err != nil {
		return err
	}
	if err := m.Store.Delete(ctx, key); err != nil {
		return err
	}
	return m.pass("after", key)
}

// Lock is free again when its holder has died, as the kernel does it.
func (m *mortal) Lock(ctx context.Context, name string) (func() error, error) {
	return m.Store.Lock(ctx, name)
}

// A run that dies or cannot write, at any moment of the change, leaves an
// account that the next run uses, with the new key, and that no other account
// replaced.
func TestRollover_killedAnywhere(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"a stored key", "a key of the user"} {
		for _, at := range []string{"before", "after", "failing"} {
			t.Run(way+", "+at, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					l, g := newGatedLab(t)
					both := rollovers(t, l)[way]
					account := accountOf(t, orderWith(t, l, both[0], "first"))
					died := dies(t, l, both[1], &mortal{at: at, after: n})
					if got := accountOf(t, orderWith(t, l, both[1], "second")); got != account {
						t.Errorf("change %d: account %s, want %s", n, got, account)
					}
					orderWith(t, l, both[1], "third")
					if g.rolls() != 1 || g.accounts() != 1 {
						t.Errorf("change %d: %d changes of %d accounts, want 1 of 1", n, g.rolls(), g.accounts())
					}
					if !died {
						if n < 2 {
							t.Errorf("the run makes %d changes, want some", n)
						}
						return
					}
				}
			})
		}
	}
}

// dies reports whether a run with the storage did not come to its end.
func dies(t *testing.T, l *lab.Lab, c acme.Config, m *mortal) (died bool) {
	t.Helper()
	runner := newRunnerWith(t, l.StorageDirectory(), c, solver(t, l))
	store, err := custody.Open(custody.Options{Directory: l.StorageDirectory()})
	if err != nil {
		t.Fatal(err)
	}
	m.Store, died = store, true
	if runner.Issuer, err = acme.New(c, m, solver(t, l), runner.Logger); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _, err := runner.Run(t.Context(), wish("dying.example.test"))
		died = err != nil
	})
	wait.Wait()
	return died
}

// The answer to the request may be lost, and most nonces rejected.
func TestRollover_throughFaults(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"a stored key", "a key of the user"} {
		for sentence, fault := range map[string]func(*gate){
			"the answer is lost": func(g *gate) { g.cutAfter("rollover-account-key") },
			"most nonces are rejected": func(g *gate) {
				count := 0
				var mu sync.Mutex
				g.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
					mu.Lock()
					defer mu.Unlock()
					if count++; r.Method != http.MethodPost || count%7 == 0 {
						return false
					}
					g.refuse(w, r, http.StatusBadRequest, "badNonce", "try again")
					return true
				})
			},
			"the CA is busy for a moment": func(g *gate) {
				fails := first(2)
				g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
					if kind != "rollover-account-key" || !fails() {
						return false
					}
					g.refuse(w, r, http.StatusServiceUnavailable, "serverInternal", "later")
					return true
				})
			},
		} {
			t.Run(way+", "+sentence, func(t *testing.T) {
				t.Parallel()
				l, g := newGatedLab(t)
				both := rollovers(t, l)[way]
				account := accountOf(t, orderWith(t, l, both[0], "first"))
				fault(g)
				if got := accountOf(t, orderWith(t, l, both[1], "second")); got != account || g.accounts() != 1 {
					t.Errorf("account %s of %d, want %s of 1", got, g.accounts(), account)
				}
				g.set(nil)
				orderWith(t, l, both[1], "third")
				if got := len(slices.DeleteFunc(g.of("rollover-account-key"), func(a asked) bool {
					return a.status == http.StatusBadRequest || a.status == http.StatusServiceUnavailable
				})); got != 1 {
					t.Errorf("%d requests for another key, want 1", got)
				}
			})
		}
	}
}

func TestRollover_processesAtOnce(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"a stored key", "a key of the user"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			both := rollovers(t, l)[way]
			orderWith(t, l, both[0], "first")
			var wait sync.WaitGroup
			for n := range 6 {
				wait.Go(func() { orderWith(t, l, both[1], fmt.Sprint("process", n)) })
			}
			wait.Wait()
			if g.rolls() != 1 || g.accounts() != 1 {
				t.Errorf("%d changes of %d accounts, want 1 of 1", g.rolls(), g.accounts())
			}
		})
	}
}

// A process that loaded the account before another one changed its key goes on
// with the new key; also when that other process died before it wrote it down.
func TestRollover_behindTheBackOfAnotherProcess(t *testing.T) {
	t.Parallel()
	for sentence, m := range map[string]*mortal{"completely": nil, "and it died": {at: "before", after: 1}} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			here := newRunnerWith(t, l.StorageDirectory(), config(l), solver(t, l))
			chain, err := pki.ParseCertificates(mustRun(t, here, wish("first.example.test")).Certificate)
			if err != nil {
				t.Fatal(err)
			}
			there := config(l)
			there.AccountKeyVersion = "2"
			roll := func(name, version string) {
				there.AccountKeyVersion = version
				if m != nil {
					died := *m
					dies(t, l, there, &died)
					return
				}
				orderWith(t, l, there, name)
			}
			roll("there", "2")
			mustRun(t, here, wish("second.example.test"))
			roll("there-again", "3")
			revoker, ok := here.Issuer.(*acme.Issuer)
			if !ok {
				t.Fatal("no ACME issuer")
			}
			if err := revoker.Revoke(t.Context(), chain[0], 4); err != nil {
				t.Error(err)
			}
			if g.rolls() != 2 || g.accounts() != 1 {
				t.Errorf("%d changes of %d accounts, want 2 of 1", g.rolls(), g.accounts())
			}
		})
	}
}
