package tencentcloud_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// state is that of an obligation; empty without it.
func state(j order.Journal, kind string) string {
	for _, o := range j.Obligations {
		if o.Kind == kind {
			return o.State
		}
	}
	return ""
}

// person is a validation that writes no records: somebody does by hand.
type person struct{}

func (person) Type() string                                      { return challenge.DNS01 }
func (person) Present(context.Context, []challenge.Record) error { return errors.New("nobody writes") }

func (person) Withdraw(context.Context, []challenge.Record) error { return errors.New("nobody writes") }

// byHand is an apply of a configuration whose validation writes no CNAMEs.
func (w *world) byHand(wish order.Wish) order.Journal {
	w.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	opened, err := tencentcloud.New(w.config(), w.store, person{}, logger)
	if err != nil {
		w.t.Fatal(err)
	}
	wish.Wait = time.Second
	runner := &order.Runner{Issuer: opened, Keeper: w.store, Logger: logger, Now: w.Commercial.Now}
	j, _, err := runner.Run(w.t.Context(), wish)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// R15: the telephone and the record are both needed, in any order.
func TestWoTrus_needsReviewAndValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	for sentence, test := range map[string]struct {
		product string
		pid     uint64
		days    int
	}{"ov": {"wotrus-ov", 1004164, 5}, "ev": {"wotrus-ev", 1004454, 7}} {
		t.Run(sentence+", the record first", func(t *testing.T) {
			wish := renewal(test.product, w.old(test.pid, 20, company, manager, "a-"+sentence+".wotrus.test"), "a-"+sentence+".wotrus.test")
			j := w.must(wish, order.StatusOrganizationReview)
			if want := lifecycle.AddWorkingDays(j.CreatedAt, test.days, time.FixedZone("", 8*3600)); !j.ExpectedBy.Equal(want) {
				t.Errorf("expected by %s, want %s", j.ExpectedBy, want)
			}
			if state(j, "domain_validation") != "done" || state(j, "organization_review") != "open" || state(j, "document") != "" {
				t.Errorf("obligations %+v, want the validation done, the review open, and no letter", j.Obligations)
			}
			if len(j.Records) != 1 || j.Records[0].Type != "CNAME" {
				t.Errorf("records %+v, want one CNAME", j.Records)
			}
		})
		t.Run(sentence+", the review first", func(t *testing.T) {
			name := "b-" + sentence + ".wotrus.test"
			wish := renewal(test.product, w.old(test.pid, 25, company, manager, name), name)
			j := w.byHand(wish)
			if state(j, "domain_validation") != "open" || state(j, "organization_review") != "open" {
				t.Errorf("obligations %+v, want both open", j.Obligations)
			}
			w.Commercial.Advance(6*day + 12*time.Hour) // within the seven days for the record
			if j = w.byHand(wish); j.Status == order.StatusIssued || j.Status == order.StatusIssuing {
				t.Errorf("status %s without the record", j.Status)
			}
			if err := w.Responder.PutCNAME(t.Context(), j.Records[0].Name, j.Records[0].Value); err != nil {
				t.Fatal(err)
			}
			w.byHand(wish)
			w.Commercial.Advance(5 * day)
			if j = w.byHand(wish); j.Status != order.StatusIssued {
				t.Errorf("status %s (%s), want issued", j.Status, j.Detail)
			}
		})
	}
	w.charged(4)
}

// R17, R18: the validation is reused for the same company, and the same details
// need no review.
func TestSM2_reusesValidationOfTheSameCompany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	other, otherManager := w.Commercial.AddCompany("Another Ltd.", false)
	wish := func(company, manager int64) order.Wish {
		wish := renewal("dnspod-sm2-ov", w.old(1004366, 20, company, manager, "www.sm2.test"), "www.sm2.test")
		wish.Intent.Options.Purchase.KeyAtCA = true
		return wish
	}
	j := w.must(wish(company, manager), order.StatusOrganizationReview)
	if state(j, "domain_validation") != "done" || len(j.Records) != 1 || j.Records[0].Type != "CNAME" || state(j, "document") != "" {
		t.Errorf("%+v %+v, want a CNAME that was seen, and no letter", j.Obligations, j.Records)
	}
	w.Commercial.Advance(7 * day)
	j = w.must(wish(company, manager), order.StatusIssuing)
	if len(j.Records) != 0 || state(j, "domain_validation") != "done" {
		t.Errorf("records %+v, obligations %+v, want none: the validation is reused", j.Records, j.Obligations)
	}
	j = w.must(wish(other, otherManager), order.StatusOrganizationReview)
	if len(j.Records) != 1 {
		t.Errorf("another company: records %+v, want one", j.Records)
	}
	w.Commercial.Advance(400 * day)
	j = w.must(wish(company, manager), order.StatusIssuing) // the review is spared for ever, the validation is not
	if len(j.Records) != 1 {
		t.Errorf("after 13 months: records %+v, want one", j.Records)
	}
}

// A service of several years goes on without a charge, with a key of the CA.
func TestService_nextCertificateIsNotBought(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, err := w.Commercial.AddCertificate(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}, Remaining: 31 * day, Years: 3})
	if err != nil {
		t.Fatal(err)
	}
	wish := renewal("dnspod-dv", id, "www.paid.test")
	wish.Intent.Options.Purchase.Service = true
	wish.Supplies.AcceptCharges = false
	if j := w.must(wish, order.StatusPlanned); len(j.Obligations) != 1 || j.Obligations[0].Actor != "ca" {
		t.Errorf("obligations %+v, want the CA's", j.Obligations)
	}
	w.Commercial.Advance(2 * day)
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	j := w.must(wish, order.StatusIssued)
	key, err := order.LoadKey(t.Context(), w.store, j.KeyID)
	chain, chainErr := pki.ParseCertificates(j.Certificate)
	if err := errors.Join(err, chainErr); err != nil || key.Matches(chain[0]) != nil {
		t.Errorf("the key is not the certificate's (%v)", err)
	}
	if j.ServiceEnd.Before(chain[0].NotAfter) {
		t.Errorf("the service ends on %s, before the certificate", j.ServiceEnd)
	}
	w.charged(0)
}

func TestAutoRenewal_isAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", "", "www.paid.test")
	wish.Intent.Options.Purchase.Source = tencentcloud.SourceBalance
	wish.Supplies.Contact, wish.Supplies.AutoRenew = map[string]string{"contact_email": "ops@paid.test"}, true
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	first := w.must(wish, order.StatusIssued)
	w.Commercial.Advance(175 * day)
	next := renewal("", first.OrderID, "www.paid.test")
	next.Intent.Options.Purchase.Source, next.Intent.Options.Purchase.KeyAtCA = tencentcloud.SourceAdopt, true
	next.Supplies.AcceptCharges = false
	w.must(next, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	w.must(next, order.StatusIssued)
	w.charged(2) // the second one by the CA
}

// Somebody renewed in the console while the configuration would have uploaded a
// request: the renewal is taken, with the key that the CA made for it.
func TestConsole_renewalWithAKeyOfItsOwnIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.old(1013949, 20, 0, 0, "www.paid.test")
	if _, err := w.Commercial.Renew(old); err != nil {
		t.Fatal(err)
	}
	wish := renewal("dnspod-dv", old, "www.paid.test")
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	j := w.must(wish, order.StatusIssued)
	key, err := order.LoadKey(t.Context(), w.store, j.KeyID)
	chain, chainErr := pki.ParseCertificates(j.Certificate)
	if err := errors.Join(err, chainErr); err != nil || key.Matches(chain[0]) != nil {
		t.Errorf("the key is not the certificate's (%v)", err)
	}
	w.charged(1)
}

// A rejected order is told other information, and is not paid for again.
func TestRejected_otherContactIsSubmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("securesite-ov", "", "www.ov.test")
	wish.Intent.Options.Purchase.Source = tencentcloud.SourceBalance
	wish.Supplies.Contact = map[string]string{"organization": "Sample Ltd.", "admin_first_name": "Wei", "admin_phone": "1", "admin_email": "a@ov.test"}
	j := w.must(wish, order.StatusAwaitingDocument)
	if err := w.Commercial.Reject(j.OrderID, "公司名称不正确"); err != nil {
		t.Fatal(err)
	}
	if j = w.must(wish, order.StatusRejected); !strings.Contains(j.Detail, "公司名称不正确") || !strings.Contains(j.Detail, "change in purchase") {
		t.Errorf("detail %q, want the CA's words and what to do", j.Detail)
	}
	wish.Supplies.Contact["organization"], wish.Supplies.Letter = "Example Ltd.", letter()
	w.must(wish, order.StatusOrganizationReview)
	w.Commercial.Advance(7 * day)
	j = w.must(wish, order.StatusIssued)
	if chain, err := pki.ParseCertificates(j.Certificate); err != nil || strings.Join(chain[0].Subject.Organization, "") != "Example Ltd." {
		t.Errorf("%v is for another company (%v)", chain, err)
	}
	w.charged(1)
}

// Information that the CA refuses is said and kept, and not sent in each run.
func TestInformation_refusedIsSaidInTheCAsWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", "", "www.paid.test")
	wish.Intent.Options.Purchase.Source = tencentcloud.SourceBalance // without an e-mail address
	j := w.must(wish, order.StatusAwaitingInformation)
	if !strings.Contains(j.Detail, "ContactEmail") {
		t.Errorf("detail %q, want the CA's words", j.Detail)
	}
	j.Supplies = wish.Supplies
	follower := w.runner().Issuer.(*tencentcloud.Issuer)
	next, act, err := follower.Look(t.Context(), j)
	if err != nil || act || !strings.Contains(next.Detail, "ContactEmail") {
		t.Errorf("act %t, detail %q (%v), want to wait for people, in the same words", act, next.Detail, err)
	}
	wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}

// People are not waited for, however long an apply may take.
func TestWait_isNotForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	for product, test := range map[string]struct {
		pid  uint64
		want order.Status
	}{"securesite-ov": {1018580, order.StatusAwaitingDocument}, "wotrus-ov": {1004164, order.StatusOrganizationReview}} {
		name := product + ".wait.test"
		wish := renewal(product, w.old(test.pid, 20, company, manager, name), name)
		wish.Wait = 30 * time.Minute
		began := time.Now()
		w.must(wish, test.want)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: an apply took %s", product, took)
		}
	}
}

// The journal knows of an order that the CA deleted.
func TestOrder_deletedAtTheCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	w.must(wish, order.StatusIssuing)
	w.Commercial.Break(tencentsim.Fault{Action: "DescribeCertificateDetail", Before: true, Code: "FailedOperation.CertificateNotFound"})
	if j := w.must(wish, order.StatusExpired); !strings.Contains(j.Detail, "force_token") {
		t.Errorf("detail %q, want what to do", j.Detail)
	}
	w.charged(1)
}

func TestOrder_thatDoesNotExistIsNotAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("", "", "www.paid.test")
	wish.Intent.Options.Purchase.Source, wish.Intent.Options.Purchase.Order = tencentcloud.SourceAdopt, "mistyped"
	if _, err := w.run(wish); err == nil || !strings.Contains(err.Error(), "mistyped") {
		t.Errorf("error %v, want the CA's words on the number", err)
	}
}

// An order that was destroyed here and is wanted again is the same one.
func TestOrder_destroyedAndCreatedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
	j := w.must(wish, order.StatusIssuing)
	if err := order.Release(t.Context(), w.store, j.Lineage); err != nil {
		t.Fatal(err)
	}
	w.Commercial.Advance(time.Hour)
	again := w.must(wish, order.StatusIssued)
	if lineage, err := order.LoadLineage(t.Context(), w.store, j.Lineage); err != nil || lineage.Released || len(lineage.Generations) != 1 {
		t.Errorf("lineage %+v (%v), want one that is owned again", lineage, err)
	}
	if again.OrderID != j.OrderID || again.KeyID != j.KeyID {
		t.Errorf("order %s with key %s, want %s with %s", again.OrderID, again.KeyID, j.OrderID, j.KeyID)
	}
	w.charged(1)
}

func TestKey_lost(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		atCA, balance bool
		issued        bool
		want          error
	}{
		"of a request that the CA has":          {want: order.ErrKeyLost},
		"made by the CA, which has it still":    {atCA: true, issued: true},
		"before the CA was told of the request": {balance: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			wish := renewal("dnspod-dv", w.old(1013949, 20, 0, 0, "www.paid.test"), "www.paid.test")
			wish.Intent.Options.Purchase.KeyAtCA = test.atCA
			status := order.StatusIssuing
			if test.balance {
				wish.Intent.Options.Purchase.Source, status = tencentcloud.SourceBalance, order.StatusAwaitingInformation
			}
			j := w.must(wish, status)
			if test.issued {
				w.Commercial.Advance(time.Hour)
				w.must(wish, order.StatusIssued)
			}
			if err := os.Remove(filepath.Join(w.StorageDirectory(), "keys", j.KeyID)); err != nil {
				t.Fatal(err)
			}
			wish.Supplies.Contact = map[string]string{"contact_email": "ops@paid.test"}
			j, err := w.run(wish)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if test.want == nil {
				if _, err := order.LoadKey(t.Context(), w.store, j.KeyID); err != nil {
					t.Error(err)
				}
			}
			w.charged(1)
		})
	}
}
