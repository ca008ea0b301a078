package provider_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const (
	www     = "certificate_renewal.www"
	wwwOnly = `resource "certificate_renewal" "www" { domains = ["www.example.test"] }`
)

// grab keeps attributes of a resource for a later step.
func grab(into map[string]string, address string, names ...string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		for _, name := range names {
			value, ok := s.RootModule().Resources[address].Primary.Attributes[name]
			if !ok {
				return fmt.Errorf("%s has no attribute %s", address, name)
			}
			into[name] = value
		}
		return nil
	}
}

func expect(address string, action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}}
}

func TestAccRenewal_issuesAndThenPlansNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	var before int
	w.test(t,
		resource.TestStep{
			Config: wwwOnly,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("status"), knownvalue.StringExact("issued")),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("issuer_used"), knownvalue.StringExact("default")),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("private_key_pem"), knownvalue.Null()),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("renew_reason"), knownvalue.Null()),
			},
			Check: func(s *terraform.State) error {
				chain, err := pki.ParseCertificates([]byte(s.RootModule().Resources[www].Primary.Attributes["fullchain_pem"]))
				if err != nil {
					return err
				}
				if got := pki.Names(chain[0]); !slices.Equal(got, []string{"www.example.test"}) {
					return fmt.Errorf("the certificate is for %q", got)
				}
				before, _ = w.CA.Requests()
				return pki.CheckChain(chain)
			},
		},
		resource.TestStep{
			Config:           wwwOnly,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			Check: func(*terraform.State) error {
				after, suggestions := w.CA.Requests()
				// One directory for each provider process, here one for each
				// configuration, is what renewal information costs when it is due.
				if after != before || suggestions != 1 {
					return fmt.Errorf("a plan with nothing due sent %d requests to the CA; renewal information was asked %d times, want 1", after-before, suggestions)
				}
				return nil
			},
		},
	)
	if got := w.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want 1", got)
	}
}

func TestAccRenewal_survivesADeadCAWhileNothingIsDue(t *testing.T) {
	t.Parallel()
	dead := false
	w := newWorld(t, lab.Options{Intercept: func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if dead {
				http.Error(rw, "down for maintenance", http.StatusServiceUnavailable)
				return
			}
			ca.ServeHTTP(rw, r)
		})
	}})
	w.test(t,
		resource.TestStep{Config: wwwOnly},
		resource.TestStep{
			PreConfig:        func() { dead = true; w.advance(7 * time.Hour) }, // renewal information is due
			Config:           wwwOnly,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		resource.TestStep{PreConfig: func() { dead = false }, Config: wwwOnly},
	)
}

// A plan with nothing due needs neither storage nor token; one with something to
// order says what is missing.
func TestAccRenewal_plansNothingWithoutStorageOrToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	kept := maps.Clone(w.environment)
	without := func() {
		for _, name := range []string{"CERTIFICATE_STORAGE_DIRECTORY", "CERTIFICATE_RESPONDER_URL", "CERTIFICATE_RESPONDER_TOKEN"} {
			delete(w.environment, name)
		}
	}
	w.test(t,
		resource.TestStep{Config: wwwOnly},
		resource.TestStep{PreConfig: without, Config: wwwOnly, PlanOnly: true},
		resource.TestStep{
			Config:   `resource "certificate_renewal" "www" { domains = ["other.example.test"] }`,
			PlanOnly: true, ExpectError: anywhere("neither XDG_STATE_HOME nor HOME"),
		},
		resource.TestStep{PreConfig: func() { maps.Copy(w.environment, kept) }, Config: wwwOnly, PlanOnly: true},
	)
}

func TestAccRenewal_renewsWhenTheCAOpensTheWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{PollSuggestions: true})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "id", "serial_number", "certificate_pem", "private_key_id")},
		resource.TestStep{
			PreConfig:        w.openWindow(t, first),
			Config:           wwwOnly,
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check:            grab(second, www, "id", "serial_number", "generation", "private_key_id", "previous.serial_number"),
		},
		resource.TestStep{Config: wwwOnly, PlanOnly: true},
	)
	if second["id"] != first["id"] || second["generation"] != "2" {
		t.Errorf("id %s, generation %s; want id %s, generation 2", second["id"], second["generation"], first["id"])
	}
	if second["serial_number"] == first["serial_number"] || second["private_key_id"] == first["private_key_id"] {
		t.Errorf("serial number or key are those of the first certificate: %v", second)
	}
	if second["previous.serial_number"] != first["serial_number"] {
		t.Errorf("previous serial number %s, want %s", second["previous.serial_number"], first["serial_number"])
	}
	if got := w.CA.Count("revoke-cert"); got != 0 {
		t.Errorf("%d revocations, want none", got)
	}
}

func TestAccRenewal_renewsByTheCalendarAndSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	config := `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { use_ari = false }
}`
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: config, Check: grab(first, www, "id", "serial_number")},
		resource.TestStep{PreConfig: func() { w.advance(59 * 24 * time.Hour) }, Config: config, PlanOnly: true},
		resource.TestStep{
			PreConfig:        func() { w.advance(2 * 24 * time.Hour) },
			Config:           config,
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check:            grab(second, www, "id", "serial_number"),
			// The new certificate is as old as the CA's clock says, which is not
			// ours: it is due again at once.
			ExpectNonEmptyPlan: true,
		},
	)
	if second["serial_number"] == first["serial_number"] || second["id"] != first["id"] {
		t.Errorf("renewed %v, want another serial number and the same id as %v", second, first)
	}
}

func TestAccRenewal_changesNamesInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "id", "serial_number")},
		resource.TestStep{
			Config:           `resource "certificate_renewal" "www" { domains = ["WWW.example.test.", "*.example.test", "example.test", "www.example.test"] }`,
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(grab(second, www, "id", "serial_number", "certificate_pem"), func(*terraform.State) error {
				chain, err := pki.ParseCertificates([]byte(second["certificate_pem"]))
				if err != nil {
					return err
				}
				if got, want := pki.NameSet(pki.Names(chain[0])), []string{"*.example.test", "example.test", "www.example.test"}; !slices.Equal(got, want) {
					return fmt.Errorf("the certificate is for %q, want %q", got, want)
				}
				return nil
			}),
		},
	)
	if second["id"] != first["id"] || second["serial_number"] == first["serial_number"] {
		t.Errorf("got %v after %v, want the same id and another serial number", second, first)
	}
	if got := w.CA.Count("revoke-cert"); got != 0 {
		t.Errorf("%d revocations, want none", got)
	}
}

func TestAccRenewal_takesNamesAndKeyTypeFromTheOriginal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	w.test(t, resource.TestStep{
		Config: `
resource "certificate_renewal" "old" {
  domains     = ["shop.example.test", "www.shop.example.test"]
  private_key = { algorithm = "ECDSA_P384" }
}
resource "certificate_renewal" "www" { original_certificate_pem = certificate_renewal.old.certificate_pem }`,
		Check: func(s *terraform.State) error {
			chain, err := pki.ParseCertificates([]byte(s.RootModule().Resources[www].Primary.Attributes["certificate_pem"]))
			if err != nil {
				return err
			}
			if got := pki.AlgorithmOf(chain[0].PublicKey); got != pki.ECDSAP384 || len(chain[0].DNSNames) != 2 {
				return fmt.Errorf("got a %s certificate for %q, want ECDSA_P384 for both names of the original", got, chain[0].DNSNames)
			}
			return nil
		},
	})
}

func TestAccRenewal_usesASigningRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.NewRequest(key, []string{"csr.example.test"}, pki.Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	w.test(t, resource.TestStep{
		Config: fmt.Sprintf("resource \"certificate_renewal\" \"www\" {\n csr_pem = <<EOT\n%sEOT\n}", pemBlock("CERTIFICATE REQUEST", der)),
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(www, tfjsonpath.New("private_key_id"), knownvalue.Null()),
		},
		Check: func(s *terraform.State) error {
			chain, err := pki.ParseCertificates([]byte(s.RootModule().Resources[www].Primary.Attributes["certificate_pem"]))
			if err != nil {
				return err
			}
			return key.Matches(chain[0])
		},
	})
	if stored, err := filepath.Glob(filepath.Join(w.StorageDirectory(), "keys", "*")); err != nil || len(stored) != 0 {
		t.Errorf("stored keys %v (%v), want none", stored, err)
	}
}

func TestAccRenewal_writesTheKeyToStateOnlyWhenToldTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "serial_number")},
		resource.TestStep{
			Config: `resource "certificate_renewal" "www" {
  domains     = ["www.example.test"]
  private_key = { custody = "state" }
}`,
			Check: resource.ComposeTestCheckFunc(grab(second, www, "serial_number", "private_key_pem", "certificate_pem"), func(*terraform.State) error {
				key, err := pki.ParseKey([]byte(second["private_key_pem"]))
				if err != nil {
					return err
				}
				chain, err := pki.ParseCertificates([]byte(second["certificate_pem"]))
				if err != nil {
					return err
				}
				return key.Matches(chain[0])
			}),
		},
		resource.TestStep{
			Config: wwwOnly,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("private_key_pem"), knownvalue.Null()),
			},
		},
	)
	if second["serial_number"] != first["serial_number"] {
		t.Error("changing the custody ordered a new certificate")
	}
}

func TestAccRenewal_reusesTheKeyWhenToldTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{PollSuggestions: true})
	config := `resource "certificate_renewal" "www" {
  domains     = ["www.example.test"]
  private_key = { rotate = false }
}`
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: config, Check: grab(first, www, "serial_number", "certificate_pem", "private_key_id")},
		resource.TestStep{
			PreConfig: w.openWindow(t, first),
			Config:    config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(www, tfjsonpath.New("certificate_pem")),
				plancheck.ExpectKnownValue(www, tfjsonpath.New("private_key_id"), knownvalue.NotNull()),
			}},
			Check: grab(second, www, "serial_number", "private_key_id"),
		},
	)
	if second["private_key_id"] != first["private_key_id"] || second["serial_number"] == first["serial_number"] {
		t.Errorf("got %v after %v, want the same key and another certificate", second, first)
	}
}

func TestAccRenewal_importsAFileAndPlansNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	state := map[string]string{}
	file := filepath.Join(t.TempDir(), "fullchain.pem")
	keyFile := filepath.Join(t.TempDir(), "privkey.pem")
	other := `resource "certificate_renewal" "other" {
  domains     = ["www.example.test", "example.test"]
  private_key = { custody = "state" }
}
`
	config := other + `resource "certificate_renewal" "www" { domains = ["www.example.test", "example.test"] }`
	w.test(t,
		resource.TestStep{
			Config: other,
			Check: resource.ComposeTestCheckFunc(grab(state, "certificate_renewal.other", "fullchain_pem", "private_key_pem", "fingerprint_sha256"), func(*terraform.State) error {
				if err := os.WriteFile(file, []byte(state["fullchain_pem"]), 0o600); err != nil {
					return err
				}
				return os.WriteFile(keyFile, []byte(state["private_key_pem"]), 0o600)
			}),
		},
		resource.TestStep{
			Config: config, ResourceName: www, ImportState: true, ImportStatePersist: true,
			ImportStateIdFunc: func(*terraform.State) (string, error) { return file + "," + keyFile, nil },
		},
		resource.TestStep{
			Config:           config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			Check:            resource.TestCheckResourceAttrWith(www, "fingerprint_sha256", equals(state, "fingerprint_sha256")),
		},
	)
	if got := w.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want the 1 that was imported", got)
	}
}

func equals(kept map[string]string, name string) func(string) error {
	return func(value string) error {
		if value != kept[name] {
			return fmt.Errorf("%s is %q, want %q", name, value, kept[name])
		}
		return nil
	}
}

// A state that was lost is found again in the storage: nothing is ordered.
func TestAccRenewal_adoptsWhatALostStateIssued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "id", "serial_number", "private_key_id")},
		resource.TestStep{
			Config: `removed {
  from = certificate_renewal.www
  lifecycle { destroy = false }
}`,
		},
		resource.TestStep{Config: wwwOnly, Check: grab(second, www, "id", "serial_number", "private_key_id")},
	)
	if fmt.Sprint(first) != fmt.Sprint(second) || w.CA.Issued() != 1 {
		t.Errorf("got %v after %v and %d certificates, want the same and 1", second, first, w.CA.Issued())
	}
}

// What was destroyed on purpose is not adopted: -replace gives a new certificate.
func TestAccRenewal_replacesOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "id", "serial_number")},
		resource.TestStep{Config: wwwOnly, Taint: []string{www}, Check: grab(second, www, "id", "serial_number")},
	)
	if first["id"] == second["id"] || first["serial_number"] == second["serial_number"] {
		t.Errorf("got %v after %v, want another certificate", second, first)
	}
	if got := w.CA.Count("revoke-cert"); got != 0 {
		t.Errorf("%d revocations, want none", got)
	}
}

func TestAccRenewal_movesTheWindowWithoutAnOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: wwwOnly, Check: grab(first, www, "serial_number", "renew_at")},
		resource.TestStep{
			Config: `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { window_days = 60 }
}`,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(www, tfjsonpath.New("renew_at")),
				plancheck.ExpectKnownValue(www, tfjsonpath.New("serial_number"), knownvalue.NotNull()),
			}},
			Check: grab(second, www, "serial_number", "renew_at"),
		},
	)
	if second["serial_number"] != first["serial_number"] || second["renew_at"] >= first["renew_at"] {
		t.Errorf("got %v after %v, want the same certificate, due earlier", second, first)
	}
}

func TestAccRenewal_refusesAnOriginalThatHasExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	chain, _ := deploytest.NewAuthority(t, time.Now().AddDate(-2, 0, 0)).Issue(t, time.Now().AddDate(-1, 0, 0), []string{"www.example.test"})
	w.test(t, resource.TestStep{
		Config:   fmt.Sprintf("resource \"certificate_renewal\" \"www\" {\n original_certificate_pem = <<EOT\n%sEOT\n}", pki.EncodeCertificates(chain...)),
		PlanOnly: true, ExpectError: anywhere("nothing left to renew"),
	})
}

func TestAccRenewal_warnsOfAWindowLongerThanTheLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{CertificateLife: 160 * time.Hour})
	state := map[string]string{}
	config := `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { window_days = 30, use_ari = false }
}`
	w.test(t,
		resource.TestStep{Config: config, Check: grab(state, www, "not_after", "window_opens_at")},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	end, err := time.Parse(time.RFC3339, state["not_after"])
	if err != nil {
		t.Fatal(err)
	}
	opens, err := time.Parse(time.RFC3339, state["window_opens_at"])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := end.Sub(opens), 160*time.Hour/3; (got - want).Abs() > time.Minute {
		t.Errorf("the window opens %s before the end, want a third of the life (%s)", got, want)
	}
}

func TestAccRenewal_acceptsWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	w.test(t, resource.TestStep{
		Config: `resource "certificate_renewal" "www" { domains = ["Bücher.example.test.", "bücher.example.test"] }`,
		Check: func(s *terraform.State) error {
			chain, err := pki.ParseCertificates([]byte(s.RootModule().Resources[www].Primary.Attributes["certificate_pem"]))
			if err != nil {
				return err
			}
			if got := pki.Names(chain[0]); !slices.Equal(got, []string{"xn--bcher-kva.example.test"}) {
				return fmt.Errorf("the certificate is for %q", got)
			}
			return nil
		},
	})
}
