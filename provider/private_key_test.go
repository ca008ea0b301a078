package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// ephemeralConfig hands the key of a renewal to a deployment through a
// write-only attribute.
func ephemeralConfig(folder, more string) string {
	return fmt.Sprintf(`
resource "certificate_renewal" "www" { domains = ["www.example.test"] }

ephemeral "certificate_private_key" "www" {
  private_key_id  = certificate_renewal.www.private_key_id
  certificate_pem = certificate_renewal.www.certificate_pem
}

resource "certificate_deployment" "web" {
  certificate_pem            = certificate_renewal.www.certificate_pem
  chain_pem                  = certificate_renewal.www.chain_pem
  private_key_pem_wo         = ephemeral.certificate_private_key.www.private_key_pem
  private_key_pem_wo_version = certificate_renewal.www.generation
  files = {
    fullchain_path   = "%[1]s/fullchain.pem"
    private_key_path = "%[1]s/privkey.pem"
  }
}
%[2]s`, folder, more)
}

// The key reaches the server's files and is in nothing that Terraform wrote: the
// harness searches plan, state and trace when the test ends.
func TestPrivateKey_reachesAWriteOnlyAttributeAndNothingElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	c := newCLI(t, lab.Options{}, ephemeralConfig(folder, ""))
	c.must(0, "apply", "-auto-approve")
	first := deployedPair(t, folder)
	c.must(0, "plan", "-detailed-exitcode", "-out", "nothing.plan")

	c.must(0, "plan", "-replace=certificate_renewal.www", "-out", "next.plan")
	c.must(0, "apply", "next.plan")
	if second := deployedPair(t, folder); second == first {
		t.Error("the key of the first certificate is still deployed")
	}
	c.must(0, "plan", "-detailed-exitcode")
}

// deployedPair checks that the files of a server fit together and returns the
// key's text.
func deployedPair(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "privkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := os.ReadFile(filepath.Join(folder, "fullchain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificates(certificates)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Matches(chain[0]); err != nil {
		t.Error(err)
	}
	return string(text)
}

// A key that is lost, or does not belong to the certificate, stops the apply
// before anybody uses it.
func TestAccPrivateKey_stopsBeforeAWrongKeyIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	folder := t.TempDir()
	now := time.Now()
	other, _ := deploytest.NewAuthority(t, now).Issue(t, now, []string{"www.example.test"})
	mismatch := strings.Replace(ephemeralConfig(folder, ""), "certificate_pem = certificate_renewal.www.certificate_pem",
		fmt.Sprintf("certificate_pem = %q", pki.EncodeCertificates(other...)), 1)
	keys, hidden := filepath.Join(w.StorageDirectory(), "keys"), filepath.Join(w.StorageDirectory(), "hidden")
	move := func(from, to string) func() {
		return func() {
			if err := os.Rename(from, to); err != nil {
				t.Error(err)
			}
		}
	}
	untouched := func() {
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("an apply that failed wrote %v (%v)", left, err)
		}
	}
	w.test(t,
		resource.TestStep{Config: mismatch, ExpectError: anywhere("private_key_id and certificate_pem: the private key does not belong to the certificate. The key was given to nobody.")},
		resource.TestStep{PreConfig: untouched, Config: mismatch, PlanOnly: true, ExpectError: anywhere("The private key does not fit")},
		resource.TestStep{PreConfig: move(keys, hidden), Config: ephemeralConfig(folder, ""), ExpectError: anywhere("configure the storage of the machine that ordered the certificate, or order a new one with terraform apply -replace")},
		resource.TestStep{PreConfig: untouched, Config: ephemeralConfig(folder, ""), PlanOnly: true, ExpectError: anywhere("No key was generated instead")},
		resource.TestStep{PreConfig: move(hidden, keys), Config: ephemeralConfig(folder, "")},
	)
	deployedPair(t, folder)
}

// Who gives the key instead of its id finds it in no message.
func TestPrivateKey_doesNotRepeatAKeyInTheWrongPlace(t *testing.T) {
	t.Parallel()
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	c := newCLI(t, lab.Options{}, `
variable "id" { type = string }
ephemeral "certificate_private_key" "www" { private_key_id = var.id }`)
	c.extra = []string{"TF_VAR_id=" + string(text)}
	output := c.must(1, "plan")
	if !strings.Contains(output, "Not the id of a private key") {
		t.Errorf("the plan does not say what is wrong:\n%s", output)
	}
	if line := strings.Split(string(text), "\n")[1]; strings.Contains(output, line) {
		t.Errorf("the plan shows the key:\n%s", output)
	}
}

func TestAccPrivateKey_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	secret, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := secret.PEM()
	if err != nil {
		t.Fatal(err)
	}
	config := func(id, more string) string {
		return fmt.Sprintf("ephemeral \"certificate_private_key\" \"www\" {\n  private_key_id = %q\n  %s\n}", id, more)
	}
	for sentence, test := range map[string]struct{ config, want string }{
		"an empty id":      {config("", ""), "private_key_id: the text is no id of a stored key"},
		"a path":           {config("../accounts/x", ""), "private_key_id: the text is no id of a stored key"},
		"the key itself":   {config(string(text), ""), "private_key_id: the text is no id of a stored key"},
		"no certificate":   {config("0123456789abcdef", `certificate_pem = "x"`), "certificate_pem: no certificate in the PEM text"},
		"no storage":       {config("0123456789abcdef", ""), "neither XDG_STATE_HOME nor HOME"},
		"no id at all":     {`ephemeral "certificate_private_key" "www" {}`, `"private_key_id" is required`},
		"a null as the id": {"ephemeral \"certificate_private_key\" \"www\" {\n  private_key_id = null\n}", `Must set a configuration value for the private_key_id attribute`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			alone().test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}
