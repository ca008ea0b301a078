package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// A hundred names lead their validation to one label: all values are there at
// once, which the CA reads over TCP, and all are gone afterwards.
func TestAccValidation_aHundredNamesLeadToOneLabel(t *testing.T) {
	t.Parallel()
	var names []string
	var records strings.Builder
	for n := range 100 {
		names = append(names, fmt.Sprintf("n%d.many.%s", n, lab.Zone))
		fmt.Fprintf(&records, "_acme-challenge.n%d.many CNAME shared-by-all\n", n)
	}
	w := newWorld(t, lab.Options{Records: records.String()})
	config := validated("", names...)
	w.test(t,
		resource.TestStep{Config: config, Check: coversExactly(names...)},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	left, err := w.Responder.TXT("shared-by-all." + lab.Zone)
	if err != nil || len(left) > 0 {
		t.Errorf("%d values are left (%v), want none", len(left), err)
	}
	if got := w.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want 1", got)
	}
}
