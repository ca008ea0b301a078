package dnsserver

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A leaf takes the memory that it needs and no more, and says what it was told.
func TestLeaf_isOfOnePieceAndExact(t *testing.T) {
	sets := map[uint16][]record{
		dns.TypeA:   {{ttl: 5, data: "\x01\x02\x03\x04"}},
		dns.TypeTXT: {{ttl: 5, data: "\x01a"}, {ttl: 5, data: "\x01b", expires: 7}},
		dns.TypeCAA: {{ttl: 9, data: strings.Repeat("c", 300)}},
	}
	for rrtype, records := range sets {
		if got, want := packedSize(records), len(appendSet(nil, rrtype, records)); got != want {
			t.Errorf("%s: packed size %d, want %d", dns.Type(rrtype), got, want)
		}
	}
	for _, name := range []string{".", "a.", "www.example.com."} {
		var l *leaf
		for _, rrtype := range []uint16{dns.TypeTXT, dns.TypeCAA, dns.TypeA} {
			l = l.with(name, rrtype, sets[rrtype])
		}
		l = l.counted(name, 3)
		if l.name() != name || l.below != 3 || !l.holds() {
			t.Errorf("%q: name %q, %d below, holds %v", name, l.name(), l.below, l.holds())
		}
		for rrtype, want := range sets {
			if got := l.records(rrtype); !slices.Equal(got, want) {
				t.Errorf("%q %s: %v, want %v", name, dns.Type(rrtype), got, want)
			}
		}
		for rrtype := range sets {
			l = l.with(name, rrtype, nil)
		}
		if want := newLeaf(name, 3); l.text() != want.text() || l.holds() {
			t.Errorf("%q without records: %q", name, l.text())
		}
	}
}

// There may be millions of leaves, so that one allocation more is felt.
func TestLeaf_isOneAllocation(t *testing.T) {
	records := []record{{ttl: 5, data: "\x2b" + strings.Repeat("v", 43)}}
	var l *leaf
	got := testing.AllocsPerRun(100, func() {
		l = (*leaf)(nil).with("f81d4fae-7dec-11d0-a765-00a0c91e6bf6.example.com.", dns.TypeTXT, records)
	})
	if got != 1 {
		t.Errorf("a leaf takes %v allocations, want 1", got)
	}
	if !l.holds() {
		t.Error("the leaf holds nothing")
	}
}
