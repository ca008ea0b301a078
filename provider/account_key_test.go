package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// accountKey is a configuration with arguments of its issuer, and a certificate
// that is ordered anew with each token.
func accountKey(token string, arguments ...string) string {
	return fmt.Sprintf("provider \"certificate\" {\n  issuers = { default = { acme = {\n    %s\n  } } }\n}\n", strings.Join(arguments, "\n    ")) +
		renewal(fmt.Sprintf("renewal = { force_token = %q }", token))
}

// The key of the account changes with the next order, never before.
func TestAccAccountKey_isReplacedByTheNextOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	rolls := func(want int) resource.TestCheckFunc {
		return func(*terraform.State) error {
			// The CA rejects some nonces, and the request is repeated.
			if got := w.CA.Count("rollover-account-key"); (got > 0) != (want > 0) {
				return fmt.Errorf("%d requests for another key, want %d", got, want)
			}
			return nil
		}
	}
	w.test(t,
		resource.TestStep{Config: accountKey("a"), Check: rolls(0)},
		resource.TestStep{Config: accountKey("a", `account_key_version = "2026-12"`), PlanOnly: true},
		resource.TestStep{Config: accountKey("a", `account_key_version = "2026-12"`), Check: rolls(0)},
		resource.TestStep{Config: accountKey("b", `account_key_version = "2026-12"`), Check: rolls(1)},
		resource.TestStep{Config: accountKey("c", `account_key_version = "2026-12"`), Check: resource.TestCheckResourceAttr(www, "generation", "3")},
	)
	if got := w.CA.Issued(); got != 3 {
		t.Errorf("%d certificates, want 3", got)
	}
}

func TestAccAccountKey_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	pem := func() string {
		key, err := pki.GenerateKey(pki.ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("file(%q)", file)
	}
	own, other := "account_key_pem = "+pem(), "previous_account_key_pem = "+pem()
	var steps []resource.TestStep
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{other}, "to replace a key that the provider made, change account_key_version"},
		{[]string{own, "previous_" + own}, "it is the same key as account_key_pem"},
		{[]string{own, `account_key_version = "1"`}, "the old one in previous_account_key_pem"},
		{[]string{own, `previous_account_key_pem = "nonsense"`}, "no private key in the PEM text"},
	} {
		steps = append(steps, resource.TestStep{Config: accountKey("a", test.arguments...), PlanOnly: true, ExpectError: anywhere(test.want)})
	}
	w.test(t, append(steps, resource.TestStep{Config: accountKey("a", own)})...)
	if got := w.CA.Issued(); got != 1 {
		t.Errorf("%d certificates, want 1", got)
	}
}

// Killed when the CA knows the new key and the storage does not, the account is
// found by it.
func TestCrash_duringTheChangeOfTheAccountKey(t *testing.T) {
	t.Parallel()
	tr := &trap{kind: "rollover-account-key"}
	c := newCLI(t, lab.Options{Intercept: tr.intercept}, accountKey("a"))
	tr.trigger = c.kill
	c.must(0, "apply", "-auto-approve")
	tr.armed.Store(true)
	c.write(accountKey("b", `account_key_version = "2"`))
	if output, status := c.run("apply", "-auto-approve"); status == 0 || tr.armed.Load() {
		t.Fatalf("the provider was not killed:\n%s", output)
	}
	registrations := c.CA.Count("sign-me-up")
	c.must(0, "apply", "-auto-approve")
	c.must(0, "plan", "-detailed-exitcode")
	accounts, err := filepath.Glob(filepath.Join(c.StorageDirectory(), "accounts", "*"))
	if err != nil || len(accounts) != 1 {
		t.Fatalf("stored accounts: %v (%v), want 1", accounts, err)
	}
	text, err := os.ReadFile(accounts[0])
	if err != nil || !strings.Contains(string(text), `"key_versions":["2"]`) || strings.Contains(string(text), "pending") {
		t.Errorf("the change was not finished: %d bytes (%v)", len(text), err)
	}
	if issued, asked := c.CA.Issued(), c.CA.Count("sign-me-up"); issued != 2 || asked == registrations {
		t.Errorf("%d certificates, want 2; the account was looked up: %t", issued, asked > registrations)
	}
}
