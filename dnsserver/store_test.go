package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// txtChange puts a value.
func txtChange(name, value string) Change {
	return Change{Name: name, Type: dns.TypeTXT, TTL: 5, Data: txtData(value)}
}

// without is the change that takes back what c puts.
func without(c Change) Change {
	c.Op = DeleteRecord
	return c
}

// contents are all that is in a store, one line each, sorted: what its batches
// make up in their order.
func contents(t *testing.T, s Store) []string {
	t.Helper()
	all := map[string]string{}
	err := s.Load(t.Context(), func(b Batch) error {
		for _, c := range b.Changes {
			key := fmt.Sprintf("%s %s %q", c.Name, dns.Type(c.Type), c.Data)
			if all[key] = fmt.Sprintf(" %d %d", c.TTL, c.Expires); c.Op == DeleteRecord {
				delete(all, key)
			}
		}
		for _, d := range b.Documents {
			if all[d.Key] = fmt.Sprintf(" %q", d.Value); d.Delete {
				delete(all, d.Key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for key, value := range all {
		lines = append(lines, key+value)
	}
	slices.Sort(lines)
	return lines
}

// testStore is what every Store must do. reopen returns the same store as a
// new process would see it.
func testStore(t *testing.T, s Store, reopen func(Store) Store) {
	apply := func(b Batch) {
		t.Helper()
		if err := s.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	changes := func(changes ...Change) { t.Helper(); apply(Batch{Changes: changes}) }
	check := func(title string, want ...string) {
		t.Helper()
		slices.Sort(want)
		if got := contents(t, s); !slices.Equal(got, want) {
			t.Errorf("%s: holds %.200q, want %.200q", title, got, want)
		}
		s = reopen(s)
		if got := contents(t, s); !slices.Equal(got, want) {
			t.Errorf("%s, reopened: holds %.200q, want %.200q", title, got, want)
		}
	}
	put := func(name, data string) Change { return Change{Name: name, Type: dns.TypeTXT, TTL: 5, Data: data} }
	long := strings.Repeat("long", 15000)
	check("a new store")
	changes()
	check("after no change")
	changes(put("a.", "1"), put("a.", "2"), put("b.", "1"))
	check("records are kept apart by name and data", `a. TXT "1" 5 0`, `a. TXT "2" 5 0`, `b. TXT "1" 5 0`)
	changes(put("a.", "1"))
	check("a record put twice is there once", `a. TXT "1" 5 0`, `a. TXT "2" 5 0`, `b. TXT "1" 5 0`)
	changes(without(put("a.", "2")), without(put("c.", "9")))
	check("a delete takes one, or none", `a. TXT "1" 5 0`, `b. TXT "1" 5 0`)
	changes(put("d.", "1"), without(put("d.", "1")), without(put("b.", "1")), put("b.", "1"))
	check("changes count in their order", `a. TXT "1" 5 0`, `b. TXT "1" 5 0`)
	changes(without(put("a.", "1")), without(put("b.", "1")), put("e.", long), put("f.", "\x00\xff"), put(`\000.`, ""))
	check("data are any bytes of any length", fmt.Sprintf("e. TXT %q 5 0", long), `f. TXT "\x00\xff" 5 0`, `\000. TXT "" 5 0`)
	changes(without(put("e.", long)), without(put("f.", "\x00\xff")), without(put(`\000.`, "")),
		Change{Name: "g.", Type: dns.TypeA, TTL: maxTTL, Data: "abcd"}, Change{Name: "g.", Type: 65280, Data: "abcd", Expires: 1 << 40})
	check("types are kept apart, with TTL and expiry", `g. A "abcd" 2147483647 0`, `g. TYPE65280 "abcd" 0 1099511627776`)
	changes(Change{Name: "g.", Type: dns.TypeA, TTL: 7, Data: "abcd"}, Change{Name: "g.", Type: 65280, Data: "abcd", Expires: 9, Op: Extend})
	check("TTL and expiry can change", `g. A "abcd" 7 0`, `g. TYPE65280 "abcd" 0 9`)
	apply(Batch{
		Changes:   []Change{without(Change{Name: "g.", Type: 65280, Data: "abcd"}), put("h.", "1")},
		Documents: []Document{{Key: "account/1", Value: []byte("\x00one")}, {Key: "account/2", Value: []byte(long)}, {Key: "key/1"}},
	})
	check("documents are kept beside records", `g. A "abcd" 7 0`, `h. TXT "1" 5 0`,
		`account/1 "\x00one"`, fmt.Sprintf("account/2 %q", long), `key/1 ""`)
	apply(Batch{Documents: []Document{
		{Key: "account/2", Delete: true}, {Key: "account/9", Delete: true}, {Key: "key/1", Value: []byte("2")}, {Key: "key/1", Value: []byte("3")},
	}})
	check("and replaced and deleted", `g. A "abcd" 7 0`, `h. TXT "1" 5 0`, `account/1 "\x00one"`, `key/1 "3"`)

	stop := errors.New("stop")
	calls := 0
	err := s.Load(t.Context(), func(Batch) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Load after an error: %v, %d calls; want %v, 1", err, calls, stop)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ended, func(Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context: %v", err)
	}
}

func TestStore_memory(t *testing.T) {
	testStore(t, NewMemoryStore(), func(s Store) Store { return s })
}

// faultyStore does what its fields say.
type faultyStore struct {
	*MemoryStore
	load  func() error // before loading
	apply error        // instead of applying
}

func (s *faultyStore) Load(ctx context.Context, each func(Batch) error) error {
	if s.load != nil {
		if err := s.load(); err != nil {
			return err
		}
	}
	return s.MemoryStore.Load(ctx, each)
}

func (s *faultyStore) Apply(ctx context.Context, b Batch) error {
	if s.apply != nil {
		return s.apply
	}
	return s.MemoryStore.Apply(ctx, b)
}

var errDisk = errors.New("the disk is gone")

func TestServer_isSERVFAILWhileRecordsAreUnknown(t *testing.T) {
	store := &faultyStore{MemoryStore: NewMemoryStore()}
	s, err := New(testConfig(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	var during []int
	store.load = func() error { // the sockets are open, nothing is loaded
		for _, network := range []string{"udp", "tcp"} {
			for _, q := range []string{"missing.example.com. TXT", "www.example.com. A"} {
				during = append(during, unwire(t, exchange(t, network, s.Addr().String(), wire(t, ask(q)))).Rcode)
			}
		}
		if err := s.PutTXT(t.Context(), "a.example.com", "v"); !errors.Is(err, ErrStopped) {
			t.Errorf("a change while loading: %v, want ErrStopped", err)
		}
		return errDisk
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); !errors.Is(err, errDisk) || !errors.Is(err, ErrStorage) {
		t.Errorf("Start: %v, want ErrStorage and %v", err, errDisk)
	}
	for _, rcode := range during {
		if rcode != dns.RcodeServerFailure {
			t.Errorf("while loading: %s, want SERVFAIL", dns.RcodeToString[rcode])
		}
	}
	if len(during) != 4 {
		t.Errorf("%d questions were asked, want 4", len(during))
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err == nil {
		t.Error("a server started twice")
	}
}

func TestServer_storageFaultLeavesTheViewAlone(t *testing.T) {
	store := &faultyStore{MemoryStore: NewMemoryStore()}
	s := startServer(t, testConfig(), store)
	put(t, s, "a.example.com", "kept")
	store.apply = errDisk
	if err := s.PutTXT(t.Context(), "a.example.com", "lost"); !errors.Is(err, ErrStorage) || !errors.Is(err, errDisk) {
		t.Errorf("put: %v, want ErrStorage and %v", err, errDisk)
	}
	if err := s.DeleteTXT(t.Context(), "a.example.com", "kept"); !errors.Is(err, ErrStorage) {
		t.Errorf("delete: %v, want ErrStorage", err)
	}
	if got, err := s.TXT("a.example.com"); err != nil || !slices.Equal(got, []string{"kept"}) {
		t.Errorf("TXT = %q, %v; want kept", got, err)
	}
	store.apply = nil
	put(t, s, "a.example.com", "later")
}

func TestServer_restartKeepsRecordsAndIgnoresWhatHasNoPlace(t *testing.T) {
	store := NewMemoryStore()
	first := startServer(t, testConfig(), store)
	put(t, first, "A.Example.com.", "v")
	put(t, first, "x.child.example.com", "w")
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := testConfig()
	config.Zones = config.Zones[:1]
	config.Zones[0].Records = "ns1 A 192.0.2.1\nchild NS ns.elsewhere.test.\n"
	second := startServer(t, config, store)
	if got, err := second.TXT("a.example.com"); err != nil || !slices.Equal(got, []string{"v"}) {
		t.Errorf("TXT = %q, %v; want v", got, err)
	}
	reply := unwire(t, exchange(t, "udp", second.Addr().String(), wire(t, ask("x.child.example.com. TXT"))))
	if reply.Authoritative || len(reply.Answer) > 0 {
		t.Errorf("below a new delegation: %v", reply)
	}
}
