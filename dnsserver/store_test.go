package dnsserver

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// contents are all records of a store, as "name value", sorted.
func contents(t *testing.T, s Store) []string {
	t.Helper()
	var all []string
	err := s.Load(t.Context(), func(c Change) error {
		kind := ""
		if c.Alias {
			kind = "-> "
		}
		all = append(all, c.Name+" "+kind+c.Value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// testStore is what every Store must do. reopen returns the same store as a
// new process would see it.
func testStore(t *testing.T, s Store, reopen func(Store) Store) {
	apply := func(changes ...Change) {
		t.Helper()
		if err := s.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
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
	long := strings.Repeat("long", 15000)
	check("a new store")
	apply()
	check("after no change")
	apply(Change{Name: "a.", Value: "1"}, Change{Name: "a.", Value: "2"}, Change{Name: "b.", Value: "1"})
	check("values are kept apart by name and value", "a. 1", "a. 2", "b. 1")
	apply(Change{Name: "a.", Value: "1"})
	check("a value put twice is there once", "a. 1", "a. 2", "b. 1")
	apply(Change{Name: "a.", Value: "2", Delete: true}, Change{Name: "c.", Value: "9", Delete: true})
	check("a delete takes one, or none", "a. 1", "b. 1")
	apply(Change{Name: "d.", Value: "1"}, Change{Name: "d.", Value: "1", Delete: true},
		Change{Name: "b.", Value: "1", Delete: true}, Change{Name: "b.", Value: "1"})
	check("changes count in their order", "a. 1", "b. 1")
	apply(Change{Name: "e.", Value: long}, Change{Name: "f.", Value: "\x00\xff"})
	check("a value is any bytes of any length", "a. 1", "b. 1", "e. "+long, "f. \x00\xff")

	alias := Change{Name: "g.", Value: "one.", Alias: true}
	apply(Change{Name: "e.", Value: long, Delete: true}, Change{Name: "f.", Value: "\x00\xff", Delete: true}, alias)
	check("a CNAME is kept", "a. 1", "b. 1", "g. -> one.")
	alias.Value = "two."
	apply(alias)
	check("there is one at a name", "a. 1", "b. 1", "g. -> two.")
	alias.Delete = true
	apply(alias, alias)
	check("and then none", "a. 1", "b. 1")

	stop := errors.New("stop")
	calls := 0
	err := s.Load(t.Context(), func(Change) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Load after an error: %v, %d calls; want %v, 1", err, calls, stop)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ended, func(Change) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context: %v", err)
	}
}

func TestStore_memory(t *testing.T) {
	testStore(t, NewMemoryStore(), func(s Store) Store { return s })
}

func TestStore_bolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	open := func() *BoltStore {
		s, err := OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	testStore(t, open(), func(s Store) Store {
		if err := s.(*BoltStore).Close(); err != nil {
			t.Fatal(err)
		}
		return open()
	})
}

func TestOpenBolt_namesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "records.db")
	if _, err := OpenBolt(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}

// faultyStore does what its fields say.
type faultyStore struct {
	*MemoryStore
	load  func() error // before loading
	apply error        // instead of applying
}

func (s *faultyStore) Load(ctx context.Context, each func(Change) error) error {
	if s.load != nil {
		if err := s.load(); err != nil {
			return err
		}
	}
	return s.MemoryStore.Load(ctx, each)
}

func (s *faultyStore) Apply(ctx context.Context, changes []Change) error {
	if s.apply != nil {
		return s.apply
	}
	return s.MemoryStore.Apply(ctx, changes)
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
