package tencentcloud_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// letter is a scan that the CA takes.
func letter() []byte { return append([]byte("%PDF-1.4\n"), make([]byte, 2000)...) }

func TestRenewal_dvWithPoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	j := w.must(wish, order.StatusIssuing)
	if len(j.Records) != 1 || j.Records[0].Type != "TXT" || !strings.HasPrefix(j.Records[0].Name, "_dnsauth.") {
		t.Errorf("records %+v, want one TXT at _dnsauth", j.Records)
	}
	w.Commercial.Advance(10 * time.Minute)
	j = w.must(wish, order.StatusIssued)
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil || len(chain) != 2 {
		t.Fatalf("%d certificates (%v), want 2", len(chain), err)
	}
	if len(j.Records) != 0 {
		t.Errorf("%d records are left", len(j.Records))
	}
	if days := int(chain[0].NotAfter.Sub(chain[0].NotBefore)/day) + 1; days != lifecycle.CapAt(w.Commercial.Now()).Days {
		t.Errorf("it lives %d days, want the cap of the day", days)
	}
	if j := w.must(wish, order.StatusIssued); string(j.Certificate) == "" {
		t.Error("adopted without a certificate")
	}
	w.charged(1)
}

func TestRenewal_ovWithLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	wish := renewal("securesite-ov", w.old(1018580, 20, company, manager, "www.ov.test"), "www.ov.test")
	j := w.must(wish, order.StatusAwaitingDocument)
	if want := lifecycle.AddWorkingDays(j.CreatedAt, 5, time.FixedZone("", 8*3600)); !j.ExpectedBy.Equal(want) {
		t.Errorf("expected by %s, want %s", j.ExpectedBy, want)
	}
	wish.Supplies.Letter = letter()
	w.must(wish, order.StatusOrganizationReview)
	for range 2 { // two days of applies change nothing
		w.Commercial.Advance(day)
		w.must(wish, order.StatusOrganizationReview)
	}
	w.Commercial.Advance(4 * day)
	j = w.must(wish, order.StatusIssued)
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil || strings.Join(chain[0].Subject.Organization, "") != "Example Ltd." {
		t.Errorf("the certificate is for %v (%v), want the company", chain, err)
	}
	if n := w.Commercial.Requested()["UploadConfirmLetter"]; n != 1 {
		t.Errorf("the letter was uploaded %d times, want once", n)
	}
	w.charged(1)
}

func TestRenewal_letterInTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Commercial.Break(tencentsim.Fault{Action: "UploadConfirmLetter", Before: true, Code: "FailedOperation.UploadConfirmCertificateNotSupport"})
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	wish := renewal("securesite-ov", w.old(1018580, 20, company, manager, "www.ov.test"), "www.ov.test")
	wish.Supplies.Letter = letter()
	j := w.must(wish, order.StatusAwaitingDocument)
	if !strings.Contains(j.Detail, "console") || !strings.Contains(j.Detail, "UploadConfirmCertificateNotSupport") {
		t.Errorf("detail %q, want the CA's words and the way by the console", j.Detail)
	}
	if err := w.Commercial.UploadLetter(j.OrderID); err != nil {
		t.Fatal(err)
	}
	w.must(wish, order.StatusOrganizationReview)
	w.Commercial.Advance(7 * day)
	w.must(wish, order.StatusIssued)
	w.charged(1)
}

func TestRenewal_noLetterForAReviewedManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", true)
	w.must(renewal("securesite-ov", w.old(1018580, 20, company, manager, "www.ov.test"), "www.ov.test"), order.StatusOrganizationReview)
	w.must(renewal("globalsign-ov", w.old(1013900, 20, company, manager, "www.gs.test"), "www.gs.test"), order.StatusAwaitingDocument)
}

func TestPurchase_isChargedOnce(t *testing.T) {
	t.Parallel()
	for sentence, fault := range map[string]tencentsim.Fault{
		"the answer is cut off":          {Answer: tencentsim.Drop},
		"a proxy answers 502":            {Answer: tencentsim.BadGateway},
		"the API says internal error":    {Code: "InternalError"},
		"the request is lost on its way": {Before: true, Answer: tencentsim.Drop},
		"the API is busy":                {Before: true, Code: "RequestLimitExceeded"},
		"the API is busy in other words": {Before: true, Code: "LimitExceeded.RateLimitExceeded"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fault.Action, fault.Times = "CreateCertificateByPackage", 1
			w.Commercial.Break(fault)
			wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
			j, err := w.run(wish)
			if fault.Before {
				// Nothing was bought: either it says so, or it does not know and
				// buys nothing more by itself.
				if err == nil && j.Status != order.StatusUnknown {
					t.Errorf("status %s, want %s", j.Status, order.StatusUnknown)
				}
				if errors.Is(err, order.ErrUnavailable) { // told that it is busy
					w.must(wish, order.StatusIssuing)
					w.charged(1)
					return
				}
				w.must(wish, order.StatusUnknown)
				w.charged(0)
				wish.Intent.Token = "again"
				w.must(wish, order.StatusIssuing)
				w.charged(1)
				return
			}
			if err != nil || j.Status != order.StatusIssuing {
				t.Fatalf("status %s (%v), want %s", j.Status, err, order.StatusIssuing)
			}
			w.charged(1)
		})
	}
}

func TestPurchase_isFoundByItsLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Commercial.Break(tencentsim.Fault{Action: "CreateCertificate", Times: 1, Answer: tencentsim.Drop})
	wish := renewal("dnspod-dv", "", "www.paid.test")
	wish.Intent.Options.Purchase.Source = tencentcloud.SourceBalance
	wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

func TestPurchase_needsConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	wish.Supplies.AcceptCharges = false
	if _, err := w.run(wish); err == nil || !strings.Contains(err.Error(), "accept_charges") {
		t.Errorf("error %v, want one about accept_charges", err)
	}
	w.charged(0)
	wish.Supplies.AcceptCharges = true
	w.must(wish, order.StatusIssuing)
}

func TestPurchase_isRefusedInTheCAsWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 45, 0, 0, "www.paid.test"), "www.paid.test")
	_, err := w.run(wish)
	if !errors.Is(err, order.ErrRejected) || !strings.Contains(err.Error(), "can be renewed from") {
		t.Errorf("error %v, want the CA's words on the window", err)
	}
	w.charged(0)
	w.Commercial.Advance(20 * day)
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

func TestOrder_adoptedFromTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.old(1013949, 20, 0, 0, "www.paid.test")
	wish := renewal("", old, "www.paid.test")
	wish.Intent.Options.Purchase.Source, wish.Intent.Options.Purchase.KeyAtCA = tencentcloud.SourceAdopt, true
	wish.Supplies.AcceptCharges = false
	if j := w.must(wish, order.StatusPlanned); len(j.Obligations) != 1 || j.Obligations[0].Kind != "payment" {
		t.Errorf("obligations %+v, want the payment", j.Obligations)
	}
	if _, err := w.Commercial.Renew(old); err != nil {
		t.Fatal(err)
	}
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	j := w.must(wish, order.StatusIssued)
	key, err := order.LoadKey(t.Context(), w.store, j.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil || key.Matches(chain[0]) != nil {
		t.Errorf("the key is not the certificate's (%v)", err)
	}
	w.charged(1) // in the console
}

func TestOrder_rejectedIsSubmittedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("wotrus-dv", "", "www.paid.test")
	wish.Intent.Options.Purchase.Source = tencentcloud.SourceBalance
	wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
	j := w.must(wish, order.StatusIssuing)
	if err := w.Commercial.Reject(j.OrderID, "CA审核失败，域名未通过安全审查"); err != nil {
		t.Fatal(err)
	}
	if j = w.must(wish, order.StatusRejected); !strings.Contains(j.Detail, "安全审查") {
		t.Errorf("detail %q, want the CA's words", j.Detail)
	}
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

func TestOrder_cancelledIsNotBoughtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	wish := renewal("securesite-ov", w.old(1018580, 20, company, manager, "www.ov.test"), "www.ov.test")
	j := w.must(wish, order.StatusAwaitingDocument)
	canceller := w.runner().Issuer.(*tencentcloud.Issuer)
	if err := canceller.Cancel(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	w.must(wish, order.StatusCancelled)
	if err := w.Commercial.Refund(j.OrderID); err != nil {
		t.Fatal(err)
	}
	w.must(wish, order.StatusRefunded)
	w.charged(1)
}

func TestFree_opensThirtyDaysBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("", w.old(0, 31, 0, 0, "www.free.test"), "www.free.test")
	wish.Intent.Options.Purchase.Source, wish.Intent.Options.Purchase.KeyAtCA = tencentcloud.SourceFree, true
	wish.Supplies.AcceptCharges = false
	if _, err := w.run(wish); !errors.Is(err, order.ErrRejected) {
		t.Errorf("31 days before the end: %v, want %v", err, order.ErrRejected)
	}
	w.Commercial.Advance(day + time.Hour)
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	w.must(wish, order.StatusIssued)
	w.charged(0)
}

func TestCredential_wrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.CommercialKey = "another"
	_, err := w.run(renewal("dnspod-dv", "abc", "www.paid.test"))
	if err == nil || !strings.Contains(err.Error(), "check secret_id and secret_key") || strings.Contains(err.Error(), "another") {
		t.Errorf("error %v, want what to do and no secret", err)
	}
	w.CommercialID = "nobody"
	if _, err := w.run(renewal("dnspod-dv", "abc", "www.paid.test")); err == nil || !strings.Contains(err.Error(), "SecretId") {
		t.Errorf("error %v, want the CA's words", err)
	}
}

func TestProducts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range tencentcloud.Products() {
		if seen[p.Name] || p.PackageID == 0 && p.ID == 0 {
			t.Errorf("%+v is there twice or cannot be bought", p)
		}
		seen[p.Name] = true
	}
	if len(seen) < 70 {
		t.Errorf("%d products, want those of the API", len(seen))
	}
	if _, err := tencentcloud.ProductBy("dnspod-xv"); err == nil || !strings.Contains(err.Error(), "dnspod-dv") {
		t.Errorf("error %v, want products of the brand", err)
	}
	if p, err := tencentcloud.ProductBy("9999999"); err != nil || p.PackageID != 9999999 {
		t.Errorf("%+v (%v), want any number", p, err)
	}
	p, err := tencentcloud.ProductBy("dnspod-dv")
	if err != nil || p.Check([]string{"a.test"}) != nil || p.Check([]string{"a.test", "b.test"}) == nil || p.Check([]string{"*.a.test"}) == nil {
		t.Errorf("%+v (%v) takes one name and no wildcard", p, err)
	}
}
