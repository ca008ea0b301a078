package provider_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// A profile that the CA does not have is refused in the plan; where the CA is
// down, the plan does without the question.
func TestAccRenewal_profileOfTheCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	with := func(profile string) string {
		return `resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  profile = "` + profile + `"
}`
	}
	directory := w.environment["CERTIFICATE_ACME_DIRECTORY_URL"]
	w.test(t,
		resource.TestStep{Config: with("short"), PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)no\s+such\s+certificate\s+profile:\s+"short";\s+it\s+has\s+default`)},
		resource.TestStep{
			PreConfig: func() { w.environment["CERTIFICATE_ACME_DIRECTORY_URL"] = "https://127.0.0.1:1/dir" },
			Config:    with("short"), PlanOnly: true, ExpectNonEmptyPlan: true,
		},
		resource.TestStep{
			PreConfig: func() { w.environment["CERTIFICATE_ACME_DIRECTORY_URL"] = directory },
			Config:    with("default"), Check: resource.TestCheckResourceAttr(www, "status", "issued"),
		},
	)
	if placed := w.CA.Placed(); placed != 1 {
		t.Errorf("%d orders, want 1", placed)
	}
}
