package dnsserver

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// What another server of the storage changed is told by IXFR too.
func TestTransfer_ofWhatAnotherServerStored(t *testing.T) {
	common := &sharedLog{}
	storeA, storeB := common.store("a"), common.store("b")
	a, b := startServer(t, transferConfig(), storeA), startServer(t, transferConfig(), storeB)
	put(t, a, "x.dyn.example.com", "1")
	storeB.wake <- struct{}{}
	eventually(t, "b follows", func() bool { got, err := b.TXT("x.dyn.example.com"); return err == nil && len(got) == 1 })
	_, from, _ := b.Serial("example.com")
	put(t, a, "x.dyn.example.com", "2")
	storeB.wake <- struct{}{}
	eventually(t, "b follows", func() bool { got, err := b.TXT("x.dyn.example.com"); return err == nil && len(got) == 2 })
	put(t, b, "y.dyn.example.com", "3")
	all, rcode := transferred(t, b.Addr(), ixfr(from), signer(t, "transfer"))
	if got := brief(all); rcode != dns.RcodeSuccess || len(all) != 6 || !slices.Contains(got, `x.dyn.example.com. 5 IN TXT "2"`) || !slices.Contains(got, `y.dyn.example.com. 5 IN TXT "3"`) {
		t.Errorf("%s %q, want what both changed", dns.RcodeToString[rcode], got)
	}
}
