package tencentcloud_test

import (
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

const day = 24 * time.Hour

// world is an account at the simulated CA, and the provider's own parts.
type world struct {
	*lab.Lab
	t     testing.TB
	store custody.Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{CommercialCA: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := custody.Open(custody.Options{Directory: l.StorageDirectory()})
	if err != nil {
		t.Fatal(err)
	}
	return &world{l, t, store}
}

func (w *world) config() tencentcloud.Config {
	return tencentcloud.Config{URL: w.CommercialURL, SecretID: w.CommercialID, SecretKey: secret.New(w.CommercialKey)}
}

// runner is a fresh process: it knows what is stored and nothing else.
func (w *world) runner() *order.Runner {
	w.t.Helper()
	publisher, err := challenge.NewResponder(w.ResponderURL, w.ResponderToken)
	if err != nil {
		w.t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(w.DNS)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		w.t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	solver := &challenge.DNSSolver{
		Publisher: publisher, Logger: logger, Patience: 10 * time.Second,
		Resolver: &challenge.Resolver{Servers: []string{w.DNS}, AuthoritativePort: port},
	}
	opened, err := tencentcloud.New(w.config(), w.store, solver, logger)
	if err != nil {
		w.t.Fatal(err)
	}
	opened.SetSettle(200 * time.Millisecond)
	return &order.Runner{Issuer: opened, Keeper: w.store, Logger: logger, Now: w.Commercial.Now}
}

// run is an apply by a fresh process.
func (w *world) run(wish order.Wish) (order.Journal, error) {
	w.t.Helper()
	if wish.Wait == 0 {
		wish.Wait = 2 * time.Second
	}
	j, _, err := w.runner().Run(w.t.Context(), wish)
	return j, err
}

// must is an apply that has to lead to a status.
func (w *world) must(wish order.Wish, want order.Status) order.Journal {
	w.t.Helper()
	j, err := w.run(wish)
	if err != nil {
		w.t.Fatalf("%s (%s), want %s", err, j.Detail, want)
	}
	if j.Status != want {
		w.t.Fatalf("status %s (%s), want %s", j.Status, j.Detail, want)
	}
	return j
}

// reaches runs a wish until it is where it should be: on a busy machine the CA
// may not have looked at the records by the end of a run.
func (w *world) reaches(wish order.Wish, want order.Status) order.Journal {
	w.t.Helper()
	for range 10 {
		j, err := w.run(wish)
		if err != nil {
			w.t.Fatal(err)
		}
		if j.Status == want {
			return j
		}
	}
	return w.must(wish, want)
}

// old is a certificate of the account that ends in so many days.
func (w *world) old(pid uint64, days int, company, manager int64, names ...string) string {
	w.t.Helper()
	id, err := w.Commercial.AddCertificate(tencentsim.Seed{PID: pid, Names: names, Company: company, Manager: manager, Remaining: time.Duration(days) * day})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// renewal is the wish to renew a certificate with points.
func renewal(product, original string, names ...string) order.Wish {
	return order.Wish{
		Intent: order.Intent{
			Issuer: "tencentcloud", Names: names, Algorithm: pki.ECDSAP256,
			Options: order.Options{Purchase: order.Purchase{Product: product, Source: tencentcloud.SourcePoints, Years: 1, Original: original}},
		},
		Supplies: order.Supplies{AcceptCharges: true},
	}
}

// charged checks how often money was spent.
func (w *world) charged(want int) {
	w.t.Helper()
	if ledger := w.Commercial.Ledger(); len(ledger) != want {
		w.t.Errorf("charged %d times, want %d: %+v", len(ledger), want, ledger)
	}
}
