package provider_test

import (
	"os"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const hundred = `
resource "certificate_renewal" "www" {
  count   = 100
  domains = ["www${count.index}.example.test"]
}
`

// BenchmarkApply100 is terraform apply of 100 certificates, all included.
func BenchmarkApply100(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCLI(b, lab.Options{}, hundred)
		c.extra = []string{"TF_LOG="}
		b.StartTimer()
		start := time.Now()
		c.must(0, "apply", "-auto-approve")
		took := time.Since(start)
		b.StopTimer()
		requests, suggestions := c.CA.Requests()
		b.ReportMetric(took.Seconds(), "s/apply")
		b.ReportMetric(float64(requests)/100, "requests/cert")
		b.ReportMetric(float64(suggestions)/100, "ari/cert")
		b.ReportMetric(float64(c.CA.Count("sign-me-up")), "account-lookups")
		b.StartTimer()
	}
}

// BenchmarkPlan100 is a terraform plan of 100 certificates with nothing due.
func BenchmarkPlan100(b *testing.B) {
	c := newCLI(b, lab.Options{}, hundred)
	c.extra = []string{"TF_LOG="}
	c.must(0, "apply", "-auto-approve")
	requests, suggestions := c.CA.Requests()
	plans := 0
	for b.Loop() {
		c.must(0, "plan", "-detailed-exitcode")
		plans++
	}
	after, asked := c.CA.Requests()
	b.ReportMetric(float64(after-requests)/float64(plans), "requests/plan")
	b.ReportMetric(float64(asked-suggestions)/float64(plans), "ari/plan")
	if state, err := os.Stat(c.folder + "/terraform.tfstate"); err == nil {
		b.ReportMetric(float64(state.Size())/1000, "state-KB")
	}
}
