package provider_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// renewal is a configuration of www.example.test with more arguments.
func renewal(arguments ...string) string {
	return "resource \"certificate_renewal\" \"www\" {\n  domains = [\"www.example.test\"]\n  " + strings.Join(arguments, "\n  ") + "\n}"
}

func TestAccRenewal_renewsOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "id", "serial_number")},
		resource.TestStep{
			Config:           renewal(`renewal = { force_token = "incident 7" }`),
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check:            grab(second, www, "id", "serial_number"),
		},
		resource.TestStep{Config: renewal(`renewal = { force_token = "incident 7" }`), PlanOnly: true},
	)
	if second["id"] != first["id"] || second["serial_number"] == first["serial_number"] {
		t.Errorf("got %v after %v, want the same id and another certificate", second, first)
	}
}

// The days left on the old certificate are added to the new one where the CA
// grants it: Pebble takes any end.
func TestAccRenewal_carriesDaysOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{PollSuggestions: true})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: renewal("carry_over = true"), Check: resource.ComposeTestCheckFunc(
			grab(first, www, "certificate_pem", "not_after"),
			resource.TestCheckResourceAttr(www, "carried_over_days", "0"),
		)},
		resource.TestStep{
			PreConfig: w.openWindow(t, first), Config: renewal("carry_over = true"),
			Check: resource.ComposeTestCheckFunc(
				grab(second, www, "not_after"),
				resource.TestCheckResourceAttrWith(www, "carried_over_days", func(days string) error {
					// 90 days left, and 90 more, within the 200 days allowed now.
					if days != "90" && days != "89" {
						return fmt.Errorf("carried over %s days, want 90", days)
					}
					return nil
				}),
			),
		},
	)
	before, err := time.Parse(time.RFC3339, first["not_after"])
	if err != nil {
		t.Fatal(err)
	}
	after, err := time.Parse(time.RFC3339, second["not_after"])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.Sub(before), 90*24*time.Hour; (got - want).Abs() > time.Hour {
		t.Errorf("the new certificate ends %s after the old one, want %s", got, want)
	}
}

// A CA that stumbles over what an order replaces still renews.
func TestAccRenewal_renewsWithoutReplacesWhereTheCAObjects(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusInternalServerError, http.StatusNotFound, http.StatusBadRequest} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{PollSuggestions: true, Intercept: refusing(
				func(body string) bool { return strings.Contains(body, "replaces") },
				status, "serverInternal", "could not find an order for the given certificate",
			)})
			first := map[string]string{}
			w.test(t,
				resource.TestStep{Config: wwwOnly, Check: grab(first, www, "certificate_pem")},
				resource.TestStep{PreConfig: w.openWindow(t, first), Config: wwwOnly, Check: resource.TestCheckResourceAttr(www, "generation", "2")},
			)
		})
	}
}

// refusing has the CA answer new orders with a problem while a condition holds.
func refusing(when func(body string) bool, status int, kind, detail string) func(http.Handler) http.Handler {
	return func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/order-plz") && when(payload(r)) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
				return
			}
			ca.ServeHTTP(w, r)
		})
	}
}

func TestAccRenewal_fallsBackWhenTheCADoesNotCarryOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{PollSuggestions: true, Intercept: refusing(
		func(body string) bool { return strings.Contains(body, "notAfter") },
		http.StatusBadRequest, "malformed", "NotBefore and NotAfter are not supported",
	)})
	first := map[string]string{}
	w.test(t,
		resource.TestStep{Config: renewal("carry_over = true"), Check: grab(first, www, "certificate_pem")},
		resource.TestStep{
			PreConfig: w.openWindow(t, first), Config: renewal("carry_over = true"),
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckResourceAttr(www, "generation", "2"),
				resource.TestCheckResourceAttr(www, "carried_over_days", "0"),
			),
		},
	)
}

func TestAccRenewal_ordersForAKeyOfTheUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{PollSuggestions: true})
	folder := t.TempDir()
	keys := map[int]pki.Key{}
	config := func(version int) string {
		key, ok := keys[version]
		if !ok {
			var err error
			if key, err = pki.GenerateKey(pki.RSA2048); err != nil {
				t.Fatal(err)
			}
			keys[version] = key
		}
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, fmt.Sprint(version))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return renewal(fmt.Sprintf("private_key_pem_wo = file(%q)", file), fmt.Sprintf("private_key_pem_wo_version = %d", version))
	}
	state := map[string]string{}
	matches := func(version int) resource.TestCheckFunc {
		return resource.ComposeTestCheckFunc(
			grab(state, www, "certificate_pem"),
			resource.TestCheckNoResourceAttr(www, "private_key_id"), resource.TestCheckNoResourceAttr(www, "private_key_pem_wo"),
			func(*terraform.State) error {
				chain, err := pki.ParseCertificates([]byte(state["certificate_pem"]))
				if err != nil {
					return err
				}
				return keys[version].Matches(chain[0])
			},
		)
	}
	w.test(t,
		resource.TestStep{Config: config(1), Check: matches(1)},
		resource.TestStep{Config: config(1), PlanOnly: true},
		resource.TestStep{PreConfig: w.openWindow(t, state), Config: config(1), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: matches(1)},
		resource.TestStep{Config: config(2), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate), Check: matches(2)},
	)
	if stored, err := filepath.Glob(filepath.Join(w.StorageDirectory(), "keys", "*")); err != nil || len(stored) > 0 {
		t.Errorf("stored keys %v (%v), want none", stored, err)
	}
	if got := w.CA.Issued(); got != 3 {
		t.Errorf("%d certificates, want 3", got)
	}
}

// twoIssuers configures a CA that is in trouble before the lab's.
func twoIssuers(w *world, first string) string {
	return fmt.Sprintf(`provider "certificate" {
  issuers = {
    first  = { acme = { directory_url = %q } }
    second = { acme = {} }
  }
}
`, first) + renewal(`issuers = ["first", "second"]`)
}

func TestAccFailover_asksTheNextIssuerWhenOneIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	config := twoIssuers(w, "https://"+nobody(t)+"/dir")
	w.test(t,
		resource.TestStep{Config: config, Check: resource.TestCheckResourceAttr(www, "issuer_used", "second")},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

func TestAccFailover_asksTheNextIssuerOnARateLimit(t *testing.T) {
	t.Parallel()
	limited := newWorld(t, lab.Options{Intercept: refusing(func(string) bool { return true }, http.StatusTooManyRequests, "rateLimited", "too many orders")})
	w := newWorld(t, lab.Options{})
	w.environment["CERTIFICATE_ACME_CA_BUNDLE_PEM"] += limited.environment["CERTIFICATE_ACME_CA_BUNDLE_PEM"]
	w.test(t, resource.TestStep{Config: twoIssuers(w, limited.DirectoryURL), Check: resource.TestCheckResourceAttr(www, "issuer_used", "second")})
}

// A validation that fails at one CA would fail at the next one too.
func TestAccFailover_neverAfterARejection(t *testing.T) {
	t.Parallel()
	strict := newWorld(t, lab.Options{Intercept: refusing(func(string) bool { return true }, http.StatusForbidden, "rejectedIdentifier", "not this name")})
	w := newWorld(t, lab.Options{})
	w.environment["CERTIFICATE_ACME_CA_BUNDLE_PEM"] += strict.environment["CERTIFICATE_ACME_CA_BUNDLE_PEM"]
	w.test(t, resource.TestStep{Config: twoIssuers(w, strict.DirectoryURL), ExpectError: anywhere("not this name (rejectedIdentifier)")})
	if got := w.CA.Placed(); got != 0 {
		t.Errorf("%d orders at the second CA, want none", got)
	}
}

// After rejections in a row no order is placed for a while, unless asked.
func TestAccRenewal_holdsAfterRepeatedRejections(t *testing.T) {
	t.Parallel()
	var rejecting atomic.Bool
	var asked atomic.Int32
	rejecting.Store(true)
	w := newWorld(t, lab.Options{Intercept: refusing(
		func(string) bool { asked.Add(1); return rejecting.Load() },
		http.StatusForbidden, "rejectedIdentifier", "not this name",
	)})
	rejected := resource.TestStep{Config: wwwOnly, ExpectError: anywhere("not this name (rejectedIdentifier)")}
	w.test(t, rejected, rejected, rejected,
		resource.TestStep{Config: wwwOnly, ExpectError: anywhere("to try at once, change renewal.force_token")},
		resource.TestStep{
			PreConfig: func() {
				if got := asked.Load(); got != 3 {
					t.Errorf("the CA was asked %d times, want 3", got)
				}
				rejecting.Store(false)
			},
			Config: renewal(`renewal = { force_token = "mended" }`),
		},
	)
}

func TestAccRenewal_revokesOnDestroyWhenToldTo(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		arguments   []string
		revocations int
	}{
		"by default nothing is revoked": {nil, 0},
		"on request with a reason":      {[]string{"revoke_on_destroy = true", `revocation_reason = "superseded"`}, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			w.test(t,
				resource.TestStep{Config: renewal(test.arguments...)},
				resource.TestStep{Config: renewal(test.arguments...), Destroy: true},
			)
			if got := w.CA.Count("revoke-cert"); (got > 0) != (test.revocations > 0) {
				t.Errorf("%d requests to revoke, want %d", got, test.revocations)
			}
		})
	}
}

func TestAccRenewal_prunesOldKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	steps := []resource.TestStep{}
	for n := range 4 {
		steps = append(steps, resource.TestStep{Config: renewal("keep_generations = 2", fmt.Sprintf(`renewal = { force_token = "%d" }`, n))})
	}
	w.test(t, append(steps, resource.TestStep{PlanOnly: true, Config: steps[3].Config})...)
	if stored, err := filepath.Glob(filepath.Join(w.StorageDirectory(), "keys", "*")); err != nil || len(stored) != 2 {
		t.Errorf("stored keys %v (%v), want the 2 newest", stored, err)
	}
}

func TestAccRenewal_asksForStapling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	state := map[string]string{}
	w.test(t, resource.TestStep{Config: renewal("must_staple = true"), Check: grab(state, www, "certificate_pem")})
	block, _ := pem.Decode([]byte(state["certificate_pem"]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	feature := slices.IndexFunc(leaf.Extensions, func(e pkixExtension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.24" })
	if feature < 0 {
		t.Error("the certificate has no TLS feature extension")
	}
}

func TestAccRenewal_importsFromAServerAndFromTheStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	state := map[string]string{}
	other := `resource "certificate_renewal" "other" {
  domains     = ["www.example.test"]
  private_key = { custody = "state" }
}
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.other.certificate_pem
  chain_pem       = certificate_renewal.other.chain_pem
  private_key_id  = certificate_renewal.other.private_key_id
  files = { fullchain_path = "` + w.Web.Fullchain + `", private_key_path = "` + w.Web.PrivateKey + `" }
}
`
	config := other + wwwOnly
	for sentence, id := range map[string]func() string{
		"a server":    func() string { return "https://" + w.Web.Address + "?server_name=www.example.test" },
		"the storage": func() string { return "lineage:" + state["id"] },
	} {
		t.Run(sentence, func(t *testing.T) {
			w.test(t,
				resource.TestStep{Config: other, Check: resource.ComposeTestCheckFunc(
					grab(state, "certificate_renewal.other", "id", "fingerprint_sha256"),
					func(*terraform.State) error { return w.Web.Reload() },
				)},
				resource.TestStep{
					Config: config, ResourceName: www, ImportState: true, ImportStatePersist: true,
					ImportStateIdFunc: func(*terraform.State) (string, error) { return id(), nil },
				},
				resource.TestStep{
					Config:           config,
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
					Check:            resource.TestCheckResourceAttrWith(www, "fingerprint_sha256", equals(state, "fingerprint_sha256")),
				},
			)
		})
	}
}
