package acme_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
func (g *gate) rolls() int { return g.answered("rollover-account-key", http.StatusOK) }

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
