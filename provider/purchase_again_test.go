package provider_test

import (
	"log/slog"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// An order that somebody cancelled is bought again only on purpose.
func TestAccPurchase_ordersAgainOnPurpose(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	purchase := "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \"" + id + "\""
	config := bought("www.ov.test", purchase)
	again := bought("www.ov.test", purchase+"\n}\nrenewal = {\nforce_token = \"again\"")
	cancel := func() {
		account, err := tencentcloud.New(tencentcloud.Config{URL: s.CommercialURL, SecretID: s.CommercialID, SecretKey: secret.New(s.CommercialKey)},
			nil, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		all := s.Commercial.Certificates()
		if err := account.Cancel(t.Context(), order.Journal{OrderID: all[len(all)-1]}); err != nil {
			t.Error(err)
		}
	}
	s.test(t,
		resource.TestStep{Config: config, Check: stands("awaiting_document")},
		resource.TestStep{PreConfig: cancel, Config: config, PlanOnly: true},
		resource.TestStep{Config: config, Check: stands("cancelled")},
		resource.TestStep{Config: again, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: stands("awaiting_document")},
		resource.TestStep{Config: again, PlanOnly: true},
	)
	s.charged(2)
}

// A rejected order is opened again, without another payment, once something of
// the purchase was changed.
func TestAccPurchase_opensARejectedOrderAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	purchase := "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \"" + id + "\""
	s.test(t,
		resource.TestStep{Config: bought("www.ov.test", purchase), Check: stands("awaiting_document")},
		resource.TestStep{
			PreConfig: func() {
				all := s.Commercial.Certificates()
				if err := s.Commercial.Reject(all[len(all)-1], "the stamp cannot be read"); err != nil {
					t.Error(err)
				}
			},
			Config: bought("www.ov.test", purchase), PlanOnly: true,
		},
		resource.TestStep{Config: bought("www.ov.test", purchase), Check: resource.ComposeTestCheckFunc(
			stands("rejected"), resource.TestMatchResourceAttr(www, "status_reason", anywhere("the stamp cannot be read")))},
		resource.TestStep{
			Config: bought("www.ov.test", purchase+`
contact = { organization = "Example Ltd.", admin_first_name = "Wei", admin_last_name = "Li", admin_phone = "+86 755 00000000", admin_email = "wei@ov.test" }`), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: stands("awaiting_document"),
		},
	)
	s.charged(1)
}
