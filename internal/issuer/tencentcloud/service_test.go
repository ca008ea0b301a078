package tencentcloud_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// Within a service of several years nothing is bought: the order that the CA
// places is waited for and taken.
func TestService_isFollowedWithoutAPurchase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, err := w.Commercial.AddCertificate(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}, Remaining: 31 * day, Years: 2})
	if err != nil {
		t.Fatal(err)
	}
	wish := renewal("dnspod-dv", id, "www.paid.test")
	if _, err := w.run(wish); err == nil || !strings.Contains(err.Error(), `source = "adopt"`) {
		t.Errorf("with a key of ours: %v, want an error that says what to do", err)
	}
	wish.Intent.Options.Purchase.KeyAtCA = true
	if j := w.must(wish, order.StatusPlanned); !strings.Contains(j.Detail, "paid for until") {
		t.Errorf("got %q", j.Detail)
	}
	w.Commercial.Advance(2 * day) // the CA's order is there
	w.must(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	if j := w.must(wish, order.StatusIssued); j.ServiceEnd.IsZero() {
		t.Error("nobody knows until when it is paid for")
	}
	w.charged(0)
}

// The last certificate of a service is renewed as any other.
func TestService_isBoughtAgainAtItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.old(1013949, 20, 0, 0, "www.paid.test")
	wish := renewal("dnspod-dv", id, "www.paid.test")
	wish.Intent.Options.Purchase.KeyAtCA, wish.Intent.Options.Purchase.Years = true, 2
	w.must(wish, order.StatusIssuing)
	w.charged(1)
}
