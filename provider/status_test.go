package provider_test

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const status = "data.certificate_status.all"

// pemOf is a certificate for a life, so much of which has passed.
func pemOf(t *testing.T, ca *deploytest.Authority, life, age time.Duration) string {
	t.Helper()
	from := time.Now().Add(-age)
	chain, _ := ca.Issue(t, time.Now(), []string{"www.example.test"}, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = from, from.Add(life)
	})
	return string(pki.EncodeCertificates(chain...))
}

// statusConfig looks at certificates by name.
func statusConfig(certificates map[string]string, more string) string {
	var b strings.Builder
	b.WriteString("data \"certificate_status\" \"all\" {\n  certificates_pem = {\n")
	for _, name := range slices.Sorted(maps.Keys(certificates)) {
		value := fmt.Sprintf("%q", certificates[name])
		if certificates[name] == "" {
			value = "null"
		}
		fmt.Fprintf(&b, "    %s = %s\n", name, value)
	}
	b.WriteString("  }\n" + more + "\n}")
	return b.String()
}

// names expects the sets of names; those not given are empty.
func names(t *testing.T, want map[string][]string) []statecheck.StateCheck {
	t.Helper()
	var checks []statecheck.StateCheck
	for _, set := range []string{"due", "reminding", "expiring", "expired", "unreachable", "missing"} {
		elements := []knownvalue.Check{}
		for _, name := range want[set] {
			elements = append(elements, knownvalue.StringExact(name))
		}
		checks = append(checks, statecheck.ExpectKnownValue(status, tfjsonpath.New(set), knownvalue.SetExact(elements)))
	}
	return append(checks, statecheck.ExpectKnownValue(status, tfjsonpath.New("ok"), knownvalue.Bool(len(want) == 0)))
}

func TestAccStatus_tellsWhatIsDueExpiringAndExpired(t *testing.T) {
	t.Parallel()
	w, ca := alone(), deploytest.NewAuthority(t, time.Now())
	const day = 24 * time.Hour
	fresh := pemOf(t, ca, 90*day, day)
	all := map[string]string{
		"fresh": fresh, "none": "",
		"due":      pemOf(t, ca, 90*day, 60*day+time.Hour),
		"late":     pemOf(t, ca, 90*day, 65*day),
		"expiring": pemOf(t, ca, 90*day, 80*day),
		"expired":  pemOf(t, ca, 90*day, 92*day),
		"short":    pemOf(t, ca, 6*day, 2*day),
	}
	of := func(name, attribute string) tfjsonpath.Path {
		return tfjsonpath.New("certificates").AtMapKey(name).AtMapKey(attribute)
	}
	w.test(t,
		resource.TestStep{Config: statusConfig(map[string]string{"fresh": fresh}, ""), ConfigStateChecks: names(t, nil)},
		resource.TestStep{Config: statusConfig(map[string]string{}, ""), ConfigStateChecks: names(t, nil)},
		resource.TestStep{
			Config: statusConfig(all, ""),
			ConfigStateChecks: append(names(t, map[string][]string{
				"due": {"due", "late", "expiring", "expired"}, "reminding": {"late", "expiring", "expired"},
				"expiring": {"expiring"}, "expired": {"expired"}, "missing": {"none"},
			}),
				statecheck.ExpectKnownValue(status, of("fresh", "status"), knownvalue.StringExact("ok")),
				statecheck.ExpectKnownValue(status, of("fresh", "reason"), knownvalue.Null()),
				statecheck.ExpectKnownValue(status, of("fresh", "days_left"), knownvalue.Int64Exact(88)),
				statecheck.ExpectKnownValue(status, of("due", "status"), knownvalue.StringExact("due")),
				statecheck.ExpectKnownValue(status, of("due", "reason"), knownvalue.StringRegexp(anywhere("the renewal window opened on"))),
				statecheck.ExpectKnownValue(status, of("expiring", "status"), knownvalue.StringExact("expiring")),
				statecheck.ExpectKnownValue(status, of("expired", "status"), knownvalue.StringExact("expired")),
				statecheck.ExpectKnownValue(status, of("expired", "days_left"), knownvalue.Int64Exact(-3)),
				statecheck.ExpectKnownValue(status, of("none", "status"), knownvalue.StringExact("missing")),
				statecheck.ExpectKnownValue(status, of("none", "days_left"), knownvalue.Null()),
			),
		},
		resource.TestStep{
			Config:            statusConfig(map[string]string{"fresh": fresh}, "window_days = 80\nwithin_days = 89"),
			ConfigStateChecks: names(t, map[string][]string{"expiring": {"fresh"}}),
		},
		resource.TestStep{
			Config:            statusConfig(map[string]string{"fresh": fresh}, "window_days = 89\nwithin_days = 0"),
			ConfigStateChecks: names(t, map[string][]string{"due": {"fresh"}}),
		},
		resource.TestStep{ // the provider's clock decides
			PreConfig: func() { w.advance(90 * day) },
			Config:    statusConfig(map[string]string{"fresh": fresh}, ""),
			ConfigStateChecks: names(t, map[string][]string{
				"due": {"fresh"}, "reminding": {"fresh"}, "expired": {"fresh"},
			}),
		},
	)
}

// The reminder comes on the second calendar day after the window opens, where
// the people are: at 16:00 UTC the day after next begins in Shanghai.
func TestAccStatus_remindsOnTheSecondCalendarDay(t *testing.T) {
	t.Parallel()
	w, ca := alone(), deploytest.NewAuthority(t, time.Now())
	opens := time.Now().UTC().Truncate(24 * time.Hour).Add(5*24*time.Hour + 20*time.Hour)
	chain, _ := ca.Issue(t, time.Now(), []string{"www.example.test"}, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = opens.AddDate(0, 0, -60), opens.AddDate(0, 0, 30)
	})
	config := func(more string) string {
		return statusConfig(map[string]string{"www": string(pki.EncodeCertificates(chain...))}, more)
	}
	const shanghai = `time_zone = "Asia/Shanghai"`
	reminder := func(at time.Time) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(status, tfjsonpath.New("certificates").AtMapKey("www").AtMapKey("reminder_at"), knownvalue.StringExact(at.Format(time.RFC3339)))
	}
	midnight := opens.Truncate(24*time.Hour).AddDate(0, 0, 2) // in UTC
	there := opens.Truncate(24*time.Hour).AddDate(0, 0, 3).Add(-8 * time.Hour)
	at := func(moment time.Time) func() { return func() { w.advance(moment.Sub(w.now())) } }
	due, reminding := map[string][]string{"due": {"www"}}, map[string][]string{"due": {"www"}, "reminding": {"www"}}
	w.test(t,
		resource.TestStep{PreConfig: at(midnight.Add(-time.Hour)), Config: config(""), ConfigStateChecks: append(names(t, due), reminder(midnight))},
		resource.TestStep{PreConfig: at(midnight.Add(time.Minute)), Config: config(""), ConfigStateChecks: append(names(t, reminding), reminder(midnight))},
		resource.TestStep{Config: config(shanghai), ConfigStateChecks: append(names(t, due), reminder(there))},
		resource.TestStep{PreConfig: at(there.Add(time.Minute)), Config: config(shanghai), ConfigStateChecks: append(names(t, reminding), reminder(there))},
	)
}

func TestAccStatus_asksServers(t *testing.T) {
	t.Parallel()
	w, now := alone(), time.Now()
	ca := deploytest.NewAuthority(t, now)
	chain, key := ca.Issue(t, now, []string{"www.example.test"})
	old, oldKey := ca.Issue(t, now, []string{"www.example.test"}, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(0, 0, -91), now.AddDate(0, 0, -1) })
	config := fmt.Sprintf(`data "certificate_status" "all" {
  timeout = "5s"
  endpoints = {
    good = { address = %q, server_name = "www.example.test" }
    old  = { address = %q }
    dead = { address = %q }
  }
}`, serveTLS(t, chain, key), serveTLS(t, old, oldKey), nobody(t))
	w.test(t, resource.TestStep{Config: config, ConfigStateChecks: append(
		names(t, map[string][]string{"due": {"old"}, "reminding": {"old"}, "expired": {"old"}, "unreachable": {"dead"}}),
		statecheck.ExpectKnownValue(status, tfjsonpath.New("certificates").AtMapKey("good").AtMapKey("status"), knownvalue.StringExact("ok")),
		statecheck.ExpectKnownValue(status, tfjsonpath.New("certificates").AtMapKey("dead").AtMapKey("reason"), knownvalue.StringRegexp(anywhere("refused"))),
	)})
}

// What a renewal will order is looked at when it is there, in the same apply.
func TestAccStatus_looksAtARenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	config := wwwOnly + `
data "certificate_status" "all" { certificates_pem = { www = certificate_renewal.www.certificate_pem } }`
	w.test(t,
		resource.TestStep{Config: config, ConfigStateChecks: names(t, nil)},
		resource.TestStep{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
	)
}

// A check block warns and stops nothing.
func TestStatus_checkBlockWarnsFromTheReminderOn(t *testing.T) {
	t.Parallel()
	ca := deploytest.NewAuthority(t, time.Now())
	const day = 24 * time.Hour
	c := newCLI(t, lab.Options{}, fmt.Sprintf(`
check "certificates" {
  data "certificate_status" "all" {
    certificates_pem = { www = %q }
  }
  assert {
    condition     = length(data.certificate_status.all.reminding) == 0
    error_message = "Overdue: ${join(", ", data.certificate_status.all.reminding)}"
  }
}`, pemOf(t, ca, 90*day, day)))
	for offset, want := range map[string]bool{"0s": false, "1416h": false, "1488h": true} { // 60 and 63 days old
		c.extra = []string{"CERTIFICATE_CLOCK_OFFSET=" + offset}
		if output := c.must(0, "plan"); strings.Contains(output, "Overdue: www") != want {
			t.Errorf("%s ahead: warned %t, want %t\n%s", offset, !want, want, output)
		}
	}
}

func TestAccStatus_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	good := pemOf(t, deploytest.NewAuthority(t, time.Now()), 90*24*time.Hour, 0)
	with := func(more string) string { return statusConfig(map[string]string{"www": good}, more) }
	for sentence, test := range map[string]struct{ config, want string }{
		"nothing to look at":      {`data "certificate_status" "all" {}`, `Set certificates_pem, endpoints, or issuer`},
		"no certificate":          {statusConfig(map[string]string{"www": "x"}, ""), `certificates_pem["www"]: no certificate`},
		"no address":              {with(`endpoints = { web = { address = "www.example.test" } }`), `endpoints["web"].address: "www.example.test" is not host:port`},
		"no server name":          {with(`endpoints = { web = { address = "a.test:443", server_name = "a b" } }`), `endpoints["web"].server_name: "a b"`},
		"one name for two":        {with(`endpoints = { www = { address = "a.test:443" } }`), `Both certificates_pem and endpoints have "www"`},
		"an unknown time zone":    {with(`time_zone = "Mars/Olympus"`), `time_zone: unknown time zone Mars/Olympus`},
		"the machine's time zone": {with(`time_zone = "Local"`), `time_zone: "Local" is no time zone`},
		"a path as a time zone":   {with(`time_zone = "../../etc/passwd"`), `time_zone: time: invalid location name`},
		"an empty window":         {with(`window_days = 0`), `window_days`},
		"negative days":           {with(`within_days = -1`), `within_days`},
		"no duration":             {with(`timeout = "soon"`), `timeout = "soon"`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			alone().test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}
