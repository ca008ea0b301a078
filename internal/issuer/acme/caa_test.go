package acme_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// What CAA records forbid is found before the CA is asked to look, and the order
// goes on once they are mended.
func TestIssue_namesTheCAARecordsThatForbidIt(t *testing.T) {
	l := newLab(t, lab.Options{Records: "closed.example CAA 0 issue \"other.example\"\nopen.example CAA 0 issue \"pebble.letsencrypt.org\"\n"})
	_, _, err := newRunner(t, l).Run(t.Context(), wish("www.open.example.test", "www.closed.example.test"))
	if !errors.Is(err, challenge.ErrForbidden) || errors.Is(err, order.ErrRejected) ||
		!strings.Contains(err.Error(), `www.closed.example.test those at closed.example.test count`) || strings.Contains(err.Error(), "open.example") {
		t.Fatalf("error %v, want one that names the record and the name", err)
	}
	wantNoRecords(t, l, "www.open.example.test", "www.closed.example.test")
	j := mustRun(t, newRunner(t, l), wish("www.open.example.test"))
	verify(t, l, j)
}
