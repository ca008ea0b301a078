package acme_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func verify(t testing.TB, l *lab.Lab, j order.Journal) {
	t.Helper()
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(l.Roots)
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	for _, name := range j.Intent.Names {
		host := strings.Replace(name, "*", "wild", 1)
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: intermediates}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestIssue_oneName(t *testing.T) {
	l, g := newGatedLab(t)
	j := mustRun(t, newRunner(t, l), wish("www.example.test"))
	verify(t, l, j)
	wantNoRecords(t, l, "www.example.test")
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}

func TestIssue_wildcardAndApexAmongManyNames(t *testing.T) {
	l, g := newGatedLab(t)
	many := append(names("many", 19), "many.example.test", "*.many.example.test")
	j := mustRun(t, newRunner(t, l), wish(many...))
	verify(t, l, j)
	wantNoRecords(t, l, many...)
	if g.placed() != 1 || l.CA.Issued() != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", g.placed(), l.CA.Issued())
	}
}

func TestRetryAfter_isObeyed(t *testing.T) {
	l, g := newGatedLab(t)
	held := first(1)
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		switch kind {
		case "my-order", "finalize-order":
			answer := g.answer(r)
			body := answer.Body.String()
			if answer.Code == http.StatusOK && (kind == "finalize-order" || held()) {
				body = strings.NewReplacer(`"ready"`, `"pending"`, `"valid"`, `"processing"`).Replace(body)
				answer.Header().Set("Retry-After", "1")
			}
			send(w, answer, []byte(body))
			return true
		}
		return false
	})
	mustRun(t, newRunner(t, l), wish("www.example.test"))
	// A poll that found the order ready is followed by finalize at once; all
	// else that is asked about the order waits.
	var last time.Time
	polls := g.of("my-order")
	events := slices.DeleteFunc(slices.Concat(polls, g.of("finalize-order")), func(a asked) bool {
		return a.status != http.StatusOK // a nonce that was not accepted
	})
	slices.SortFunc(events, func(a, b asked) int { return a.at.Compare(b.at) })
	for _, e := range events {
		if since := e.at.Sub(last); e.kind == "my-order" && since < time.Second {
			t.Errorf("polled %s after the last answer, want at least 1s", since)
		}
		last = e.at
	}
	if len(events) < 4 {
		t.Errorf("%d requests, want two polls, finalize, and a poll", len(events))
	}
}

func TestAccount_isMadeOnce(t *testing.T) {
	l, g := newGatedLab(t)
	runner := newRunner(t, l)
	var wait sync.WaitGroup
	for _, name := range names("parallel", 20) {
		wait.Go(func() {
			if j, _, err := runner.Run(t.Context(), wish(name)); err != nil || j.Status != order.StatusIssued {
				t.Error(name, j.Status, err)
			}
		})
	}
	wait.Wait()
	mustRun(t, newRunner(t, l), wish("later.example.test"))
	created := 0
	for _, a := range g.of("sign-me-up") {
		if a.status == http.StatusCreated || a.status == http.StatusOK {
			created++
		}
	}
	if created != 1 || g.placed() != 21 || l.CA.Issued() != 21 {
		t.Errorf("%d accounts, %d orders, %d certificates, want 1, 21 and 21", created, g.placed(), l.CA.Issued())
	}
}

// Two processes that share a storage share the account too.
func TestAccount_isMadeOnceByManyIssuers(t *testing.T) {
	l, g := newGatedLab(t)
	var wait sync.WaitGroup
	for _, name := range names("process", 5) {
		runner := newRunner(t, l)
		wait.Go(func() {
			if _, _, err := runner.Run(t.Context(), wish(name)); err != nil {
				t.Error(name, err)
			}
		})
	}
	wait.Wait()
	created := 0
	for _, a := range g.of("sign-me-up") {
		if a.status == http.StatusCreated {
			created++
		}
	}
	if got := len(g.of("sign-me-up")); created != 1 || got > 3 { // the CA rejects some nonces
		t.Errorf("%d accounts by %d requests, want 1", created, got)
	}
}

func TestAccount_unknownToTheCAIsMadeAgain(t *testing.T) {
	l, g := newGatedLab(t)
	runner := newRunner(t, l)
	mustRun(t, runner, wish("first.example.test"))
	before := len(g.of("sign-me-up"))
	once := first(1)
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind == "order-plz" && once() {
			g.refuse(w, r, http.StatusBadRequest, "accountDoesNotExist", "no such account")
			return true
		}
		return false
	})
	mustRun(t, runner, wish("second.example.test"))
	if len(g.of("sign-me-up")) == before {
		t.Error("no account was asked for")
	}
}

// A CA that never knows the account it just confirmed is not asked in a tight
// loop.
func TestAccount_neverKnownIsNotAskedInALoop(t *testing.T) {
	l, g := newGatedLab(t)
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind == "order-plz" {
			g.refuse(w, r, http.StatusBadRequest, "accountDoesNotExist", "no such account")
			return true
		}
		return false
	})
	w := wish("www.example.test")
	w.Wait = 600 * time.Millisecond
	j, _, err := newRunner(t, l).Run(t.Context(), w)
	if j.Status != order.StatusPlanned || err != nil {
		t.Errorf("status %s, %v", j.Status, err)
	}
	if got := len(g.of("order-plz")); got > 10 {
		t.Errorf("%d requests in %s, want a few", got, w.Wait)
	}
}

// An order belongs to its account (RFC 8555 §7.1.3): when the CA lost the
// account, or another one is configured, a new order is placed.
func TestAccount_openOrderOfAnotherAccountIsReplaced(t *testing.T) {
	for sentence, change := range map[string]func(*gate, *acme.Config){
		"another account key is configured": func(_ *gate, c *acme.Config) { c.AccountKey = newKey(t) },
		"the CA forgot the account": func(g *gate, _ *acme.Config) {
			once := first(1)
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "my-order" && once() {
					g.refuse(w, r, http.StatusBadRequest, "accountDoesNotExist", "no such account")
					return true
				}
				return false
			})
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			l, g := newGatedLab(t)
			open := leaveOpen(t, l, g, "www.example.test")
			g.set(nil)
			c := config(l)
			change(g, &c)
			j := mustRun(t, newRunnerWith(t, l.StorageDirectory(), c, solver(t, l)), wish("www.example.test"))
			if j.OrderID == open.OrderID || g.placed() != 2 {
				t.Errorf("order %s after %s, %d placed, want a new one", j.OrderID, open.OrderID, g.placed())
			}
			wantNoRecords(t, l, "www.example.test")
		})
	}
}

// leaveOpen places an order that stays in processing until the wait is over.
func leaveOpen(t testing.TB, l *lab.Lab, g *gate, name string) order.Journal {
	t.Helper()
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind != "my-order" && kind != "finalize-order" {
			return false
		}
		answer := g.answer(r)
		send(w, answer, []byte(strings.Replace(answer.Body.String(), `"valid"`, `"processing"`, 1)))
		return true
	})
	w := wish(name)
	w.Wait = 2 * time.Second
	j, adopted, err := newRunner(t, l).Run(t.Context(), w)
	if err != nil || adopted || j.Status != order.StatusIssuing {
		t.Fatalf("status %s, adopted %t, %v, want it open", j.Status, adopted, err)
	}
	return j
}

func TestIssue_longInProcessingIsResumed(t *testing.T) {
	l, g := newGatedLab(t)
	open := leaveOpen(t, l, g, "www.example.test")
	g.set(nil)
	j := mustRun(t, newRunner(t, l), wish("www.example.test"))
	if j.OrderID != open.OrderID || j.KeyID != open.KeyID || l.CA.Issued() != 1 {
		t.Errorf("order %s, key %s, %d certificates, want those of %s and one", j.OrderID, j.KeyID, l.CA.Issued(), open.OrderID)
	}
	wantNoRecords(t, l, "www.example.test")
}

func TestTerms_areNotAgreedToSilently(t *testing.T) {
	l, g := newGatedLab(t)
	c := config(l)
	c.TermsOfServiceAgreed = false
	_, _, err := newRunnerWith(t, l.StorageDirectory(), c, solver(t, l)).Run(t.Context(), wish("www.example.test"))
	if err == nil || !strings.Contains(err.Error(), "terms_of_service_agreed = true") {
		t.Errorf("%v, want what to set", err)
	}
	if got := len(g.of("sign-me-up")); got != 0 || c.Ready() == nil {
		t.Errorf("%d accounts were asked for, ready: %v", got, c.Ready())
	}
	if errors.Is(err, order.ErrRejected) {
		t.Error("it is called rejected by the CA, which was not asked")
	}
}
