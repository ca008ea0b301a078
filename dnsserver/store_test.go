package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
