package provider_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// renewedAfter is a certificate that CLI tests renew by a clock of their own.
const renewedAfter = byCalendar + `
output "serial" { value = certificate_renewal.www.serial_number }
output "generation" { value = certificate_renewal.www.generation }
`

// A plan that was saved before somebody else renewed is refused by terraform;
// with the state of that time it takes over what was issued, and orders nothing.
func TestSavedPlan_appliedAfterARenewal(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, renewedAfter)
	c.must(0, "apply", "-auto-approve")
	c.extra = []string{"CERTIFICATE_CLOCK_OFFSET=1441h"} // the window opened an hour ago
	c.must(2, "plan", "-detailed-exitcode", "-out=saved.plan")
	state := filepath.Join(c.folder, "terraform.tfstate")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	c.must(0, "apply", "-auto-approve")
	renewed := c.must(0, "output", "-raw", "serial")

	if output := c.must(1, "apply", "saved.plan"); !strings.Contains(output, "Saved plan is stale") {
		t.Errorf("terraform does not say that the plan is stale:\n%s", output)
	}
	if err := os.WriteFile(state, before, 0o600); err != nil {
		t.Fatal(err)
	}
	c.must(0, "apply", "saved.plan")
	if got, generation := c.must(0, "output", "-raw", "serial"), c.must(0, "output", "-raw", "generation"); got != renewed || generation != "2" {
		t.Errorf("the state has generation %s, serial number %s, want 2 and %s", generation, got, renewed)
	}
	c.must(0, "plan", "-detailed-exitcode")
	if placed, issued := c.CA.Placed(), c.CA.Issued(); placed != 2 || issued != 2 {
		t.Errorf("%d orders and %d certificates, want 2 and 2", placed, issued)
	}
}

// A state from before the renewal, and a plan made with it, find the renewed
// certificate.
func TestState_rolledBackAdoptsTheRenewal(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, renewedAfter)
	c.must(0, "apply", "-auto-approve")
	state := filepath.Join(c.folder, "terraform.tfstate")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	c.extra = []string{"CERTIFICATE_CLOCK_OFFSET=1441h"}
	c.must(0, "apply", "-auto-approve")
	renewed := c.must(0, "output", "-raw", "serial")
	if err := os.WriteFile(state, before, 0o600); err != nil {
		t.Fatal(err)
	}
	c.must(0, "apply", "-auto-approve")
	if got := c.must(0, "output", "-raw", "serial"); got != renewed || c.CA.Placed() != 2 {
		t.Errorf("serial number %s of %d orders, want %s of 2", got, c.CA.Placed(), renewed)
	}
}

// A state from several renewals ago follows them all, also where only the newest
// key is kept.
func TestState_farBehindAdoptsTheNewest(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, strings.Replace(renewedAfter, "  domains", "  keep_generations = 1\n  domains", 1))
	c.must(0, "apply", "-auto-approve")
	state := filepath.Join(c.folder, "terraform.tfstate")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for renewal := range 3 {
		c.extra = []string{fmt.Sprintf("CERTIFICATE_CLOCK_OFFSET=%dh", 1441*(renewal+1))}
		c.must(0, "apply", "-auto-approve")
	}
	newest := c.must(0, "output", "-raw", "serial")
	if err := os.WriteFile(state, before, 0o600); err != nil {
		t.Fatal(err)
	}
	c.must(0, "apply", "-auto-approve")
	if got := c.must(0, "output", "-raw", "serial"); got != newest || c.CA.Placed() != 4 {
		t.Errorf("serial number %s of %d orders, want %s of 4", got, c.CA.Placed(), newest)
	}
}

// Five hundred certificates, and a terraform that would do a hundred at once: the
// plan asks the CA nothing, the apply has one account, few connections and few
// requests on their way.
func TestApply_fiveHundredCertificates(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	c := newCLI(t, lab.Options{Intercept: func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			now := running.Add(1)
			defer running.Add(-1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
				continue
			}
			ca.ServeHTTP(w, r)
		})
	}}, `
resource "certificate_renewal" "www" {
  for_each = toset([for n in range(500) : "www${n}.example.test"])
  domains  = [each.key]
}
`)
	c.extra, c.many = []string{"TF_LOG="}, true
	c.must(2, "plan", "-detailed-exitcode")
	if requests, suggestions := c.CA.Requests(); requests+suggestions != 0 {
		t.Errorf("the plan made %d requests, want none", requests+suggestions)
	}
	begun := time.Now()
	c.must(0, "apply", "-auto-approve", "-parallelism=100")
	t.Logf("500 certificates in %s", time.Since(begun))
	if placed, issued, accounts := c.CA.Placed(), c.CA.Issued(), c.CA.Count("sign-me-up"); placed != 500 || issued != 500 || accounts > 3 {
		t.Errorf("%d orders, %d certificates, %d requests for an account, want 500, 500 and 1 (nonces are rejected)", placed, issued, accounts)
	}
	if connections, at := c.CA.Connections(), most.Load(); connections > 16 || at > 16 {
		t.Errorf("%d connections and %d requests at once, want 16 at most", connections, at)
	}
	registrations := c.CA.Count("sign-me-up")
	before, _ := c.CA.Requests()
	c.must(0, "plan", "-detailed-exitcode")
	after, _ := c.CA.Requests()
	if got := c.CA.Count("sign-me-up"); got != registrations || after-before > 1 { // the directory
		t.Errorf("the plan made %d requests, %d for an account, want none but for the directory", after-before, got-registrations)
	}
}

// After an apply that failed, as after one that was interrupted, no process of
// the provider is left, whatever its children do.
func TestFailure_leavesNoProcess(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{Intercept: refusing(func(string) bool { return true }, http.StatusForbidden, "rejectedIdentifier", "not this name")}, crashConfig)
	c.must(1, "apply", "-auto-approve")
	eventually(t, 2*time.Second, "the provider processes end", func() bool { return len(c.providers()) == 0 })
}

// What keeps a certificate from being revoked does not keep it from being
// destroyed: it is revoked already, or the account is gone.
func TestDestroy_whereNothingCanBeRevoked(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		status       int
		kind, detail string
		warning      bool
	}{
		"it is revoked already":       {http.StatusBadRequest, "alreadyRevoked", "certificate is revoked", false},
		"the account was deactivated": {http.StatusUnauthorized, "unauthorized", "account is deactivated", true},
		"the CA forgot the account":   {http.StatusBadRequest, "accountDoesNotExist", "no such account", true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var gone atomic.Bool
			c := newCLI(t, lab.Options{Intercept: answering(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || !gone.Load() {
					return false
				}
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(test.status)
				_, _ = fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, test.kind, test.detail, test.status)
				return true
			})}, renewal("revoke_on_destroy = true"))
			c.must(0, "apply", "-auto-approve")
			gone.Store(true)
			output := c.must(0, "destroy", "-auto-approve")
			if got := strings.Contains(output, "The certificate was not revoked"); got != test.warning {
				t.Errorf("warned: %t, want %t\n%s", got, test.warning, output)
			}
		})
	}
}

// Two configurations of the provider in one run do not see each other's
// resolvers, nor anything else: there is nothing that they share.
func TestResolvers_doNotLeak(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, "")
	c.write(fmt.Sprintf(`
provider "certificate" {
  alias      = "broken"
  validation = { resolvers = [%q], responder = { url = %q, token = %q } }
}
provider "certificate" {}
resource "certificate_renewal" "broken" {
  provider = certificate.broken
  domains  = ["broken.example.test"]
}
resource "certificate_renewal" "www" {
  count   = 4
  domains = ["www${count.index}.example.test"]
}
`, nobody(t), c.ResponderURL, "the-environment-has-it"))
	output := c.must(1, "apply", "-auto-approve")
	if !strings.Contains(output, "validation.resolvers") {
		t.Errorf("it does not say what is wrong:\n%s", output)
	}
	if issued := c.CA.Issued(); issued != 4 {
		t.Errorf("%d certificates, want 4: all but the one whose resolvers are broken", issued)
	}
}

// Killed at each of all requests, before the CA hears of it and after it
// answered: the next apply always ends with one certificate. Only where the
// answer to newOrder was lost is there a second order.
func TestCrash_sweepOverAllRequests(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			s := &sweep{when: when}
			c := newCLI(t, lab.Options{Intercept: s.intercept}, "")
			s.kill = c.kill
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s%d", when, n)
				c.write(fmt.Sprintf("resource \"certificate_renewal\" %q { domains = [\"%s.example.test\"] }\n", name, name))
				placed, issued := c.CA.Placed(), c.CA.Issued()
				s.arm(n)
				output, status := c.run("apply", "-auto-approve")
				at := s.disarm()
				if at == "" && status != 0 {
					t.Fatal(output)
				}
				c.must(0, "apply", "-auto-approve")
				most := 1
				if when == "after" && strings.HasPrefix(at, "/order-plz") {
					most = 2
				}
				if orders, certificates := c.CA.Placed()-placed, c.CA.Issued()-issued; orders < 1 || orders > most || certificates != 1 {
					t.Errorf("killed %s request %d, %s: %d orders and %d certificates, want %d and 1", when, n, at, orders, certificates, most)
				}
				if values, err := c.Responder.TXT("_acme-challenge." + name + ".example." + lab.Zone); err != nil || len(values) > 0 {
					t.Errorf("killed %s request %d, %s: left in DNS: %q (%v)", when, n, at, values, err)
				}
				if at == "" {
					if n < 8 {
						t.Errorf("an apply makes %d requests, want more", n)
					}
					return
				}
			}
		})
	}
}

// sweep kills the provider at the nth request since it was armed.
type sweep struct {
	when string
	kill func()

	mu    sync.Mutex
	armed bool
	left  int
	at    string // the path of the request it killed at
}

func (s *sweep) arm(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.left, s.at = true, n, ""
}

func (s *sweep) disarm() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	return s.at
}

// now reports whether this is the request.
func (s *sweep) now(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed {
		return false
	}
	if s.left--; s.left >= 0 {
		return false
	}
	s.armed, s.at = false, path
	return true
}

func (s *sweep) intercept(ca http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.now(r.URL.Path) {
			ca.ServeHTTP(w, r)
			return
		}
		if s.when == "before" {
			s.kill()
			panic(http.ErrAbortHandler)
		}
		ca.ServeHTTP(discard{http.Header{}}, r)
		s.kill()
		panic(http.ErrAbortHandler)
	})
}

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
