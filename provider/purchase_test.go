package provider_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

const wholeDay = 24 * time.Hour

// shop is a lab with the commercial CA, where the clocks of provider and CA are
// one.
type shop struct {
	*world
	t *testing.T
}

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{newWorld(t, lab.Options{CommercialCA: true}), t}
}

// later moves both clocks.
func (s *shop) later(d time.Duration) func() {
	return func() {
		s.Commercial.Advance(d)
		s.advance(d)
	}
}

// old is a certificate of the account that ends in so many days.
func (s *shop) old(seed tencentsim.Seed, days int) string {
	s.t.Helper()
	seed.Remaining = time.Duration(days) * wholeDay
	id, err := s.Commercial.AddCertificate(seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *shop) charged(want int) {
	s.t.Helper()
	if ledger := s.Commercial.Ledger(); len(ledger) != want {
		s.t.Errorf("charged %d times, want %d: %+v", len(ledger), want, ledger)
	}
}

// bought is a configuration that buys a certificate for one name.
func bought(name, purchase string) string {
	return fmt.Sprintf(`
provider "certificate" {
  issuers = { tencent = { tencentcloud = {} } }
}
resource "certificate_renewal" "www" {
  domains      = [%q]
  wait_timeout = "2s"
  purchase = {
%s
  }
}
output "records" {
  value = certificate_renewal.www.validation_records
}`, name, purchase)
}

// stands checks where a certificate stands.
func stands(want string) resource.TestCheckFunc {
	return resource.TestCheckResourceAttr(www, "status", want)
}

func TestAccPurchase_dvRenewalAndTheNextOne(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", `product = "dnspod-dv"`+"\n"+`accept_charges = true`+"\n"+`original_certificate_id = "`+id+`"`)
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("issuing"), resource.TestCheckNoResourceAttr(www, "certificate_pem"))},
		resource.TestStep{Config: config, PlanOnly: true}, // the CA works: nothing to apply
		resource.TestStep{
			PreConfig: s.later(time.Hour), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "1"), resource.TestCheckResourceAttrSet(www, "purchased.certificate_id")),
		},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(160 * wholeDay), Config: config, PlanOnly: true}, // not due
		resource.TestStep{
			PreConfig: s.later(15 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(stands("issuing"), resource.TestCheckResourceAttrSet(www, "certificate_pem")),
		},
		resource.TestStep{
			PreConfig: s.later(time.Hour), Config: config,
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2")),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	s.charged(2)
}

func TestAccPurchase_ovOverDaysWithALetter(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	without := "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \"" + id + "\""
	letter := base64.StdEncoding.EncodeToString(append([]byte("%PDF-1.4\n"), make([]byte, 2000)...))
	with := without + "\nconfirmation_letter_base64 = \"" + letter + "\""
	s.test(t,
		resource.TestStep{
			Config: bought("www.ov.test", without),
			Check: resource.ComposeTestCheckFunc(stands("awaiting_document"),
				resource.TestCheckTypeSetElemNestedAttrs(www, "obligations.*", map[string]string{"kind": "document", "actor": "applicant", "state": "open"})),
		},
		resource.TestStep{Config: bought("www.ov.test", without), PlanOnly: true},
		resource.TestStep{
			Config: bought("www.ov.test", with), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: stands("organization_review"),
		},
		resource.TestStep{PreConfig: s.later(wholeDay), Config: bought("www.ov.test", with), PlanOnly: true},
		resource.TestStep{PreConfig: s.later(wholeDay), Config: bought("www.ov.test", with), PlanOnly: true},
		resource.TestStep{
			PreConfig: s.later(6 * wholeDay), Config: bought("www.ov.test", with), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: stands("issued"),
		},
		resource.TestStep{Config: bought("www.ov.test", with), PlanOnly: true},
	)
	s.charged(1)
}

func TestAccPurchase_letterInTheConsole(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Commercial.Break(tencentsim.Fault{Action: "UploadConfirmLetter", Before: true, Code: "FailedOperation.UploadConfirmCertificateNotSupport"})
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	letter := base64.StdEncoding.EncodeToString(append([]byte("%PDF-1.4\n"), make([]byte, 2000)...))
	config := bought("www.ov.test", "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"\nconfirmation_letter_base64 = \""+letter+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("awaiting_document"), resource.TestMatchResourceAttr(www, "status_reason", regexp.MustCompile("console")))},
		resource.TestStep{
			PreConfig: func() {
				all := s.Commercial.Certificates()
				if err := s.Commercial.UploadLetter(all[len(all)-1]); err != nil {
					t.Error(err)
				}
			},
			Config: config, PlanOnly: true,
		},
		resource.TestStep{PreConfig: s.later(7 * wholeDay), Config: config, Check: stands("issued")},
	)
	s.charged(1)
}

func TestAccPurchase_adoptsAnOrderOfTheConsole(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "source = \"adopt\"\noriginal_certificate_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("planned"),
			resource.TestCheckTypeSetElemNestedAttrs(www, "obligations.*", map[string]string{"kind": "payment", "actor": "applicant"}))},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{
			PreConfig: func() {
				if _, err := s.Commercial.Renew(id); err != nil {
					t.Error(err)
				}
			},
			Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing"),
		},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttrSet(www, "private_key_id"))},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

// A lost answer is neither an error, which would taint the resource, nor a
// second charge.
func TestAccPurchase_isChargedOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Commercial.Break(tencentsim.Fault{Action: "CreateCertificateByPackage", Times: 1, Answer: tencentsim.Drop})
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", `product = "dnspod-dv"`+"\n"+`accept_charges = true`+"\n"+`original_certificate_id = "`+id+`"`)
	s.test(t,
		resource.TestStep{Config: strings.Replace(config, `"2s"`, `"5s"`, 1), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
	)
	s.charged(1)
}

func TestAccPurchase_importsByNumber(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 60)
	config := bought("www.paid.test", `product = "dnspod-dv"`+"\n"+`accept_charges = true`)
	s.test(t,
		resource.TestStep{
			Config: config, ResourceName: www, ImportState: true, ImportStateId: "certificate:tencent/" + id, ImportStatePersist: true,
		},
		resource.TestStep{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate)}}},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(35 * wholeDay), Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))},
	)
	s.charged(1)
}

func TestAccPurchase_importOfAnOpenOrderIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	old := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	id, err := s.Commercial.Renew(old)
	if err != nil {
		t.Fatal(err)
	}
	config := bought("www.paid.test", "source = \"adopt\"\norder_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{
			Config: config, ResourceName: www, ImportState: true, ImportStateId: "certificate:tencent/" + id,
			ExpectError: regexp.MustCompile(`is\s+not\s+issued;\s+take\s+its\s+order`),
		},
		resource.TestStep{
			Config: config, ResourceName: www, ImportState: true, ImportStateId: "certificate:tencent/mistyped",
			ExpectError: regexp.MustCompile(`does\s+not\s+exist`),
		},
		resource.TestStep{Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
	)
}

// An import knows that the certificate goes on without a payment.
func TestAccPurchase_importsAServiceOfSeveralYears(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}, Years: 3}, 40)
	config := bought("www.paid.test", `product = "dnspod-dv"`+"\n"+`accept_charges = true`)
	s.test(t,
		resource.TestStep{Config: config, ResourceName: www, ImportState: true, ImportStateId: "certificate:tencent/" + id, ImportStatePersist: true},
		resource.TestStep{Config: config, Check: stands("issued")},
		resource.TestStep{PreConfig: s.later(12 * wholeDay), Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))},
	)
	s.charged(0)
}

func TestAccPurchase_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	good := "product = \"dnspod-dv\"\naccept_charges = true"
	replaced := func(old, with string) string { return bought("www.paid.test", strings.Replace(good, old, with, 1)) }
	big := base64.StdEncoding.EncodeToString(append([]byte("%PDF-1.4\n"), make([]byte, 1_500_000)...))
	text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("hello ", 400)))
	for sentence, test := range map[string]struct{ config, want string }{
		"no consent":                      {replaced("accept_charges = true", ""), "accept_charges = true"},
		"no product":                      {replaced("product = \"dnspod-dv\"", ""), "say what to buy"},
		"a product that is unknown":       {replaced("dnspod-dv", "dnspod-xv"), "there is no product"},
		"a wildcard":                      {bought("*.paid.test", good), "dnspod-dv-wildcard"},
		"six years":                       {bought("www.paid.test", good+"\nterm_years = 6"), "want 1 to 5"},
		"several years and a key of ours": {bought("www.paid.test", good+"\nterm_years = 2\nkey = \"upload\""), "makes the keys then"},
		"a company that is no number":     {bought("www.paid.test", good+"\ncompany_id = \"Example\""), "is no number"},
		"a letter too large":              {bought("www.paid.test", good+"\nconfirmation_letter_base64 = \""+big+"\""), "1400000"},
		"a letter of another type":        {bought("www.paid.test", good+"\nconfirmation_letter_base64 = \""+text+"\""), "jpg, png and"},
		"a letter that is no base64":      {bought("www.paid.test", good+"\nconfirmation_letter_base64 = \"letter.pdf\""), "filebase64"},
		"nothing to adopt":                {replaced("product = \"dnspod-dv\"", "source = \"adopt\""), "which order to take"},
		"free for a wildcard":             {bought("*.paid.test", "source = \"free\""), "free product is for one name"},
		"an unknown source":               {bought("www.paid.test", good+"\nsource = \"cash\""), "source"},
		"nothing to buy":                  {strings.Replace(bought("www.paid.test", ""), "  purchase = {\n\n  }\n", "", 1), "say in purchase what"},
		"an issuer that sells nothing":    {strings.Replace(bought("www.paid.test", good), "tencentcloud = {}", "acme = {}", 1), "takes no money"},
		"half a credential":               {strings.Replace(bought("www.paid.test", good), "tencentcloud = {}", "tencentcloud = { secret_id = \"a\" }", 1), "set both"},
		"a URL with a path":               {strings.Replace(bought("www.paid.test", good), "tencentcloud = {}", "tencentcloud = { url = \"https://a.test/b\" }", 1), "no URL of the API"},
	} {
		t.Run(sentence, func(t *testing.T) {
			words := strings.Join(strings.Fields(regexp.QuoteMeta(test.want)), `\s+`)
			s.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: regexp.MustCompile(words)})
		})
	}
	s.charged(0)
}

func TestAccPurchase_refusesChangesOfALiveOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	purchase := "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \"" + id + "\""
	s.test(t,
		resource.TestStep{Config: bought("www.ov.test", purchase), Check: stands("awaiting_document")},
		resource.TestStep{Config: bought("www.ov.test", purchase+"\nterm_years = 2"), PlanOnly: true, ExpectError: regexp.MustCompile(`purchase\.term_years changes`)},
		resource.TestStep{Config: bought("other.ov.test", purchase), PlanOnly: true, ExpectError: regexp.MustCompile(`The set of names changes`)},
		resource.TestStep{Config: bought("www.ov.test", strings.Replace(purchase, "securesite-ov", "securesite-ev", 1)), PlanOnly: true, ExpectError: regexp.MustCompile(`purchase\.product changes`)},
	)
	s.charged(1)
}
