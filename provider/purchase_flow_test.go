package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// obliges checks the state of an obligation.
func obliges(kind, actor, state string) resource.TestCheckFunc {
	return resource.TestCheckTypeSetElemNestedAttrs(www, "obligations.*", map[string]string{"kind": kind, "actor": actor, "state": state})
}

// newest is the order that was placed last.
func (s *shop) newest() string {
	all := s.Commercial.Certificates()
	return all[len(all)-1]
}

// company is one that the CA knows, as arguments.
func (s *shop) company(name string, reviewed bool) (seed tencentsim.Seed, arguments string) {
	company, manager := s.Commercial.AddCompany(name, reviewed)
	return tencentsim.Seed{Company: company, Manager: manager}, fmt.Sprintf("company_id = \"%d\"\nmanager_id = \"%d\"", company, manager)
}

// R15: WoTrus calls and looks the record up, both.
func TestAccPurchase_telephoneAndRecord(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	seed, _ := s.company("Example Ltd.", false)
	seed.PID, seed.Names = 1004164, []string{"www.wotrus.test"}
	config := bought("www.wotrus.test", "product = \"wotrus-ov\"\naccept_charges = true\noriginal_certificate_id = \""+s.old(seed, 20)+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(
			stands("organization_review"), obliges("domain_validation", "provider", "done"), obliges("organization_review", "applicant", "open"),
			resource.TestCheckResourceAttr(www, "validation_records.0.type", "CNAME"),
		)},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(wholeDay), Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(6 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issued")},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	s.charged(1)
}

func TestAccPurchase_evTakesSevenWorkingDays(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	seed, _ := s.company("Example Ltd.", false)
	seed.PID, seed.Names = 1018557, []string{"www.ev.test"}
	letter := base64.StdEncoding.EncodeToString(append([]byte("%PDF-1.4\n"), make([]byte, 2000)...))
	config := bought("www.ev.test", "product = \"securesite-ev\"\naccept_charges = true\noriginal_certificate_id = \""+s.old(seed, 20)+"\"\nconfirmation_letter_base64 = \""+letter+"\"")
	outputs := map[string]string{}
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("organization_review"), obliges("document", "applicant", "done"), grab(outputs, www, "expected_by"))},
		resource.TestStep{PreConfig: s.later(3 * wholeDay), Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(8 * wholeDay), Config: config, Check: stands("issued")},
	)
	by, err := time.Parse(time.RFC3339, outputs["expected_by"])
	if days := time.Until(by) / wholeDay; err != nil || days < 8 || days > 12 {
		t.Errorf("expected by %s (%v), want seven working days from now", outputs["expected_by"], err)
	}
	s.charged(1)
}

// The second certificate of three years is taken without a purchase.
func TestAccPurchase_serviceOfSeveralYears(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	config := bought("www.years.test", "product = \"dnspod-dv\"\nsource = \"balance\"\naccept_charges = true\nterm_years = 3\ncontact = { contact_email = \"ops@years.test\" }")
	s.test(t,
		resource.TestStep{Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttrSet(www, "purchased.service_end"))},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(172 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	s.charged(1)
}

func TestAccPurchase_automaticRenewalIsAdopted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first := bought("www.auto.test", "product = \"dnspod-dv\"\nsource = \"balance\"\naccept_charges = true\nauto_renew = true\ncontact = { contact_email = \"ops@auto.test\" }")
	then := bought("www.auto.test", "source = \"adopt\"")
	s.test(t,
		resource.TestStep{Config: first, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: first, Check: stands("issued")},
		resource.TestStep{Config: then, Check: resource.TestCheckResourceAttr(www, "generation", "1")},
		resource.TestStep{PreConfig: s.later(172 * wholeDay), Config: then, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: then, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))},
	)
	s.charged(2) // the second one by the CA itself
}

// What is carried over is what the cap of the day lets through.
func TestAccPurchase_carriesDaysOverWithinTheCaps(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	start := time.Date(2025, 2, 1, 12, 0, 0, 0, time.UTC)
	s.later(time.Until(start))()
	common := "product = \"dnspod-dv\"\naccept_charges = true\ncontact = { contact_email = \"ops@cap.test\" }"
	first, then := bought("www.cap.test", common+"\nsource = \"balance\""), bought("www.cap.test", common)
	carried := func(days string) resource.TestCheckFunc {
		return resource.TestCheckResourceAttr(www, "carried_over_days", days)
	}
	outputs := map[string]string{}
	s.test(t,
		resource.TestStep{Config: first, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: first, Check: resource.ComposeTestCheckFunc(stands("issued"), carried("0"))},
		resource.TestStep{PreConfig: s.later(340*wholeDay - 3*time.Hour), Config: then, Check: stands("issuing")}, // 25 days are left, in January 2026
		resource.TestStep{PreConfig: s.later(time.Hour), Config: then, Check: resource.ComposeTestCheckFunc(stands("issued"), carried("25"))},
		resource.TestStep{PreConfig: s.later(370 * wholeDay), Config: then, Check: stands("issuing")}, // in January 2027, of at most 200
		resource.TestStep{PreConfig: s.later(time.Hour), Config: then, Check: resource.ComposeTestCheckFunc(stands("issued"), carried("0"), grab(outputs, www, "not_before", "not_after"))},
	)
	begin, _ := time.Parse(time.RFC3339, outputs["not_before"])
	end, _ := time.Parse(time.RFC3339, outputs["not_after"])
	if days := int(end.Add(time.Second).Sub(begin) / wholeDay); days != 200 {
		t.Errorf("it lives %d days from %s, want 200", days, begin)
	}
	s.charged(3)
}

// The first certificate follows one that only the CA has: of its year under the
// cap of 398 days, 25 were left.
func TestAccPurchase_carriesDaysOverFromTheOriginal(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	start := time.Date(2025, 2, 1, 12, 0, 0, 0, time.UTC)
	s.later(time.Until(start))()
	common := "product = \"dnspod-dv\"\naccept_charges = true\ncontact = { contact_email = \"ops@cap.test\" }"
	first := bought("www.cap.test", common+"\nsource = \"balance\"")
	s.test(t,
		resource.TestStep{Config: first, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: first, Check: stands("issued")},
	)
	all := s.Commercial.Certificates()
	if err := os.RemoveAll(s.StorageDirectory()); err != nil {
		t.Fatal(err)
	}
	then := bought("www.cap.test", common+"\noriginal_certificate_id = \""+all[len(all)-1]+"\"")
	s.later(340*wholeDay - 3*time.Hour)()
	s.test(t,
		resource.TestStep{Config: then, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: then, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "carried_over_days", "25"))},
	)
	s.charged(2)
}

func TestAccPurchase_rejectedIsSubmittedAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	config := func(mail string) string {
		return bought("www.no.test", "product = \"dnspod-dv\"\nsource = \"balance\"\naccept_charges = true\ncontact = { contact_email = \""+mail+"\" }")
	}
	s.test(t,
		resource.TestStep{Config: config("nobody@no.test"), Check: stands("issuing")},
		resource.TestStep{
			PreConfig: func() {
				if err := s.Commercial.Reject(s.newest(), "联系人邮箱无效"); err != nil {
					t.Error(err)
				}
			},
			Config: config("nobody@no.test"), PlanOnly: true, // only people can do something
		},
		resource.TestStep{Config: config("ops@no.test"), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config("ops@no.test"), Check: stands("issued")},
	)
	s.charged(1)
}

func TestAccPurchase_refusedInformationIsNoDiff(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	without := bought("www.info.test", "product = \"dnspod-dv\"\nsource = \"balance\"\naccept_charges = true")
	with := bought("www.info.test", "product = \"dnspod-dv\"\nsource = \"balance\"\naccept_charges = true\ncontact = { contact_email = \"ops@info.test\" }")
	s.test(t,
		resource.TestStep{Config: without, Check: resource.ComposeTestCheckFunc(stands("awaiting_information"), resource.TestMatchResourceAttr(www, "status_reason", regexp.MustCompile("ContactEmail")))},
		resource.TestStep{Config: without, PlanOnly: true},
		resource.TestStep{Config: with, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing")},
	)
	s.charged(1)
}

func TestAccPurchase_destroyKeepsOrCancels(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		argument  string
		cancelled bool
	}{"kept by default": {"", false}, "cancelled when told to": {"\non_destroy = \"cancel\"", true}} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			seed, _ := s.company("Example Ltd.", false)
			seed.PID, seed.Names = 1018580, []string{"www.ov.test"}
			config := bought("www.ov.test", "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \""+s.old(seed, 20)+"\""+test.argument)
			s.test(t, resource.TestStep{Config: config, Check: stands("awaiting_document")}) // and destroys it
			if n := s.Commercial.Requested()["CancelCertificateOrder"]; (n == 1) != test.cancelled {
				t.Errorf("cancelled %d times, want it: %t", n, test.cancelled)
			}
			s.charged(1)
			if test.cancelled {
				if err := s.Commercial.Refund(s.newest()); err != nil { // by a person, in the console
					t.Error(err)
				}
				return
			}
			s.test(t, resource.TestStep{Config: config, Check: stands("awaiting_document")})
			s.charged(1)
		})
	}
}

func TestAccPurchase_destroyTellsWhyItDoesNotCancel(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	seed, _ := s.company("Example Ltd.", false)
	seed.PID, seed.Names = 1018580, []string{"www.ov.test"}
	config := bought("www.ov.test", "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \""+s.old(seed, 20)+"\"\non_destroy = \"cancel\"")
	s.Commercial.Break(tencentsim.Fault{Action: "CancelCertificateOrder", Times: 1, Before: true, Code: "FailedOperation.CancelOrderFailed"})
	s.test(t,
		resource.TestStep{Config: config, Check: stands("awaiting_document")},
		resource.TestStep{Config: config, Destroy: true, ExpectError: regexp.MustCompile(`CancelOrderFailed`)},
		resource.TestStep{Config: config, Check: stands("awaiting_document")}, // it is there still
	)
	s.charged(1)
}

func TestAccPurchase_replacesInCloudResources(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\ncloud_resources = [\"clb\", \"cdn\"]\noriginal_certificate_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
	)
	want := fmt.Sprint([]tencentsim.Replacement{{Old: id, New: s.newest(), Types: []string{"clb", "cdn"}}})
	if got := fmt.Sprint(s.Commercial.Replacements()); got != want {
		t.Errorf("replaced %s, want %s", got, want)
	}
}

// What the CA would refuse of a renewal is refused in the plan.
func TestAccPurchase_refusesBadRenewalsInThePlan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	seed, company := s.company("Example Ltd.", true)
	_, other := s.company("Another Ltd.", true)
	seed.PID, seed.Names = 1018580, []string{"www.ov.test"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"www.ov.test"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	purchase := "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \"" + s.old(seed, 25) + "\"\n"
	config := func(purchase string) string {
		return strings.Replace(bought("www.ov.test", purchase), "wait_timeout = \"2s\"", "wait_timeout = \"2s\"\n  csr_pem = <<EOT\n"+csr+"EOT", 1)
	}
	again := func(config string) string {
		return strings.Replace(config, "  purchase =", "  renewal = { force_token = \"again\" }\n  purchase =", 1)
	}
	s.test(t,
		resource.TestStep{Config: config(purchase + company), Check: stands("organization_review")},
		resource.TestStep{PreConfig: s.later(7 * wholeDay), Config: config(purchase + company), Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckNoResourceAttr(www, "private_key_id"))},
		resource.TestStep{Config: config(purchase + other), PlanOnly: true, ExpectError: regexp.MustCompile(`company_id\s+changes`)},
		resource.TestStep{Config: again(config(purchase + company)), PlanOnly: true, ExpectError: regexp.MustCompile(`renews\s+from\s+30\s+days\s+before`)},
		resource.TestStep{PreConfig: s.later(180 * wholeDay), Config: config(purchase + company), PlanOnly: true, ExpectError: regexp.MustCompile(`takes\s+a\s+signing\s+request\s+once`)},
	)
	s.charged(1)
}

// An order that nobody knows of is a warning, buys nothing more, and is taken
// when it shows.
func TestAccPurchase_unknownOrderIsAdoptedLater(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Commercial.Break(tencentsim.Fault{Action: "CreateCertificateByPackage", Times: 1, Answer: tencentsim.Drop})
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	s.Commercial.Freeze()
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("order_unknown"), obliges("payment", "applicant", "open"))},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.Commercial.Thaw, Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
	)
	s.charged(1)
}

// Money was spent: what fails after it is a warning, and nothing is tainted.
func TestAccPurchase_failureAfterThePaymentIsAWarning(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	token := s.environment["CERTIFICATE_RESPONDER_TOKEN"]
	s.environment["CERTIFICATE_RESPONDER_TOKEN"] = "another"
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: stands("awaiting_validation"), ExpectNonEmptyPlan: true},
		resource.TestStep{
			PreConfig: func() { s.environment["CERTIFICATE_RESPONDER_TOKEN"] = token },
			Config:    config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing"),
		},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
	)
	s.charged(1)
}

func TestAccPurchase_wrongCredential(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	key := s.environment["TENCENTCLOUD_SECRET_KEY"]
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	wrong := func() { s.environment["TENCENTCLOUD_SECRET_KEY"] = "wrong" }
	s.test(t,
		resource.TestStep{PreConfig: wrong, Config: config, ExpectError: regexp.MustCompile(`check\s+secret_id\s+and\s+secret_key`)},
		resource.TestStep{PreConfig: func() { s.environment["TENCENTCLOUD_SECRET_KEY"] = key }, Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: wrong, Config: config, PlanOnly: true}, // a plan says so and stays empty
	)
	s.environment["TENCENTCLOUD_SECRET_KEY"] = key
	s.charged(1)
}

// A refresh whose storage is damaged or whose CA is down changes nothing.
func TestAccPurchase_refreshOfAnOpenOrderSurvives(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	var journals map[string][]byte
	change := func(to func(path string, text []byte) error) func() {
		return func() {
			for path, text := range journals {
				if err := to(path, text); err != nil {
					t.Error(err)
				}
			}
		}
	}
	s.test(t,
		resource.TestStep{Config: config, Check: stands("issuing")},
		resource.TestStep{
			PreConfig: func() {
				journals = map[string][]byte{}
				paths, err := filepath.Glob(filepath.Join(s.StorageDirectory(), "journals", "*"))
				if err != nil || len(paths) == 0 {
					t.Error("no journals", err)
				}
				for _, path := range paths {
					if journals[path], err = os.ReadFile(path); err != nil {
						t.Error(err)
					}
				}
				change(func(path string, _ []byte) error { return os.WriteFile(path, []byte("{"), 0o600) })()
			},
			Config: config, PlanOnly: true,
		},
		resource.TestStep{PreConfig: change(func(path string, _ []byte) error { return os.Remove(path) }), Config: config, PlanOnly: true},
		resource.TestStep{ // an apply that has a reason to go on does not order again
			Config:      strings.Replace(config, "accept_charges = true", "accept_charges = true\ntags = { team = \"web\" }", 1),
			ExpectError: regexp.MustCompile(`storage\s+does\s+not\s+know\s+the\s+order`),
		},
		resource.TestStep{
			PreConfig: func() {
				change(func(path string, text []byte) error { return os.WriteFile(path, text, 0o600) })()
				s.Commercial.Break(tencentsim.Fault{Action: "DescribeCertificateDetail", Before: true, Times: 1, Answer: tencentsim.BadGateway})
			},
			Config: config, PlanOnly: true,
		},
		resource.TestStep{PreConfig: func() { s.Commercial.Mend(); s.later(time.Hour)() }, Config: config, Check: stands("issued")},
	)
	s.charged(1)
}

// A state that is behind follows the storage, and buys nothing on the way.
func TestAccPurchase_stateThatIsBehindFollows(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	issue := []resource.TestStep{
		{Config: config, Check: stands("issuing")},
		{PreConfig: s.later(time.Hour), Config: config, Check: stands("issued")},
		{PreConfig: s.later(175 * wholeDay), Config: config, Check: stands("issuing")},
		{PreConfig: s.later(time.Hour), Config: config, Check: resource.TestCheckResourceAttr(www, "generation", "2")},
	}
	s.test(t, issue...) // and loses the state
	s.test(t, resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))})
	s.charged(2)
}

// What an issuer does not sell in this way is refused in the plan.
func TestAccPurchase_refusesWhatIsNotSoldInThatWay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	good := "product = \"dnspod-dv\"\naccept_charges = true"
	of := func(product, more string) string {
		return bought("www.paid.test", "product = \""+product+"\"\naccept_charges = true\n"+more)
	}
	with := func(old, replacement string) string {
		return strings.Replace(bought("www.paid.test", good), old, replacement, 1)
	}
	both := strings.NewReplacer("tencentcloud = {} }", "tencentcloud = {} }, other = { acme = {} }", "domains ", "issuers = [\"tencent\", \"other\"]\n  domains ")
	for sentence, test := range map[string]struct{ config, want string }{
		"one issuer sells and the other one does not": {both.Replace(bought("www.paid.test", good)), `takes\s+no\s+money`},
		"a product without points":                    {of("cfca-ov-multi", ""), `choose\s+the\s+other\s+one`},
		"a product for points alone":                  {of("dnspod-sm2-ev", "source = \"balance\""), `choose\s+the\s+other\s+one`},
		"points at the international endpoint":        {with("tencentcloud = {}", "tencentcloud = { url = \"https://ssl.intl.tencentcloudapi.com\" }"), `does\s+not\s+sell\s+for\s+points`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: regexp.MustCompile(test.want)})
		})
	}
	s.charged(0)
}
