package tencentcloud_test

import (
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// An order that was cancelled renews nothing, and more certificates than one
// answer holds are listed too.
func TestExpiring_listsWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", false)
	id := w.old(1018580, 20, company, manager, "www.ov.test")
	w.old(1018580, 31, company, manager, "later.ov.test")
	opened := w.runner().Issuer.(*tencentcloud.Issuer)
	find := func() (issuer.Expiring, int) {
		t.Helper()
		all, err := opened.Expiring(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.ID == id {
				return c, len(all)
			}
		}
		t.Fatalf("%s is not in %+v", id, all)
		return issuer.Expiring{}, 0
	}
	before, known := find()
	if len(before.Names) != 1 || before.Names[0] != "www.ov.test" || before.RenewalID != "" || len(before.Fingerprint) != 64 {
		t.Errorf("got %+v", before)
	}
	j := w.must(renewal("securesite-ov", id, "www.ov.test"), order.StatusAwaitingDocument)
	if got, _ := find(); got.RenewalID != j.OrderID {
		t.Errorf("renewed by %q, want %q", got.RenewalID, j.OrderID)
	}
	if err := opened.Cancel(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if got, _ := find(); got.RenewalID != "" {
		t.Errorf("renewed by %q, which is cancelled", got.RenewalID)
	}
	const more = 100
	for range more {
		w.old(1013949, 10, 0, 0, "www.many.test")
	}
	if _, got := find(); got != known+more {
		t.Errorf("%d are listed, want %d", got, known+more)
	}
}
