package postgres

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// transfer is what a server tells a secondary that has a serial, 0 for none: the
// records, one line each.
func transfer(t *testing.T, s *dnsserver.Server, since uint32) (lines []string) {
	t.Helper()
	m := new(dns.Msg)
	m.SetAxfr("auth.example.com.")
	if since > 0 {
		m.SetIxfr("auth.example.com.", since, "ns1.auth.example.com.", "hostmaster.auth.example.com.")
	}
	messages, err := new(dns.Transfer).In(m, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for message := range messages {
		if message.Error != nil {
			t.Fatal(message.Error)
		}
		for _, rr := range message.RR {
			lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	return lines
}

// Secondaries may follow whichever server they reach: all tell the same, and
// none goes on from a history that was replaced.
func TestServers_tellSecondariesTheSame(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	storeA, storeB := join(t, address, "a"), join(t, address, "b")
	a, b := serve(t, storeA), serve(t, storeB)
	even := func() {
		t.Helper()
		eventually(t, "both are equally far", func() bool {
			return serial(t, a) == serial(t, b) && storeA.Condition().Sequence == storeB.Condition().Sequence
		})
	}
	even()
	since := serial(t, a)
	for n := range 6 {
		put(t, []*dnsserver.Server{a, b}[n%2], fmt.Sprintf("n%d.auth.example.com", n/2), fmt.Sprint(n))
	}
	if err := b.DeleteTXT(t.Context(), "n0.auth.example.com", "0"); err != nil {
		t.Fatal(err)
	}
	even()
	sorted := func(lines []string) []string { slices.Sort(lines); return lines }
	if one, other := sorted(transfer(t, a, 0)), sorted(transfer(t, b, 0)); !slices.Equal(one, other) {
		t.Errorf("AXFR: a tells %q\nb tells %q", one, other)
	}
	one, other := transfer(t, a, since), transfer(t, b, since)
	if !slices.Equal(one, other) || len(one) < 2 || !strings.Contains(one[1], fmt.Sprint(" ", since, " ")) {
		t.Errorf("IXFR since %d: a tells %q\nb tells %q", since, one, other)
	}
	before := serial(t, a)
	err := open(t, address, "tool").Replace(t.Context(), func(old iter.Seq2[dnsserver.Batch, error]) iter.Seq2[dnsserver.Batch, error] {
		for _, err := range old {
			if err != nil {
				t.Error(err)
			}
		}
		return sequence([]dnsserver.Batch{record("new.auth.example.com.")})
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "both have loaded anew", func() bool {
		return int32(serial(t, a)-before) > 0 && serial(t, a) == serial(t, b) && answers(t, b, "new.auth.example.com") == "v"
	})
	for _, s := range []*dnsserver.Server{a, b} {
		for _, from := range []uint32{since, before} {
			if got := transfer(t, s, from); len(got) < 2 || strings.Contains(got[1], " SOA ") {
				t.Errorf("IXFR since %d, after all was replaced: %q, want the whole zone", from, got)
			}
		}
	}
}
