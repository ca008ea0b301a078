package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// rrChange is the change that puts a record in zone-file form.
func rrChange(t testing.TB, text string) Change {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := rdata(rr)
	if err != nil {
		t.Fatal(err)
	}
	h := rr.Header()
	return Change{Name: lower(h.Name), Type: h.Rrtype, TTL: h.Ttl, Data: data}
}

// op is the change with another operation.
func op(c Change, o Op) Change {
	c.Op = o
	return c
}

func change(t testing.TB, s *Server, changes ...Change) {
	t.Helper()
	if err := s.Change(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func TestChange_recordsOfAnyTypeAreAnswered(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	change(t, s,
		rrChange(t, "h.example.com. 60 A 192.0.2.7"),
		rrChange(t, "h.example.com. 60 A 192.0.2.8"),
		rrChange(t, "h.example.com. 60 MX 10 Mail.example.com."),
		rrChange(t, `h.example.com. 60 CAA 0 issue "ca.example"`),
		rrChange(t, `h.example.com. 60 TYPE65280 \# 2 0102`),
		rrChange(t, "www.example.com. 20 A 192.0.2.9"), // beside a configured one
		rrChange(t, "www.example.com. 20 A 192.0.2.1"), // which is configured
		rrChange(t, "dyn.example.com. 60 NS ns.dyn.example.com."),
		rrChange(t, "ns.dyn.example.com. 60 A 192.0.2.55"),
	)
	for question, want := range map[string][]string{
		"h.example.com. A":               {"h.example.com. 60 IN A 192.0.2.7", "h.example.com. 60 IN A 192.0.2.8"},
		"h.example.com. MX":              {"h.example.com. 60 IN MX 10 Mail.example.com."},
		"h.example.com. CAA":             {`h.example.com. 60 IN CAA 0 issue "ca.example"`},
		"h.example.com. TYPE65280":       {`h.example.com. 60 CLASS1 TYPE65280 \# 2 0102`},
		"h.example.com. TXT":             nil,
		"www.example.com. A":             {"www.example.com. 20 IN A 192.0.2.1", "www.example.com. 20 IN A 192.0.2.9"},
		"x.dyn.example.com. A":           nil, // a referral
		"h.example.com. ANY":             {`h.example.com. 300 IN HINFO "RFC8482" ""`},
		"www.child.example.com. A":       {"www.child.example.com. 300 IN A 192.0.2.9"},
		"dyn.example.com. NS":            nil, // a referral too
		"elsewhere.dyn.example.com. TXT": nil,
	} {
		if rcode, got := answers(t, s, question); rcode != dns.RcodeSuccess || !slices.Equal(got, want) {
			t.Errorf("%s: %s %q, want %q", question, dns.RcodeToString[rcode], got, want)
		}
	}
	got := sections(unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("x.dyn.example.com. A")))))
	if want := "NOERROR\nauthority: dyn.example.com. 60 IN NS ns.dyn.example.com.\nadditional: ns.dyn.example.com. 60 IN A 192.0.2.55\n"; got != want {
		t.Errorf("below a delegation that came:\n%s\nwant\n%s", got, want)
	}
	if err := s.PutTXT(t.Context(), "x.dyn.example.com", "v"); !errors.Is(err, ErrConflict) {
		t.Errorf("a value below it: %v, want %v", err, ErrConflict)
	}
	change(t, s, op(Change{Name: "dyn.example.com."}, DeleteName))
	put(t, s, "x.dyn.example.com", "v")
}

func TestChange_deletesRecordsSetsAndNames(t *testing.T) {
	t.Parallel()
	all := []Change{
		rrChange(t, "h.example.com. 60 A 192.0.2.7"), rrChange(t, "h.example.com. 60 A 192.0.2.8"),
		rrChange(t, "h.example.com. 60 MX 10 Mail.example.com."), rrChange(t, `h.example.com. 60 TXT "a" "b"`),
	}
	for title, c := range map[string]struct {
		change Change
		left   string
	}{
		"a record":                        {op(all[0], DeleteRecord), "A=1 MX=1 TXT=1"},
		"a record with another TTL":       {op(rrChange(t, "h.example.com. 1 A 192.0.2.7"), DeleteRecord), "A=1 MX=1 TXT=1"},
		"a name in other letters":         {op(rrChange(t, "h.example.com. 1 MX 10 mAIL.example.com."), DeleteRecord), "A=2 TXT=1"},
		"a TXT cut otherwise":             {op(rrChange(t, `h.example.com. 1 TXT "ab"`), DeleteRecord), "A=2 MX=1"},
		"a record that is not there":      {op(rrChange(t, "h.example.com. 1 A 192.0.2.9"), DeleteRecord), "A=2 MX=1 TXT=1"},
		"a set":                           {op(Change{Name: "h.example.com.", Type: dns.TypeA}, DeleteSet), "MX=1 TXT=1"},
		"a set that is not there":         {op(Change{Name: "h.example.com.", Type: dns.TypeAAAA}, DeleteSet), "A=2 MX=1 TXT=1"},
		"all of a name":                   {op(Change{Name: "h.example.com."}, DeleteName), ""},
		"all of a name that is not there": {op(Change{Name: "i.example.com."}, DeleteName), "A=2 MX=1 TXT=1"},
	} {
		t.Run(title, func(t *testing.T) {
			s := startServer(t, testConfig(), NewMemoryStore())
			change(t, s, all...)
			change(t, s, c.change)
			var left []string
			for set := range s.view.Load().table.get("h.example.com.").sets() {
				left = append(left, fmt.Sprintf("%s=%d", dns.Type(set.rrtype), set.count))
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left: %q, want %q", got, c.left)
			}
			rcode, _ := answers(t, s, "h.example.com. HINFO")
			if want := c.left == ""; (rcode == dns.RcodeNameError) != want {
				t.Errorf("afterwards %s", dns.RcodeToString[rcode])
			}
		})
	}
}

func TestChange_refusals(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	put(t, s, "txt.example.com", "v")
	before := s.view.Load()
	for title, c := range map[string]struct {
		change Change
		want   error
	}{
		"a name outside":                 {rrChange(t, "example.org. A 192.0.2.1"), ErrNotInZone},
		"an SOA":                         {rrChange(t, "example.com. SOA a. b. 1 2 3 4 5"), ErrRecord},
		"a signature":                    {Change{Name: "a.example.com.", Type: dns.TypeRRSIG, Data: "x"}, ErrRecord},
		"a question's type":              {Change{Name: "a.example.com.", Type: dns.TypeANY}, ErrRecord},
		"data that do not fit the type":  {Change{Name: "a.example.com.", Type: dns.TypeA, Data: "abc"}, ErrRecord},
		"data after the data":            {Change{Name: "a.example.com.", Type: dns.TypeA, Data: "abcde"}, ErrRecord},
		"a TTL that is too long":         {Change{Name: "a.example.com.", Type: dns.TypeA, Data: "abcd", TTL: 1 << 31}, ErrRecord},
		"the DS of the zone":             {rrChange(t, "example.com. DS 1 8 2 00"), ErrRecord},
		"a delegated wildcard":           {rrChange(t, "*.a.example.com. NS b.example."), ErrRecord},
		"a CNAME beside records":         {rrChange(t, "txt.example.com. CNAME b."), ErrConflict},
		"a record at a configured CNAME": {rrChange(t, "alias.example.com. A 192.0.2.1"), ErrConflict},
		"a delete of a configured one":   {op(rrChange(t, "www.example.com. A 192.0.2.1"), DeleteRecord), ErrConflict},
		"a delete of a configured set":   {op(rrChange(t, "www.example.com. A 192.0.2.1"), DeleteSet), ErrConflict},
		"a delete of a configured name":  {op(rrChange(t, "www.example.com. A 192.0.2.1"), DeleteName), ErrConflict},
		"too much":                       {Change{Name: "a.example.com.", Type: dns.TypeTXT, Data: txtData(strings.Repeat("v", maxSet))}, ErrTooLarge},
	} {
		if err := s.Change(t.Context(), txtChange("with.example.com.", "v"), c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", title, err, c.want)
		}
	}
	if s.view.Load() != before {
		t.Error("a refused change left something behind")
	}
}

func TestChange_anRRsetHasOneTTL(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	s := startServer(t, testConfig(), store)
	change(t, s, rrChange(t, "h.example.com. 60 A 192.0.2.7"))
	change(t, s, rrChange(t, "h.example.com. 30 A 192.0.2.8"))
	want := []string{"h.example.com. 30 IN A 192.0.2.7", "h.example.com. 30 IN A 192.0.2.8"}
	if _, got := answers(t, s, "h.example.com. A"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := contents(t, store); !slices.Equal(got[:2], []string{`h.example.com. A "\xc0\x00\x02\a" 30 0`, `h.example.com. A "\xc0\x00\x02\b" 30 0`}) {
		t.Errorf("stored: %q", got)
	}
}

// serialIn is the serial that is served over UDP.
func serialIn(t testing.TB, s *Server, zone string) uint32 {
	t.Helper()
	reply := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask(zone+" SOA"))))
	return reply.Answer[0].(*dns.SOA).Serial
}

func TestSerial_row14_growsWithEachChangeAndIsKept(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	config := testConfig()
	config.Zones[0].Serial = 1<<32 - 2
	start := func() *Server { return startServer(t, config, store) }
	s := start()
	check := func(title string, example, child uint32) {
		t.Helper()
		if got := serialIn(t, s, "example.com."); got != example {
			t.Errorf("%s: %d, want %d", title, got, example)
		}
		if got := serialIn(t, s, "child.example.com."); got != child {
			t.Errorf("%s: the child's %d, want %d", title, got, child)
		}
	}
	restart := func() {
		t.Helper()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = start()
	}
	check("at the start", 1<<32-2, 1)
	put(t, s, "a.example.com", "v")
	check("after a change", 1<<32-1, 1)
	put(t, s, "a.example.com", "v")
	check("after a change that changed nothing", 1<<32-1, 1)
	change(t, s, txtChange("b.example.com.", "1"), txtChange("b.example.com.", "2"), txtChange("b.child.example.com.", "1"))
	check("there is no 0, and a batch is one change", 1, 2)
	change(t, s, txtChange("c.example.com.", "1"), without(txtChange("c.example.com.", "1")))
	check("after what came and went at once", 1, 2)
	later := txtChange("b.example.com.", "1")
	later.Expires = 1 << 40
	change(t, s, later)
	check("after a change of expiry alone", 1, 2)
	restart()
	check("after a restart", 1, 2)
	config.Zones[0].Serial = 1 // not before what was served
	restart()
	check("with another serial configured", 1, 2)
	config.Zones[1].Records = "www A 192.0.2.10\n"
	restart()
	check("with other records configured", 1, 3)
	config.Zones[0].Serial = 2026112500
	restart()
	check("with a later serial configured", 2026112500, 3)
}

func TestNewerSerial_comparesInACircle(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{1, 0, true}, {0, 1, false}, {1, 1, false}, {0, 1<<32 - 1, true}, {1<<31 - 1, 0, true}, {1 << 31, 0, false}, {5, 1<<32 - 5, true}} {
		if got := newerSerial(c.a, c.b); got != c.want {
			t.Errorf("newerSerial(%d, %d) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

// fakeClock is a clock that a test sets. Its timers never fire: what is due is
// seen when the next change is made.
type fakeClock struct{ unix atomic.Int64 }

func (f *fakeClock) clock() clock {
	return clock{
		now:   func() time.Time { return time.Unix(f.unix.Load(), 0) },
		timer: func(time.Time) (<-chan time.Time, func()) { return nil, func() {} },
	}
}

// startWithClock starts a server with a clock of the test's.
func startWithClock(t *testing.T, store Store, f *fakeClock) *Server {
	t.Helper()
	s, err := New(testConfig(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.clock = f.clock()
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestExpiry_recordsGoAtTheirTime(t *testing.T) {
	t.Parallel()
	store, f := NewMemoryStore(), &fakeClock{}
	s := startWithClock(t, store, f)
	short, long := txtChange("e.example.com.", "short"), txtChange("e.example.com.", "long")
	short.Expires, long.Expires = 1000, 2000
	change(t, s, long, short, txtChange("e.example.com.", "forever"))
	sweep := func(now int64, want ...string) {
		t.Helper()
		f.unix.Store(now)
		for range 2 { // the first wakes the writer, the second comes after its sweep
			change(t, s)
		}
		if got, err := s.TXT("e.example.com"); err != nil || !slices.Equal(got, want) {
			t.Errorf("at %d: %q, %v; want %q", now, got, err, want)
		}
	}
	sweep(999, "forever", "long", "short")
	sweep(1000, "forever", "long")
	if got, want := serialIn(t, s, "example.com."), uint32(3); got != want {
		t.Errorf("serial %d, want %d", got, want)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = startWithClock(t, store, f)
	again := long
	again.Expires = 3000
	change(t, s, again) // lives longer
	sweep(2000, "forever", "long")
	sweep(4000, "forever")
	if got := contents(t, store); strings.Contains(strings.Join(got, "\n"), "long") {
		t.Errorf("the store still has %q", got)
	}
}

func TestExpiry_waitsWhileStorageIsAtFault(t *testing.T) {
	t.Parallel()
	store, f := &faultyStore{MemoryStore: NewMemoryStore()}, &fakeClock{}
	s := startWithClock(t, store, f)
	c := txtChange("e.example.com.", "v")
	c.Expires = 1000
	change(t, s, c)
	store.apply = errDisk
	f.unix.Store(1000)
	for range 2 {
		change(t, s)
	}
	if got, err := s.TXT("e.example.com"); err != nil || len(got) != 1 {
		t.Errorf("TXT = %q, %v; want it still there", got, err)
	}
	store.apply = nil
	f.unix.Store(1000 + retrySweep)
	for range 2 {
		change(t, s)
	}
	if got, err := s.TXT("e.example.com"); err != nil || len(got) != 0 {
		t.Errorf("TXT = %q, %v; want it gone", got, err)
	}
}

// A record that the configuration has too stays, and keeps no other.
func TestExpiry_goesOnBesideWhatIsConfigured(t *testing.T) {
	t.Parallel()
	f := &fakeClock{}
	s := startWithClock(t, NewMemoryStore(), f)
	c := txtChange("e.example.com.", "v")
	twice := rrChange(t, "ns1.example.com. 60 IN A 192.0.2.53")
	c.Expires, twice.Expires = 1000, 1000
	change(t, s, twice, c)
	f.unix.Store(1000)
	for range 2 {
		change(t, s)
	}
	if got, err := s.TXT("e.example.com"); err != nil || len(got) != 0 {
		t.Errorf("TXT = %q, %v; want it gone", got, err)
	}
	if got := ask1(t, s, "udp", "ns1.example.com. A"); len(got.Answer) == 0 {
		t.Errorf("what is configured is gone: %v", got)
	}
}

func TestDocuments_areKeptWithTheRecords(t *testing.T) {
	t.Parallel()
	store := &faultyStore{MemoryStore: NewMemoryStore()}
	s := startServer(t, testConfig(), store)
	for key, value := range map[string]string{"account/1": "one", "account/2": "two", "key/1": ""} {
		if err := s.PutDocument(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.DeleteDocument(t.Context(), "account/1"), s.DeleteDocument(t.Context(), "account/9")); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDocument(t.Context(), "serial/example.com.", nil); err == nil {
		t.Error("a serial was put as a document")
	}
	if got := serialIn(t, s, "example.com."); got != 1 {
		t.Errorf("documents made the serial %d", got)
	}
	store.apply = errDisk
	if err := s.PutDocument(t.Context(), "account/2", []byte("lost")); !errors.Is(err, ErrStorage) {
		t.Errorf("a document on a faulty disk: %v, want %v", err, ErrStorage)
	}
	store.apply = nil
	for range 2 {
		value, ok, err := s.Document("account/2")
		if string(value) != "two" || !ok || err != nil {
			t.Errorf("account/2 = %q, %t, %v", value, ok, err)
		}
		if _, ok, err := s.Document("account/1"); ok || err != nil {
			t.Errorf("account/1 is there, or %v", err)
		}
		if got, err := s.Documents("account/"); len(got) != 1 || err != nil {
			t.Errorf("Documents: %v, %v", got, err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = startServer(t, testConfig(), store)
	}
}

// A change that fails half-way leaves nothing, and does not disturb those that
// share its batch.
func TestCommit_keepsWhatWasAcceptedOnly(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	fails := func(d *draft) error {
		d.keep(Document{Key: "account/1", Value: []byte("v")})
		return errors.Join(d.change(txtChange("a.example.com.", "lost")), errDisk)
	}
	var batch []update
	for i, f := range []func(*draft) error{
		func(d *draft) error { return d.change(txtChange("a.example.com.", "kept")) }, fails,
		func(d *draft) error {
			return d.change(txtChange("b.example.com.", fmt.Sprint(d.view.table.get("a.example.com.").set(dns.TypeTXT).count)))
		},
	} {
		batch = append(batch, update{make: f, done: make(chan error, 1)})
		_ = i
	}
	done := make(chan struct{})
	blocked := update{make: func(*draft) error { s.commit(batch); close(done); return errDisk }, done: make(chan error, 1)}
	s.updates <- blocked // so that the writer makes the batch
	<-done
	for i, want := range []error{nil, errDisk, nil} {
		if err := <-batch[i].done; !errors.Is(err, want) {
			t.Errorf("change %d: %v, want %v", i, err, want)
		}
	}
	v := s.view.Load()
	if _, ok := v.document("account/1"); ok || v.count() != 2 {
		t.Errorf("%d records and a document %t, want 2 and none", v.count(), ok)
	}
	if got, err := s.TXT("b.example.com"); !slices.Equal(got, []string{"1"}) || err != nil {
		t.Errorf("b = %q, %v; want what came after the failed one to see only what was kept", got, err)
	}
}
