package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/acme/api"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// rolls is how many changes of a key the CA has made.
func (g *gate) rolls() int {
	count := 0
	for _, a := range g.of("rollover-account-key") {
		if a.status == http.StatusOK {
			count++
		}
	}
	return count
}

// accounts is how many accounts the CA has made.
func (g *gate) accounts() int {
	count := 0
	for _, a := range g.of("sign-me-up") {
		if a.status == http.StatusCreated {
			count++
		}
	}
	return count
}

// accountOf is the account that an order was placed with.
func accountOf(t testing.TB, j order.Journal) string {
	t.Helper()
	var progress struct {
		AccountURL string `json:"account_url"`
	}
	if err := json.Unmarshal(j.Progress, &progress); err != nil || progress.AccountURL == "" {
		t.Fatalf("the progress names no account: %s, %v", j.Progress, err)
	}
	return progress.AccountURL
}

// orderWith runs one order with a configuration, as a process of its own.
func orderWith(t testing.TB, l *lab.Lab, c acme.Config, name string) order.Journal {
	t.Helper()
	return mustRun(t, newRunnerWith(t, l.StorageDirectory(), c, solver(t, l)), wish(name+".example.test"))
}

func TestRollover_storedKey(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	c := config(l)
	account := accountOf(t, orderWith(t, l, c, "first"))
	key := storedAccount(t, l)["key_pem"]
	for n, test := range []struct {
		version string
		rolls   int
	}{
		{"", 0},
		{"2026-11", 1},
		{"2026-11", 1},
		{"2026-12", 2},
		{"2026-11", 2}, // a machine that has the older configuration does not turn it back
		{"", 2},
		{"2027-01", 3},
	} {
		c.AccountKeyVersion = test.version
		if got := accountOf(t, orderWith(t, l, c, fmt.Sprint("n", n))); got != account || g.rolls() != test.rolls {
			t.Fatalf("%d: account %s after %d changes, want %s after %d", n, got, g.rolls(), account, test.rolls)
		}
		changed := storedAccount(t, l)["key_pem"] != key
		key = storedAccount(t, l)["key_pem"]
		if want := slices.Contains([]int{1, 3, 6}, n); changed != want {
			t.Errorf("%d: the stored key changed: %t, want %t", n, changed, want)
		}
	}
	if g.accounts() != 1 {
		t.Errorf("%d accounts, want 1", g.accounts())
	}
}

// storedAccount is the only account of a lab's storage.
func storedAccount(t testing.TB, l *lab.Lab) map[string]any {
	t.Helper()
	store, err := custody.Open(custody.Options{Directory: l.StorageDirectory()})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.List(t.Context(), "accounts/")
	if err != nil || len(keys) != 1 {
		t.Fatalf("stored accounts %v, %v, want 1", keys, err)
	}
	text, err := store.Get(t.Context(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// A new account has a new key already.
func TestRollover_notForAnAccountThatIsNew(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	c := config(l)
	c.AccountKeyVersion = "1"
	orderWith(t, l, c, "first")
	orderWith(t, l, c, "second")
	if g.rolls() != 0 || g.accounts() != 1 {
		t.Errorf("%d changes of %d accounts, want none of 1", g.rolls(), g.accounts())
	}
}

func TestRollover_keysOfTheUser(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	keys := []pki.Key{newKey(t)}
	for _, algorithm := range []pki.Algorithm{pki.RSA2048, pki.ECDSAP384} {
		key, err := pki.GenerateKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	c := config(l)
	c.AccountKey = keys[0]
	account := accountOf(t, orderWith(t, l, c, "first"))
	for n, test := range []struct{ key, previous, rolls int }{
		{1, 0, 1},
		{1, 0, 1},
		{1, -1, 1},
		{2, 1, 2},
		{1, 2, 3},
		{2, 1, 4}, // and back
	} {
		c.AccountKey, c.PreviousAccountKey = keys[test.key], pki.Key{}
		if test.previous >= 0 {
			c.PreviousAccountKey = keys[test.previous]
		}
		if got := accountOf(t, orderWith(t, l, c, fmt.Sprint("n", n))); got != account || g.rolls() != test.rolls {
			t.Fatalf("%d: account %s after %d changes, want %s after %d", n, got, g.rolls(), account, test.rolls)
		}
	}
	if _, ok := storedAccount(t, l)["key_pem"]; ok || g.accounts() != 1 {
		t.Errorf("a key is stored: %t; %d accounts, want 1", ok, g.accounts())
	}
}

// rollovers are the two ways to ask for another key: the configuration before
// and after.
func rollovers(t *testing.T, l *lab.Lab) map[string][2]acme.Config {
	t.Helper()
	stored, moved := [2]acme.Config{config(l), config(l)}, [2]acme.Config{config(l), config(l)}
	stored[1].AccountKeyVersion = "2"
	moved[0].AccountKey = newKey(t)
	moved[1].AccountKey, moved[1].PreviousAccountKey = newKey(t), moved[0].AccountKey
	return map[string][2]acme.Config{"a stored key": stored, "a key of the user": moved}
}

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

// An order goes on when the key changes under it, whatever it was at.
func TestRollover_openOrdersContinue(t *testing.T) {
	t.Parallel()
	t.Run("in processing", func(t *testing.T) {
		t.Parallel()
		l, g := newGatedLab(t)
		open := leaveOpen(t, l, g, "www.example.test")
		g.set(nil)
		c := config(l)
		c.AccountKeyVersion = "2"
		if j := orderWith(t, l, c, "www"); j.OrderID != open.OrderID || g.rolls() != 1 || l.CA.Issued() != 1 {
			t.Errorf("order %s after %d changes, %d certificates, want %s after 1", j.OrderID, g.rolls(), l.CA.Issued(), open.OrderID)
		}
	})
	for n := range 6 {
		t.Run(fmt.Sprintf("killed before step %d", n), func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			orderWith(t, l, config(l), "first")
			finished := false
			var wait sync.WaitGroup
			wait.Go(func() {
				runner := newRunner(t, l)
				runner.Issuer = &dyingIssuer{runner.Issuer, n}
				_, _, _ = runner.Run(t.Context(), wish("www.example.test"))
				finished = true
			})
			wait.Wait()
			if n >= 3 { // the challenges are answered
				awaitValidation(t, l, "www.example.test")
			}
			c := config(l)
			c.AccountKeyVersion = "2"
			orderWith(t, l, c, "www")
			wantNoRecords(t, l, "www.example.test")
			if !finished && g.rolls() != 1 || g.placed() != 2 || l.CA.Issued() != 2 {
				t.Errorf("%d changes, %d orders, %d certificates, want 1, 2 and 2", g.rolls(), g.placed(), l.CA.Issued())
			}
		})
	}
}

// awaitValidation waits until the CA has validated the open order for a name.
// Pebble itself does not lock an account's key while it validates.
func awaitValidation(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	store, err := custody.Open(custody.Options{Directory: l.StorageDirectory()})
	if err != nil {
		t.Fatal(err)
	}
	j, err := order.Load(t.Context(), store, wish(name).Intent)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := storedAccount(t, l)["key_pem"].(string)
	key, err := pki.ParseKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.CABundle)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	core, err := api.New(client, "test", l.DirectoryURL, accountOf(t, j), key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		current, err := core.Orders.Get(j.OrderID)
		if err != nil {
			t.Fatal(err)
		}
		if current.Status != "pending" {
			return
		}
	}
}

// What keeps a key from being changed is said with what to do, and the account
// stays usable without the wish.
func TestRollover_refusals(t *testing.T) {
	t.Parallel()
	refuses := func(status int, kind string) func(*testing.T, *lab.Lab, *gate, *acme.Config) {
		return func(_ *testing.T, _ *lab.Lab, g *gate, _ *acme.Config) {
			g.set(func(w http.ResponseWriter, r *http.Request, k string) bool {
				if k == "rollover-account-key" {
					g.refuse(w, r, status, kind, "no")
				}
				return k == "rollover-account-key"
			})
		}
	}
	for sentence, test := range map[string]struct {
		way   string
		spoil func(*testing.T, *lab.Lab, *gate, *acme.Config)
		is    error
		says  string
	}{
		"the CA says that the new key is in use": {"a key of the user", refuses(http.StatusConflict, "malformed"), acme.ErrKeyTaken, "give an account_key_pem that no account has"},
		"the same for a key of ours":             {"a stored key", refuses(http.StatusConflict, "malformed"), acme.ErrKeyTaken, "without account_key_version"},
		"the CA does not do it":                  {"a stored key", refuses(http.StatusNotImplemented, "notImplemented"), acme.ErrNoKeyChange, "without account_key_version"},
		"the same for a key of the user":         {"a key of the user", refuses(http.StatusNotImplemented, "notImplemented"), acme.ErrNoKeyChange, "give the previous key as account_key_pem alone"},
		"the CA does not offer it": {"a stored key", func(_ *testing.T, _ *lab.Lab, g *gate, _ *acme.Config) {
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "dir" {
					answer := g.answer(r)
					send(w, answer, []byte(strings.Replace(answer.Body.String(), `"keyChange"`, `"nothing"`, 1)))
				}
				return kind == "dir"
			})
		}, acme.ErrNoKeyChange, "without account_key_version"},
		"both keys have an account": {"a key of the user", func(t *testing.T, l *lab.Lab, _ *gate, c *acme.Config) {
			other := *c
			other.PreviousAccountKey = pki.Key{}
			orderWith(t, l, other, "other")
		}, acme.ErrKeyTaken, "remove previous_account_key_pem"},
		"neither has one": {"a key of the user", func(t *testing.T, _ *lab.Lab, _ *gate, c *acme.Config) {
			c.PreviousAccountKey = newKey(t)
		}, acme.ErrKeyUnknown, "remove previous_account_key_pem"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			both := rollovers(t, l)[test.way]
			orderWith(t, l, both[0], "first")
			test.spoil(t, l, g, &both[1])
			begun := time.Now()
			err := place(t, l, both[1], "second")
			if !errors.Is(err, test.is) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("%v, want %v and %q", err, test.is, test.says)
			}
			if strings.Contains(fmt.Sprint(err), "PRIVATE KEY") || time.Since(begun) > 3*time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
			orderWith(t, l, both[0], "third")
			if g.rolls() != 0 {
				t.Errorf("%d changes, want none", g.rolls())
			}
		})
	}
}
