package provider_test

import (
	"encoding/pem"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// R3: the free product is applied for again, thirty days before, at no price.
func TestAccPurchase_freeIsOrderedAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{Names: []string{"www.free.test"}}, 29)
	config := bought("www.free.test", "source = \"free\"\noriginal_certificate_id = \""+id+"\"")
	s.test(t,
		resource.TestStep{Config: config, Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttrSet(www, "private_key_id"))},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(58 * wholeDay), Config: config, PlanOnly: true},
		resource.TestStep{PreConfig: s.later(4 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"))},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	s.charged(0)
}

// R16, R17: an SM2 certificate of a company that the CA does not know needs the
// review and the record, both; what the CA has validated for one company is not
// good for another.
func TestAccSM2_reviewAndRecord(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	order := func(company string) string {
		seed, _ := s.company(company, false)
		seed.PID, seed.Names = sm2OV, []string{"www.sm2.test"}
		return bought("www.sm2.test", "product = \"dnspod-sm2-ov\"\naccept_charges = true\noriginal_certificate_id = \""+s.old(seed, 20)+"\"")
	}
	steps := func(config string) []resource.TestStep {
		return []resource.TestStep{
			{Config: config, Check: resource.ComposeTestCheckFunc(
				stands("organization_review"), obliges("domain_validation", "provider", "done"), obliges("organization_review", "applicant", "open"),
				resource.TestCheckResourceAttr(www, "validation_records.#", "1"), resource.TestCheckResourceAttr(www, "validation_records.0.type", "CNAME"),
			)},
			{Config: config, PlanOnly: true},
			{PreConfig: s.later(7 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("issued")},
			{Config: config, PlanOnly: true},
		}
	}
	s.test(t, steps(order("Example Ltd."))...)
	s.test(t, steps(order("Another Ltd."))...)
	s.charged(2)
}

// What the CA has of a pair comes with the import, and can be deployed.
func TestAccPurchase_importsAnSM2Pair(t *testing.T) {
	t.Parallel()
	s, site := newShop(t), newTLCPSite(t)
	seed, _ := s.company("Example Ltd.", true)
	seed.PID, seed.Names = sm2OV, []string{"www.sm2.test"}
	id := s.old(seed, 200)
	config := bought("www.sm2.test", "product = \"dnspod-sm2-ov\"\naccept_charges = true")
	s.test(t,
		resource.TestStep{Config: config, ResourceName: www, ImportState: true, ImportStateId: "certificate:tencent/" + id, ImportStatePersist: true},
		resource.TestStep{
			Config: site.deployed(config),
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "1"),
				resource.TestCheckResourceAttr("certificate_deployment.www", "proven_by", "handshake"),
				resource.TestCheckResourceAttrPair("certificate_deployment.www", "served_fingerprint_sha256", www, "fingerprint_sha256")),
		},
		resource.TestStep{Config: site.deployed(config), PlanOnly: true},
	)
	s.charged(0)
}

// Where somebody else made the signing key, nobody here can open the envelope of
// the other one: the certificates are imported, and what is missing is said.
func TestAccPurchase_importsAnSM2PairOfKeysElsewhere(t *testing.T) {
	t.Parallel()
	c := newBuyer(t, bought("www.sm2.test", "product = \"dnspod-sm2-ov\"\naccept_charges = true"))
	key, err := pki.GenerateKey(pki.SM2)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.NewRequest(key, []string{"www.sm2.test"}, pki.Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	company, manager := c.Commercial.AddCompany("Example Ltd.", true)
	id, err := c.Commercial.AddCertificate(tencentsim.Seed{
		PID: sm2OV, Names: []string{"www.sm2.test"}, Company: company, Manager: manager, Remaining: 200 * wholeDay,
		Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})),
	})
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(strings.ReplaceAll(c.must(0, "import", www, "certificate:tencent/"+id), "│", "")), " ")
	for _, want := range []string{"The encryption key of the pair stays at the CA", "The certificates were imported; renewing makes a pair whose keys are here."} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	shown := c.must(0, "state", "show", www)
	if !strings.Contains(shown, "encryption_fullchain_pem") || strings.Contains(shown, "encryption_private_key_id") {
		t.Errorf("want the encryption certificate and no key:\n%s", shown)
	}
	if ledger := c.Commercial.Ledger(); len(ledger) != 0 {
		t.Errorf("charged %+v, want nothing", ledger)
	}
}

func TestAccPurchase_accountsAreToldApart(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
	config := func(account string) string {
		return fmt.Sprintf(`
provider "certificate" {
  issuers = {
    ours   = { tencentcloud = { %s } }
    theirs = { tencentcloud = { secret_id = "other", secret_key = "other" } }
  }
}
resource "certificate_renewal" "www" {
  domains      = ["www.paid.test"]
  issuer       = "ours"
  wait_timeout = "2s"
  purchase     = { product = "dnspod-dv", accept_charges = true, original_certificate_id = %q }
}`, account, id)
	}
	s.test(t,
		resource.TestStep{Config: config(""), ExpectError: regexp.MustCompile(`(?s)cannot be told apart.*"ours"\s+and\s+"theirs".*set\s+account\s+of\s+one`)},
		resource.TestStep{Config: config(`account = "ours"`), Check: stands("issuing")},
		resource.TestStep{PreConfig: s.later(time.Hour), Config: config(`account = "ours"`), Check: stands("issued")},
	)
	s.charged(1)
}
