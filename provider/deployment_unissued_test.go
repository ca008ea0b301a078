package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// A deployment of a certificate whose first order takes days waits without an
// error, and deploys in the apply that has it.
func TestAccDeployment_waitsForTheFirstCertificate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	folder := t.TempDir()
	config := func(file, certificate string) string {
		return bought("www.ov.test", "product = \"securesite-ov\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"") + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = %s
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  files = {
    fullchain_path   = %q
    private_key_path = %q
  }
}`, certificate, filepath.Join(folder, file), filepath.Join(folder, "key.pem"))
	}
	const issued = "certificate_renewal.www.certificate_pem"
	written := func(want int) resource.TestCheckFunc {
		return func(*terraform.State) error {
			if found, err := os.ReadDir(folder); err != nil || len(found) < want || want == 0 && len(found) > 0 {
				return fmt.Errorf("files %v, want %d; %w", found, want, err)
			}
			return nil
		}
	}
	s.test(t,
		resource.TestStep{
			Config: config("a.pem", issued),
			Check:  resource.ComposeTestCheckFunc(stands("awaiting_document"), resource.TestCheckNoResourceAttr(web, "fingerprint_sha256"), resource.TestCheckResourceAttrSet(web, "id"), written(0)),
		},
		resource.TestStep{Config: config("a.pem", issued), PlanOnly: true},
		resource.TestStep{Config: config("b.pem", issued), ConfigPlanChecks: expect(web, plancheck.ResourceActionUpdate), Check: written(0)},
		resource.TestStep{
			PreConfig: func() {
				all := s.Commercial.Certificates()
				if err := s.Commercial.UploadLetter(all[len(all)-1]); err != nil {
					t.Error(err)
				}
				s.later(7 * wholeDay)()
			},
			Config: config("b.pem", issued), ConfigPlanChecks: expect(web, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttrPair(web, "fingerprint_sha256", www, "fingerprint_sha256"), written(2)),
		},
		resource.TestStep{Config: config("b.pem", issued), PlanOnly: true},
		resource.TestStep{Config: config("b.pem", "null"), PlanOnly: true, ExpectError: anywhere("It stays served")},
	)
	if _, err := os.Stat(filepath.Join(folder, "a.pem")); err == nil {
		t.Error("a file of a configuration before was written")
	}
}
