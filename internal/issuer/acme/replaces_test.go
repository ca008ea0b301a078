package acme_test

import (
	"net/http"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestReplaces(t *testing.T) {
	l, g := newGatedLab(t)
	runner := newRunner(t, l)
	here, ok := runner.Issuer.(*acme.Issuer)
	if !ok {
		t.Fatal("no ACME issuer")
	}
	chain, err := pki.ParseCertificates(mustRun(t, runner, wish("www.example.test", "mail.example.test")).Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct {
		name, issuer string
		none, sent   bool
	}{
		"a renewal at the same CA": {"www.example.test", here.ID(), false, true},
		"a renewal at another CA":  {"mail.example.test", "acme:https://other.example/dir", false, false},
		"a renewal from nowhere":   {"mail.example.test", "", false, false},
		"no name in common":        {"third.example.test", here.ID(), false, false},
		"the first of its kind":    {"fourth.example.test", here.ID(), true, false},
	} {
		w := wish(test.name)
		w.Intent.Replaces, w.Predecessor, w.PredecessorIssuer = sentence, chain[0], test.issuer
		if test.none {
			w.Predecessor = nil
		}
		before := len(g.of("order-plz"))
		mustRun(t, runner, w)
		got, sent := g.of("order-plz")[before].payload["replaces"] // a refusal is followed by an order without
		if sent != test.sent {
			t.Errorf("%s: replaces is %v, want one: %t", sentence, got, test.sent)
		}
	}
}

// renewOf is the wish to renew what a journal holds.
func renewOf(t *testing.T, l *lab.Lab, j order.Journal) order.Wish {
	t.Helper()
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	w := wish(j.Intent.Names...)
	w.Lineage, w.Predecessor, w.PredecessorIssuer = j.Lineage, chain[0], "acme:"+l.DirectoryURL
	w.Intent.Replaces = pki.Fingerprint(chain[0])
	return w
}

// A certificate that another account ordered is not named, and where its account
// is not known and the CA objects, the order is placed without.
func TestReplaces_notWhatAnotherAccountOrdered(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		forget, named bool
	}{
		"the account is known":     {false, false},
		"the account is not known": {true, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			first := orderWith(t, l, config(l), "www")
			w := renewOf(t, l, first)
			if test.forget {
				w.Lineage = order.NewID()
			}
			c := config(l)
			c.AccountKey = newKey(t)
			before := len(g.of("order-plz"))
			mustRun(t, newRunnerWith(t, l.StorageDirectory(), c, solver(t, l)), w)
			if _, named := g.of("order-plz")[before].payload["replaces"]; named != test.named || g.placed() != 2 {
				t.Errorf("the old certificate was named: %t, %d orders, want %t and 2", named, g.placed(), test.named)
			}
		})
	}
}

// A certificate that has its replacement already, by an order that nobody
// remembers, is replaced once more: the CA says alreadyReplaced, and the order is
// placed without naming it. (Pebble says it too, some time after the order.)
func TestReplaces_alreadyReplaced(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	first := orderWith(t, l, config(l), "www")
	w := renewOf(t, l, first)
	second := mustRun(t, newRunner(t, l), w)
	refused := 0
	g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
		if kind != "order-plz" || g.of(kind)[len(g.of(kind))-1].payload["replaces"] == nil {
			return false
		}
		refused++
		g.refuse(w, r, http.StatusConflict, "alreadyReplaced", "the certificate already has a replacement order")
		return true
	})
	w.Intent.Token = "the storage was lost"
	third := mustRun(t, newRunner(t, l), w)
	// lego repeats it without, and all of it again where a nonce is rejected.
	if refused == 0 || third.OrderID == second.OrderID || l.CA.Issued() != 3 {
		t.Errorf("refused %d times, order %s, %d certificates, want once, another and 3", refused, third.OrderID, l.CA.Issued())
	}
	// The same wish again finds the order instead.
	if again := mustRun(t, newRunner(t, l), w); again.OrderID != third.OrderID || l.CA.Issued() != 3 {
		t.Errorf("order %s, %d certificates, want the same order again", again.OrderID, l.CA.Issued())
	}
}
