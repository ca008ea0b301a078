package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// byCalendar is a certificate that is renewed 30 days before its end, whatever
// the CA suggests.
const byCalendar = `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { use_ari = false }
}`

// A clock that is a day off, or jumps by one in the middle of an apply, neither
// renews what is not due nor orders anything twice.
func TestAccClock_aDayOff(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for sentence, off := range map[string]time.Duration{"ahead": day, "behind": -day} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			set := func(offset time.Duration) func() {
				return func() { w.environment["CERTIFICATE_CLOCK_OFFSET"] = offset.String() }
			}
			const window = 60 * day // when it opens, in the life of the first certificate
			w.test(t,
				resource.TestStep{PreConfig: set(off), Config: byCalendar}, // the certificate may begin in our future
				resource.TestStep{PreConfig: set(0), Config: byCalendar, PlanOnly: true},
				resource.TestStep{PreConfig: set(off), Config: byCalendar, PlanOnly: true},
				// Not due by the right clock, nor by one that is a day off.
				resource.TestStep{PreConfig: set(window - 50*time.Hour), Config: byCalendar, PlanOnly: true},
				resource.TestStep{PreConfig: set(window - 50*time.Hour + off), Config: byCalendar, PlanOnly: true},
				// Due by both; and what was renewed by one is not due by the other.
				resource.TestStep{
					PreConfig: set(window + 50*time.Hour + off), Config: byCalendar,
					ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
					Check:            resource.TestCheckResourceAttr(www, "generation", "2"),
				},
				resource.TestStep{PreConfig: set(window + 50*time.Hour), Config: byCalendar, PlanOnly: true},
				resource.TestStep{PreConfig: set(window + 50*time.Hour - off), Config: byCalendar, PlanOnly: true},
			)
			if placed, issued := w.CA.Placed(), w.CA.Issued(); placed != 2 || issued != 2 {
				t.Errorf("%d orders and %d certificates, want 2 and 2", placed, issued)
			}
		})
	}
}

func TestAccClock_jumpsDuringAnApply(t *testing.T) {
	t.Parallel()
	for sentence, jump := range map[string]time.Duration{"forward": 24 * time.Hour, "back": -24 * time.Hour} {
		for _, kind := range []string{"order-plz", "chalZ", "finalize-order", "certZ"} {
			t.Run(sentence+", "+kind, func(t *testing.T) {
				t.Parallel()
				tr := &trap{kind: kind}
				w := newWorld(t, lab.Options{Intercept: tr.intercept})
				tr.trigger = func() { w.advance(jump) }
				tr.armed.Store(true)
				w.test(t,
					resource.TestStep{Config: byCalendar, Check: resource.TestCheckResourceAttr(www, "status", "issued")},
					resource.TestStep{Config: byCalendar, PlanOnly: true},
					resource.TestStep{PreConfig: func() { w.advance(-jump) }, Config: byCalendar, PlanOnly: true},
				)
				if placed, issued := w.CA.Placed(), w.CA.Issued(); placed != 1 || issued != 1 || tr.armed.Load() {
					t.Errorf("%d orders and %d certificates, want 1 and 1", placed, issued)
				}
			})
		}
	}
}

// dated has the CA answer with a clock that is off.
func dated(off time.Duration) func(http.Handler) http.Handler {
	return func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			ca.ServeHTTP(w, r)
		})
	}
}

// Clocks that differ are told once in the apply, and a few minutes are not.
func TestClock_ofTheCADiffers(t *testing.T) {
	t.Parallel()
	const warning = "The clocks of this machine and of the CA differ"
	for sentence, test := range map[string]struct {
		off  time.Duration
		want int
	}{
		"a day ahead":    {24 * time.Hour, 1},
		"a day behind":   {-24 * time.Hour, 1},
		"eleven minutes": {11 * time.Minute, 1},
		"nine minutes":   {-9 * time.Minute, 0},
		"not at all":     {0, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			c := newCLI(t, lab.Options{Intercept: dated(test.off)}, many(3))
			output := c.must(0, "apply", "-auto-approve")
			if got := strings.Count(output, warning); got != test.want || test.want > 0 && !strings.Contains(output, "Set the clock") {
				t.Errorf("told %d times, want %d:\n%s", got, test.want, output)
			}
			if output := c.must(0, "plan", "-detailed-exitcode"); strings.Contains(output, warning) {
				t.Errorf("told in a plan that asks the CA nothing:\n%s", output)
			}
		})
	}
}
