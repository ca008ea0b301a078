package tencentcloud_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// dying is a storage whose process dies at the n-th write.
type dying struct {
	custody.Store
	left int
}

var errDead = errors.New("the process died")

func (d *dying) Put(ctx context.Context, key string, data []byte) error {
	if d.left--; d.left < 0 {
		return errDead
	}
	return d.Store.Put(ctx, key, data)
}

func (d *dying) Get(ctx context.Context, key string) ([]byte, error) {
	if d.left < 0 {
		return nil, errDead
	}
	return d.Store.Get(ctx, key)
}

// Whatever the last thing written was, the next run ends with one charge.
func TestPurchase_diesAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, source := range []string{tencentcloud.SourcePoints, tencentcloud.SourceBalance} {
		for n := range 12 {
			w := newWorld(t)
			wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
			wish.Intent.Options.Purchase.Source = source
			wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
			wish.Wait = 700 * time.Millisecond
			runner := w.runner()
			runner.Keeper = &dying{w.store, n}
			_, _, err := runner.Run(t.Context(), wish)
			j := w.reaches(wish, order.StatusIssuing)
			w.Commercial.Advance(time.Hour)
			w.must(wish, order.StatusIssued)
			w.charged(1)
			if err == nil {
				if n < 4 {
					t.Errorf("%s: only %d things were written", source, n)
				}
				break
			}
			if !errors.Is(err, errDead) {
				t.Errorf("%s, write %d: %v (%s)", source, n, err, j.Detail)
			}
		}
	}
}

// Each action fails once in each way, before and after it was carried out.
func TestFaults_atEachAction(t *testing.T) {
	t.Parallel()
	actions := map[string][]string{
		tencentcloud.SourcePoints:  {"DescribeCertificates", "DescribePackages", "CreateCertificateByPackage", "DescribeCertificateDetail", "CompleteCertificate"},
		tencentcloud.SourceBalance: {"CreateCertificate", "CertificateInfoSubmit", "CertificateOrderSubmit"},
	}
	for sentence, fault := range map[string]tencentsim.Fault{
		"the answer is cut off":          {Answer: tencentsim.Drop},
		"the request is lost":            {Before: true, Answer: tencentsim.Drop},
		"a proxy answers 502":            {Answer: tencentsim.BadGateway},
		"the API is busy":                {Before: true, Code: "RequestLimitExceeded"},
		"the API is busy in other words": {Before: true, Code: "LimitExceeded.RateLimitExceeded"},
		"the API fails":                  {Code: "InternalError"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for source := range actions {
				for n, action := range actions[source] {
					before := len(w.Commercial.Ledger())
					name := source + string(rune('a'+n)) + ".paid.test"
					wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, name), name)
					wish.Intent.Options.Purchase.Source = source
					wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
					fault.Action, fault.Times, wish.Wait = action, 1, 800*time.Millisecond
					w.Commercial.Break(fault)
					j, err := w.run(wish)
					for range 3 {
						if err == nil && j.Status == order.StatusIssuing {
							break
						}
						if err != nil && !errors.Is(err, order.ErrUnavailable) && !strings.Contains(err.Error(), "repeat") {
							t.Errorf("%s at %s (%s): %v", sentence, action, source, err)
						}
						j, err = w.run(wish)
					}
					w.Commercial.Mend()
					paid := len(w.Commercial.Ledger()) - before
					if j.Status == order.StatusUnknown && fault.Before && strings.HasPrefix(action, "Create") {
						if paid != 0 {
							t.Errorf("%s at %s (%s): charged %d times, want none", sentence, action, source, paid)
						}
						continue // nothing shows, and nothing is bought without being told to
					}
					if err != nil || j.Status != order.StatusIssuing || paid != 1 {
						t.Errorf("%s at %s (%s): status %s (%s), charged %d times (%v), want issuing and once", sentence, action, source, j.Status, j.Detail, paid, err)
					}
				}
			}
		})
	}
}

// A replica that lags behind shows neither the renewal nor the label: the order
// is unknown, nothing is bought, and it is taken when it shows.
func TestStale_orderIsUnknownUntilItShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	w.Commercial.Freeze()
	w.Commercial.Break(tencentsim.Fault{Action: "CreateCertificateByPackage", Times: 1, Answer: tencentsim.Drop})
	j := w.must(wish, order.StatusUnknown)
	if state(j, "payment") != "open" || !strings.Contains(j.Detail, "lost") {
		t.Errorf("obligations %+v (%s), want to look into the console", j.Obligations, j.Detail)
	}
	w.must(wish, order.StatusUnknown)
	w.charged(1)
	w.Commercial.Thaw()
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

// Right after a purchase the order may not show yet.
func TestStale_newOrderDoesNotShowAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Commercial.Break(tencentsim.Fault{Action: "DescribeCertificateDetail", Before: true, Times: 2, Code: "FailedOperation.CertificateNotFound"})
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	wish.Wait = 8 * time.Second
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

// Many orders at once stay below the API's limit.
func TestRequests_arePaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	opened := w.runner().Issuer.(*tencentcloud.Issuer)
	id := w.old(1013949, 20, 0, 0, "www.paid.test")
	began := time.Now()
	for range 10 {
		if _, err := opened.Certificate(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("ten requests of an action took %s, want over a second", took)
	}
}
