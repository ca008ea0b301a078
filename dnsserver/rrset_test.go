package dnsserver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// What is taken for data of a record is what the message library reads.
func FuzzReadable(f *testing.F) {
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCAA, dns.TypeTLSA, dns.TypeMX, 65280}
	for _, data := range []string{"", "\x00", "\x01", "\x01a", "\x01a\x00", "\x01a\x02b", "\x7f\x00\x00\x01", strings.Repeat("\x00", 16), "\xff" + strings.Repeat("a", 255)} {
		for _, rrtype := range types {
			f.Add(rrtype, data)
		}
	}
	f.Fuzz(func(t *testing.T, rrtype uint16, data string) {
		if len(data) > maxSet {
			return
		}
		_, err := newRR("a.", rrtype, record{data: data})
		want := err == nil && (data != "" || mayBeEmpty(rrtype))
		if got := readable(rrtype, data); got != want {
			t.Errorf("%s %q: %t, and the library: %v", dns.Type(rrtype), data, got, err)
		}
	})
}
