package provider_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// lasts checks how long a certificate lives, to the minute.
func lasts(state map[string]string, want time.Duration) error {
	start, errStart := time.Parse(time.RFC3339, state["not_before"])
	end, errEnd := time.Parse(time.RFC3339, state["not_after"])
	if got := end.Sub(start); errStart != nil || errEnd != nil || (got-want).Abs() > time.Minute {
		return fmt.Errorf("it lives from %s to %s (%s), want %s", state["not_before"], state["not_after"], got, want)
	}
	return nil
}

func TestAccRenewal_asksForDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	first, second := map[string]string{}, map[string]string{}
	end := time.Now().AddDate(0, 0, 20).UTC().Truncate(time.Second)
	last := renewal(fmt.Sprintf(`validity = { days = 30, not_after = %q }`, end.Format(time.RFC3339)))
	w.test(t,
		resource.TestStep{Config: renewal(`validity = { days = 30 }`), Check: grab(first, www, "not_before", "not_after")},
		resource.TestStep{Config: renewal(`validity = { days = 30 }`), PlanOnly: true},
		resource.TestStep{
			Config: last, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(
				grab(second, www, "not_after"), resource.TestCheckNoResourceAttr(www, "renew_at"),
				resource.TestCheckResourceAttr(www, "carried_over_days", "0"),
			),
		},
		// Its window opens, and there is nothing left to renew it for.
		resource.TestStep{PreConfig: func() { w.advance(19 * 24 * time.Hour) }, Config: last, PlanOnly: true},
	)
	if err := lasts(first, 30*24*time.Hour); err != nil {
		t.Error(err)
	}
	if got, want := second["not_after"], end.Format(time.RFC3339); got != want {
		t.Errorf("the last certificate ends at %s, want %s", got, want)
	}
}

func TestAccRenewal_fallsBackWhenTheCADoesNotTakeDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{Intercept: refusing(
		func(body string) bool { return strings.Contains(body, "notAfter") },
		http.StatusBadRequest, "malformed", "NotBefore and NotAfter are not supported",
	)})
	state := map[string]string{}
	w.test(t,
		resource.TestStep{Config: renewal(`validity = { days = 30 }`), Check: grab(state, www, "not_before", "not_after")},
		resource.TestStep{Config: renewal(`validity = { days = 30 }`), PlanOnly: true},
	)
	if err := lasts(state, 90*24*time.Hour); err != nil {
		t.Error(err)
	}
}

// requests collects the signing requests that a CA gets.
type requests struct {
	mu  sync.Mutex
	all []*x509.CertificateRequest
}

func (r *requests) intercept(ca http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/finalize-order") {
			var body struct{ CSR string }
			if err := json.Unmarshal([]byte(payload(request)), &body); err == nil {
				if der, err := base64.RawURLEncoding.DecodeString(body.CSR); err == nil {
					if parsed, err := x509.ParseCertificateRequest(der); err == nil {
						r.mu.Lock()
						if last := len(r.all) - 1; last < 0 || !bytes.Equal(r.all[last].Raw, parsed.Raw) { // sent again where the CA did not accept a nonce
							r.all = append(r.all, parsed)
						}
						r.mu.Unlock()
					}
				}
			}
		}
		ca.ServeHTTP(w, request)
	})
}

// The subject is that of the original, or what is written; a change is a new
// application, and the plan says so.
func TestAccRenewal_asksForTheSubject(t *testing.T) {
	t.Parallel()
	var sent requests
	c := newCLI(t, lab.Options{Intercept: sent.intercept}, "")
	chain, _ := deploytest.NewAuthority(t, time.Now()).Issue(t, time.Now(), []string{"www.example.test"}, func(leaf *x509.Certificate) {
		leaf.Subject.Organization, leaf.Subject.Country = []string{"Example Ltd"}, []string{"CN"}
	})
	original := fmt.Sprintf("original_certificate_pem = <<EOT\n%sEOT", pki.EncodeCertificates(chain...))
	config := func(arguments ...string) string {
		return "resource \"certificate_renewal\" \"www\" {\n " + original + "\n " + strings.Join(arguments, "\n ") + "\n}\n"
	}
	c.write(config())
	if said := c.must(0, "apply", "-auto-approve"); strings.Contains(said, "new application") {
		t.Errorf("a renewal is called a new application:\n%s", said)
	}
	c.must(0, "plan", "-detailed-exitcode")

	c.write(config(`subject = { organization = "Example Holding", country = "CN" }`))
	planned := plain(c.must(0, "apply", "-auto-approve"))
	if want := "the subject changes from O=Example Ltd, C=CN to O=Example Holding, C=CN; a CA treats that as a new application"; !strings.Contains(planned, want) {
		t.Errorf("the plan does not say %q:\n%s", want, planned)
	}
	c.must(0, "plan", "-detailed-exitcode")

	c.must(0, "destroy", "-auto-approve")
	c.write(config(`domains = ["www.example.test", "api.example.test"]`))
	planned = plain(c.must(0, "plan"))
	if want := `the names change from "www.example.test" to "api.example.test", "www.example.test"; a CA treats that as a new application`; !strings.Contains(planned, want) {
		t.Errorf("the plan does not say %q:\n%s", want, planned)
	}
	for n, want := range []string{"O=Example Ltd, C=CN", "O=Example Holding, C=CN"} {
		if len(sent.all) <= n {
			t.Fatalf("%d signing requests, want 2", len(sent.all))
		}
		if got := pki.SubjectOf(sent.all[n].Subject).String(); got != want {
			t.Errorf("request %d asks for %s, want %s", n+1, got, want)
		}
	}
}

// plain undoes the wrapping of Terraform's messages.
func plain(output string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(output, "│", " ")), " ")
}

// An apply ends when timeouts say so; the order is not lost.
func TestAccRenewal_endsWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var once sync.Once
	w := newWorld(t, lab.Options{Intercept: func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/finalize-order") {
				select {
				case <-release:
				case <-r.Context().Done():
					return
				}
			}
			ca.ServeHTTP(w, r)
		})
	}})
	t.Cleanup(func() { once.Do(func() { close(release) }) })
	config := renewal(`timeouts = { create = "3s" }`)
	w.test(t,
		resource.TestStep{Config: config, Check: resource.TestCheckResourceAttr(www, "status", "awaiting_validation"), ExpectNonEmptyPlan: true},
		resource.TestStep{
			PreConfig: func() { once.Do(func() { close(release) }) }, Config: config,
			Check: resource.TestCheckResourceAttr(www, "status", "issued"),
		},
	)
	if placed := w.CA.Placed(); placed != 1 {
		t.Errorf("%d orders, want 1", placed)
	}
}
