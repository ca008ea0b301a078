package dnsserver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
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

func TestUpdate_limits(t *testing.T) {
	config := updateConfig()
	config.Updates = Updates{MaxRecords: 20, MaxValues: 5, MaxBytes: 3000}
	s := startServer(t, config, NewMemoryStore())
	for title, test := range map[string]struct {
		records, size, rcode int
	}{
		"as many values as are allowed": {5, 10, dns.RcodeSuccess},
		"one more":                      {6, 10, dns.RcodeRefused},
		"too many records":              {21, 10, dns.RcodeRefused},
		"too many bytes":                {20, 200, dns.RcodeRefused},
	} {
		m := new(dns.Msg).SetUpdate("example.com.")
		for n := range test.records {
			m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT "+string(rune('a'+n))+strings.Repeat("x", test.size)))
		}
		if reply := sendUpdate(t, s, "tcp", signer(t, "all"), m); reply.Rcode != test.rcode {
			t.Errorf("%s: %s, want %s", title, dns.RcodeToString[reply.Rcode], dns.RcodeToString[test.rcode])
		}
	}
	if got := shown(t, s, "a.dyn.example.com."); len(got) != 5 {
		t.Errorf("there are %d values, want the 5 of the update that was allowed", len(got))
	}
}

// slowStore waits with what it is given, once told to.
type slowStore struct {
	*MemoryStore
	slow    atomic.Bool
	begun   chan struct{}
	release chan struct{}
}

func (s *slowStore) Apply(ctx context.Context, b Batch) error {
	if s.slow.Load() {
		s.begun <- struct{}{}
		<-s.release
	}
	return s.MemoryStore.Apply(ctx, b)
}

// failingStore takes nothing.
type failingStore struct{ *MemoryStore }

func (failingStore) Apply(context.Context, Batch) error { return errors.New("read-only file system") }

func TestUpdate_storageFaultIsSERVFAIL(t *testing.T) {
	s := startServer(t, updateConfig(), failingStore{NewMemoryStore()})
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
	for _, network := range []string{"udp", "tcp"} {
		if reply := sendUpdate(t, s, network, signer(t, "all"), m); reply.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %s, want SERVFAIL", network, dns.RcodeToString[reply.Rcode])
		}
		m.Id++
	}
	if got := shown(t, s, "a.dyn.example.com."); len(got) > 0 {
		t.Errorf("there is %q, which is stored nowhere", got)
	}
}

func TestUpdate_isInTheTimeline(t *testing.T) {
	s := startServer(t, updateConfig(), NewMemoryStore())
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
	sendUpdate(t, s, "udp", signer(t, "txt"), m)
	events := s.history.matching(func(string) bool { return true }, time.Time{}, 10, "")
	if len(events) != 1 || events[0].By != `key "txt"` || events[0].Client != "127.0.0.1" || events[0].Value != "new" {
		t.Errorf("%+v, want who did it", events)
	}
	if got := s.counters.updates.rcodes[dns.RcodeSuccess].Load(); got != 1 {
		t.Errorf("%d updates are counted, want 1", got)
	}
	m = new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 A 192.0.2.1"))
	sendUpdate(t, s, "tcp", signer(t, "txt"), m)
	events = s.history.matching(func(string) bool { return true }, time.Time{}, 10, "")
	if len(events) != 2 || events[0].Kind != client.EventRefuse || events[0].Rcode != "REFUSED" || events[0].Value != "192.0.2.1" || !strings.Contains(events[0].Problem, "may not change A") {
		t.Errorf("%+v, want the refusal and why", events)
	}
	line := eventLines(events[:1], time.Now())[0]
	if line.Verb != "refused" || line.Who != `key "txt" 127.0.0.1` || !strings.Contains(line.Note, "add it to the key's updates and types") {
		t.Errorf("the page shows %+v", line)
	}
}

// A signature that is cut short proves too little (RFC 8945 §5.2.4), and so much
// is said with a whole one.
func TestUpdate_row13_truncatedSignature(t *testing.T) {
	s := startServer(t, updateConfig(), NewMemoryStore())
	k := signer(t, "all")
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
	signed, mac := k.Sign(wire(t, m), nil, time.Now())
	at := bytes.Index(signed, mac)
	for left, want := range map[int]int{20: dns.RcodeNotAuth, 8: dns.RcodeFormatError} {
		cut := append(bytes.Clone(signed[:at+left]), signed[at+len(mac):]...)
		cut[at-1] = byte(left) // the MAC's length, and that of the data
		cut[at-10-len("\x0bhmac-sha256\x00")-1] -= byte(len(mac) - left)
		for _, network := range []string{"udp", "tcp"} {
			reply := exchange(t, network, s.Addr().String(), cut)
			if got := unwire(t, reply); got.Rcode != want {
				t.Errorf("%d bytes over %s: %s, want %s", left, network, dns.RcodeToString[got.Rcode], dns.RcodeToString[want])
			}
			signature, err := tsig.Find(reply)
			if want == dns.RcodeNotAuth && (err != nil || signature == nil || signature.Error != dns.RcodeBadTrunc || k.Verify(reply, signature, cut[at:at+left], time.Now()) != nil) {
				t.Errorf("%d bytes over %s: %+v, %v; want BADTRUNC, signed", left, network, signature, err)
			}
		}
	}
	if got := shown(t, s, "a.dyn.example.com."); len(got) > 0 {
		t.Errorf("there is %q, want nothing", got)
	}
}

// While the disk takes its time, queries are answered on the same socket.
func TestUpdate_doesNotKeepQueriesWaiting(t *testing.T) {
	store := &slowStore{MemoryStore: NewMemoryStore(), begun: make(chan struct{}, 1), release: make(chan struct{})}
	s := startServer(t, updateConfig(), store)
	store.slow.Store(true)
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
	done := make(chan int, 1)
	go func() { done <- sendUpdate(t, s, "udp", signer(t, "all"), m).Rcode }()
	select {
	case <-store.begun:
	case rcode := <-done:
		t.Fatalf("%s, and nothing was stored", dns.RcodeToString[rcode])
	}
	for range 20 {
		if reply := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("www.example.com. A")))); len(reply.Answer) != 1 {
			t.Fatal(reply)
		}
	}
	close(store.release)
	if rcode := <-done; rcode != dns.RcodeSuccess {
		t.Error(dns.RcodeToString[rcode])
	}
}

// Over the limit of updates at once datagrams are dropped, for their clients to
// send again; what is being made is not.
func TestUpdate_overTheLimitIsDropped(t *testing.T) {
	store := &slowStore{MemoryStore: NewMemoryStore(), begun: make(chan struct{}, 2), release: make(chan struct{})}
	config := updateConfig()
	config.Updates.MaxPending = 1
	s := startServer(t, config, store)
	store.slow.Store(true)
	message := func(value string) *dns.Msg {
		m := new(dns.Msg).SetUpdate("example.com.")
		m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT "+value))
		return m
	}
	done := make(chan int, 1)
	go func() { done <- sendUpdate(t, s, "udp", signer(t, "all"), message("first")).Rcode }()
	<-store.begun
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	signed, _ := signer(t, "all").Sign(wire(t, message("second")), nil, time.Now())
	if _, err := conn.Write(signed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second is dropped", func() bool { return s.counters.updates.dropped.Load() == 1 })
	close(store.release)
	if rcode := <-done; rcode != dns.RcodeSuccess {
		t.Error(dns.RcodeToString[rcode])
	}
	if got := strings.Join(shown(t, s, "a.dyn.example.com."), ", "); got != "TXT first" {
		t.Errorf("there is %q, want the first alone", got)
	}
	eventually(t, "there is room", func() bool { return s.updating.Load() == 0 })
	if rcode := unwire(t, exchange(t, "udp", s.Addr().String(), signed)).Rcode; rcode != dns.RcodeSuccess {
		t.Errorf("the same datagram again: %s, want it taken", dns.RcodeToString[rcode])
	}
}
