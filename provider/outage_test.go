package provider_test

import (
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// nobody is an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// What is down or wrong is named with its URL and what to do; nothing is lost:
// the next apply, with the mend, issues exactly one certificate.
func TestAccOutage_isNamedAndLosesNothing(t *testing.T) {
	t.Parallel()
	dead := nobody(t)
	for sentence, test := range map[string]struct {
		variable, value string
		want            []string
	}{
		"a dead CA":               {"CERTIFICATE_ACME_DIRECTORY_URL", "https://" + dead + "/dir", []string{"https://" + dead + "/dir", "journalled"}},
		"a dead responder":        {"CERTIFICATE_RESPONDER_URL", "http://" + dead, []string{"http://" + dead, "journalled"}},
		"a wrong token":           {"CERTIFICATE_RESPONDER_TOKEN", "wrong-token", []string{"/v1/txt/_acme-challenge.www.example.test", "check the token in validation.responder"}},
		"a CA that nobody trusts": {"CERTIFICATE_ACME_CA_BUNDLE_PEM", "", []string{"certificate signed by unknown authority", "ca_bundle_pem"}},
		"dead resolvers":          {"CERTIFICATE_RESOLVERS", dead, []string{dead, "validation.resolvers"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			good := w.environment[test.variable]
			steps := []resource.TestStep{}
			for _, want := range test.want {
				steps = append(steps, resource.TestStep{
					PreConfig: func() { w.environment[test.variable] = test.value },
					Config:    wwwOnly, ExpectError: anywhere(want),
				})
			}
			steps = append(steps, resource.TestStep{
				PreConfig: func() {
					if values, err := w.Responder.TXT("_acme-challenge.www.example.test"); err != nil || len(values) > 0 {
						t.Errorf("left in DNS: %q (%v)", values, err)
					}
					w.environment[test.variable] = good
				},
				Config: wwwOnly,
			})
			w.test(t, steps...)
			if got := w.CA.Issued(); got != 1 {
				t.Errorf("the CA issued %d certificates, want 1", got)
			}
		})
	}
}

// An order that the CA takes its time for is recorded; later applies go on with
// it, and the resource is never tainted.
func TestAccRenewal_resumesAnOrderThatTakesLong(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	w := newWorld(t, lab.Options{Intercept: func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			ca.ServeHTTP(recorder, r)
			body := recorder.Body.String()
			if slow.Load() && strings.HasPrefix(r.URL.Path, "/my-order/") {
				// The CA has not got round to looking at the records.
				body = strings.Replace(body, `"status": "ready"`, `"status": "pending"`, 1)
			}
			maps.Copy(rw.Header(), recorder.Header())
			rw.Header().Del("Content-Length")
			rw.WriteHeader(recorder.Code)
			_, _ = io.WriteString(rw, body)
		})
	}})
	config := `resource "certificate_renewal" "www" {
  domains      = ["www.example.test"]
  wait_timeout = "300ms"
}`
	first := map[string]string{}
	w.test(t,
		resource.TestStep{
			Config: config,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("status"), knownvalue.StringExact("awaiting_validation")),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("certificate_pem"), knownvalue.Null()),
			},
			Check:              grab(first, www, "id"),
			ExpectNonEmptyPlan: true,
		},
		resource.TestStep{
			PreConfig:        func() { slow.Store(false) },
			Config:           strings.Replace(config, "300ms", "30s", 1),
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckResourceAttr(www, "status", "issued"),
				resource.TestCheckResourceAttr(www, "generation", "1"),
				resource.TestCheckResourceAttrWith(www, "id", equals(first, "id")),
			),
		},
	)
	if got := w.CA.Placed(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// The clock of the provider can be moved in the lab, and the CA is asked for
// dates by the same clock; with a CA elsewhere it is refused.
func TestAccClock_movesOnlyBesideALocalCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	w.environment["CERTIFICATE_CLOCK_OFFSET"] = "0s"
	config := `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { use_ari = false }
}`
	state := map[string]string{}
	w.test(t,
		resource.TestStep{Config: config},
		resource.TestStep{
			PreConfig:        func() { w.environment["CERTIFICATE_CLOCK_OFFSET"] = "1600h" },
			Config:           config,
			ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check:            grab(state, www, "not_after"),
		},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{
			Config: `provider "certificate" {
  issuers = { le = { acme = { directory_url = "https://ca.example.com/dir", terms_of_service_agreed = true } } }
}
` + config,
			PlanOnly: true, ExpectError: anywhere("only allowed when every issuer is on this machine"),
		},
		resource.TestStep{Config: config, PlanOnly: true}, // what is destroyed in the end
	)
	end, err := time.Parse(time.RFC3339, state["not_after"])
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(end); left < 1600*time.Hour+80*24*time.Hour {
		t.Errorf("the renewed certificate lives for %s of the real clock, want 90 days by the moved one", left)
	}
}
