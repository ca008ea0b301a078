package dnsserver

import (
	"bytes"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

func TestUpdate_replayed(t *testing.T) {
	s := startServer(t, updateConfig(), NewMemoryStore())
	k := signer(t, "all")
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
	signed, mac := k.Sign(wire(t, m), nil, time.Now())
	if reply := unwire(t, exchange(t, "udp", s.Addr().String(), signed)); reply.Rcode != dns.RcodeSuccess {
		t.Fatal(reply)
	}
	if err := s.DeleteTXT(t.Context(), "a.dyn.example.com", "new"); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		again := bytes.Clone(signed)
		again[0] ^= 1 // the ID is not signed
		reply := exchange(t, network, s.Addr().String(), again)
		signature, err := tsig.Find(reply)
		if err != nil || signature == nil || signature.Error != dns.RcodeBadTime || k.Verify(reply, signature, mac, time.Now()) != nil {
			t.Errorf("%s: %v, %v; want BADTIME, signed", network, signature, err)
		}
		if got := unwire(t, reply); got.Rcode != dns.RcodeNotAuth {
			t.Errorf("%s: %s, want NOTAUTH", network, dns.RcodeToString[got.Rcode])
		}
	}
	if got := shown(t, s, "a.dyn.example.com."); len(got) > 0 {
		t.Errorf("the replay put %q back", got)
	}
}

func TestReplays_memoryIsBounded(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	r := newReplays(start, 100)
	mac := func(n int) *tsig.Signature {
		return &tsig.Signature{Time: uint64(start.Unix()) + uint64(n/10), MAC: []byte{0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n), 9, 9}}
	}
	for n := range 1000 {
		if fresh, _ := r.begin(mac(n), start); !fresh {
			t.Fatalf("update %d was refused", n)
		}
		r.end(mac(n))
		if r.count > 100 {
			t.Fatalf("%d are remembered, want 100 at most", r.count)
		}
	}
	for n := range 1000 {
		if fresh, running := r.begin(mac(n), start); fresh || running {
			t.Fatalf("update %d was taken twice", n)
		}
	}
	if fresh, _ := r.begin(mac(1), start.Add(time.Hour)); fresh || r.count != 0 {
		t.Errorf("an hour later %d are remembered, want none, and nothing so old is fresh", r.count)
	}
	running := mac(36000)
	if fresh, again := r.begin(running, start.Add(time.Hour)); !fresh || again {
		t.Error("a new update was refused")
	}
	if fresh, again := r.begin(running, start.Add(time.Hour)); fresh || !again {
		t.Error("the same datagram again was not noticed while the first is being made")
	}
}
