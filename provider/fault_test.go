package provider_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// answering has a function answer requests to a CA instead of it, until it
// returns false.
func answering(answer func(w http.ResponseWriter, r *http.Request) bool) func(http.Handler) http.Handler {
	return func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !answer(w, r) {
				ca.ServeHTTP(w, r)
			}
		})
	}
}

// rewriting changes the answers of a CA to requests of some kinds.
func rewriting(change func(body string) string, kinds ...string) func(http.Handler) http.Handler {
	return func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			ca.ServeHTTP(recorder, r)
			body := recorder.Body.String()
			for _, kind := range kinds {
				if strings.HasPrefix(r.URL.Path, "/"+kind+"/") && recorder.Code < http.StatusBadRequest {
					body = change(body)
				}
			}
			maps.Copy(w.Header(), recorder.Header())
			w.Header().Del("Content-Length")
			w.WriteHeader(recorder.Code)
			_, _ = io.WriteString(w, body)
		})
	}
}

func token(text string) string { return renewal(fmt.Sprintf("renewal = { force_token = %q }", text)) }

// While the CA is under repair a plan with nothing due stays empty, an apply
// says until when, and waits itself where that is soon.
func TestAccOutage_directoryUnderRepair(t *testing.T) {
	t.Parallel()
	var after atomic.Value // of Retry-After; empty while the CA works
	after.Store("")
	asked := 0
	w := newWorld(t, lab.Options{Intercept: answering(func(w http.ResponseWriter, r *http.Request) bool {
		wait, _ := after.Load().(string)
		if r.URL.Path != "/dir" || wait == "" {
			return false
		}
		if wait == "1" {
			after.Store("")
		}
		asked++
		w.Header().Set("Retry-After", wait)
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})})
	first, kept, second := map[string]string{}, map[string]string{}, map[string]string{}
	var begun time.Time
	w.test(t,
		resource.TestStep{Config: token("a"), Check: grab(first, www, "serial_number")},
		resource.TestStep{PreConfig: func() { after.Store("7200") }, Config: token("a"), PlanOnly: true},
		resource.TestStep{Config: token("b"), ExpectError: anywhere("the CA asks to wait 2h0m0s, until")},
		resource.TestStep{Config: token("a"), Check: grab(kept, www, "serial_number")},
		resource.TestStep{
			PreConfig: func() { after.Store("1"); begun = time.Now() },
			Config:    renewal(`renewal = { use_ari = false, force_token = "c" }`),
			Check:     grab(second, www, "serial_number"),
		},
	)
	if kept["serial_number"] != first["serial_number"] || second["serial_number"] == first["serial_number"] {
		t.Errorf("certificates %s, %s in the outage, %s after it", first["serial_number"], kept["serial_number"], second["serial_number"])
	}
	if took := time.Since(begun); took < time.Second || asked != 2 {
		t.Errorf("the last apply took %s, want the second that the CA asked for; asked %d times, want 2", took, asked)
	}
	if placed := w.CA.Placed(); placed != 2 {
		t.Errorf("%d orders, want 2", placed)
	}
}

// A rate limit holds the certificate it is for, is not tried again before its
// time, and says it; other certificates are issued.
func TestAccRateLimit_holdsWhatItIsFor(t *testing.T) {
	t.Parallel()
	var limited atomic.Int32
	w := newWorld(t, lab.Options{Intercept: answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/order-plz") || !strings.Contains(payload(r), "limited.example.test") {
			return false
		}
		limited.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates","status":429}`)
		return true
	})})
	both := `resource "certificate_renewal" "limited" { domains = ["limited.example.test"] }
` + wwwOnly
	w.test(t,
		resource.TestStep{Config: both, ExpectError: anywhere("too many certificates (the CA asks to wait 1h0m0s, until")},
		resource.TestStep{Config: wwwOnly, PlanOnly: true},
		resource.TestStep{Config: wwwOnly, Check: resource.TestCheckResourceAttr(www, "generation", "1")},
	)
	if got := limited.Load(); got != 1 || w.CA.Issued() != 1 {
		t.Errorf("asked %d times for what is limited, %d certificates, want 1 and 1", got, w.CA.Issued())
	}
}

// A CA that takes hours to issue: the order is recorded as issuing, and applies
// go on with it until it is done.
func TestAccRenewal_processingForHours(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	w := newWorld(t, lab.Options{Intercept: rewriting(func(body string) string {
		if slow.Load() {
			return strings.Replace(body, `"valid"`, `"processing"`, 1)
		}
		return body
	}, "my-order", "finalize-order")})
	config, first := renewal(`wait_timeout = "3s"`), map[string]string{}
	open := resource.ComposeTestCheckFunc(
		resource.TestCheckResourceAttr(www, "status", "issuing"), resource.TestCheckNoResourceAttr(www, "certificate_pem"),
	)
	w.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(open, grab(first, www, "id")), ExpectNonEmptyPlan: true},
		resource.TestStep{PreConfig: func() { w.advance(5 * time.Hour) }, Config: config, Check: open, ExpectNonEmptyPlan: true},
		resource.TestStep{
			PreConfig: func() { slow.Store(false) }, Config: renewal(`wait_timeout = "30s"`),
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckResourceAttr(www, "status", "issued"), resource.TestCheckResourceAttrWith(www, "id", equals(first, "id")),
			),
		},
	)
	if placed, issued := w.CA.Placed(), w.CA.Issued(); placed != 1 || issued != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", placed, issued)
	}
}

// A CA that does not say when to renew, or nonsense, leaves it to the life of the
// certificate; one that says "never" is overruled at the end of it.
func TestAccRenewal_renewsWhateverTheCASuggests(t *testing.T) {
	t.Parallel()
	const inThirtyYears = `{"suggestedWindow":{"start":"2056-01-01T00:00:00Z","end":"2056-01-02T00:00:00Z"}}`
	for sentence, test := range map[string]struct {
		status int
		body   string
		quiet  int // days after which nothing is due
		due    int // days after which it is
	}{
		"a broken CA":        {500, "oops", 59, 61},
		"a malformed answer": {200, "<html>", 59, 61},
		"an inverted window": {200, `{"suggestedWindow":{"start":"2027-01-03T00:00:00Z","end":"2027-01-02T00:00:00Z"}}`, 59, 61},
		"an absurd window":   {200, inThirtyYears, 84, 86},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{Intercept: answering(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/renewalInfo/") {
					return false
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
				return true
			})})
			to := func(days int) func() {
				return func() { w.advance(time.Duration(days)*24*time.Hour - time.Until(w.now()).Round(time.Hour)) }
			}
			w.test(t,
				resource.TestStep{Config: wwwOnly},
				resource.TestStep{PreConfig: to(test.quiet), Config: wwwOnly, PlanOnly: true},
				resource.TestStep{PreConfig: to(test.due), Config: wwwOnly, PlanOnly: true, ExpectNonEmptyPlan: true},
			)
		})
	}
}

// A certificate that the CA revoked is due at once, and is replaced on the server
// before anything of it is removed.
func TestAccRenewal_replacesWhatTheCARevoked(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{PollSuggestions: true}), startNginx(t)
	config := nginxConfig(n)
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: config, Check: grab(first, www, "certificate_pem", "fingerprint_sha256")},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{
			PreConfig: func() { w.revoke(t, first["certificate_pem"]) },
			Config:    config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(
				grab(second, www, "fingerprint_sha256", "generation"),
				func(*terraform.State) error {
					if got := served(t, n.Address); got != second["fingerprint_sha256"] || got == first["fingerprint_sha256"] {
						return fmt.Errorf("nginx serves %s, want %s", got, second["fingerprint_sha256"])
					}
					return nil
				},
			),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	if keys, err := filepath.Glob(filepath.Join(w.StorageDirectory(), "keys", "*")); err != nil || len(keys) != 2 {
		t.Errorf("stored keys %v (%v), want the old one and the new one", keys, err)
	}
}

// A certificate that is not what was ordered is neither stored nor deployed, and
// applies in a row do not go on ordering.
func TestAccRenewal_refusesAnotherCertificate(t *testing.T) {
	t.Parallel()
	var another atomic.Value // what the CA sends instead
	another.Store("")
	w, n := newWorld(t, lab.Options{Intercept: rewriting(func(body string) string {
		if instead, _ := another.Load().(string); instead != "" {
			return instead
		}
		return body
	}, "certZ")}), startNginx(t)
	config := func(text string) string { return strings.Replace(nginxConfig(n), wwwOnly, token(text), 1) }
	first, kept := map[string]string{}, map[string]string{}
	refused := resource.TestStep{Config: config("b"), ExpectError: anywhere("another certificate than was ordered")}
	w.test(t,
		resource.TestStep{Config: config("a"), Check: grab(first, www, "fullchain_pem", "fingerprint_sha256")},
		resource.TestStep{PreConfig: func() { another.Store(first["fullchain_pem"]) }, Config: config("b"), ExpectError: anywhere("another certificate than was ordered")},
		refused, refused,
		resource.TestStep{Config: config("b"), ExpectError: anywhere("No order was placed")}, // it is held
		resource.TestStep{PreConfig: func() { another.Store("") }, Config: config("a"), Check: grab(kept, www, "fingerprint_sha256", "generation")},
	)
	if kept["fingerprint_sha256"] != first["fingerprint_sha256"] || kept["generation"] != "1" {
		t.Errorf("the state has %v, want the first certificate", kept)
	}
	if got := served(t, n.Address); got != first["fingerprint_sha256"] {
		t.Errorf("nginx serves %s, want %s", got, first["fingerprint_sha256"])
	}
	if placed := w.CA.Placed(); placed != 4 {
		t.Errorf("%d orders, want the first and three that were refused", placed)
	}
}

// revoke has the CA revoke a certificate that the world's account ordered.
func (w *world) revoke(t *testing.T, text string) {
	t.Helper()
	chain, err := pki.ParseCertificates([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.issuer(t).Revoke(t.Context(), chain[0], 4); err != nil {
		t.Fatal(err)
	}
}
