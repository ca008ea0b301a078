package provider_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
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
