package dnsserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// sharedLog is what several sharedStores have in common: all that was stored.
type sharedLog struct {
	mu  sync.Mutex
	all []Stored
	cut int // so many of all cannot be followed any more
}

// sharedStore is a Shared in memory.
type sharedStore struct {
	log  *sharedLog
	name string
	wake chan struct{}

	mu   sync.Mutex
	seen int
	away error
}

func (l *sharedLog) store(name string) *sharedStore {
	return &sharedStore{log: l, name: name, wake: make(chan struct{}, 1)}
}

func (s *sharedStore) Load(_ context.Context, each func(Batch) error) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, b := range s.log.all {
		if err := each(b.Batch); err != nil {
			return err
		}
	}
	s.seen = len(s.log.all)
	return nil
}

func (s *sharedStore) Apply(context.Context, Batch) error { return errors.New("not in its turn") }

func (s *sharedStore) setAway(err error) {
	s.mu.Lock()
	s.away = err
	s.mu.Unlock()
	s.wake <- struct{}{}
}

func (s *sharedStore) catch(follow func(Stored)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away != nil:
		return s.away
	case s.seen < s.log.cut:
		return ErrGap
	}
	for _, b := range s.log.all[s.seen:] {
		follow(b)
	}
	s.seen = len(s.log.all)
	return nil
}

func (s *sharedStore) Catch(_ context.Context, follow func(Stored)) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.catch(follow)
}

func (s *sharedStore) Turn(_ context.Context, follow func(Stored), change func() Batch) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if err := s.catch(follow); err != nil {
		return err
	}
	change() // as where a first answer is missing
	if b := change(); !b.empty() {
		s.log.all = append(s.log.all, Stored{Batch: b, By: s.name})
		s.seen = len(s.log.all)
	}
	return nil
}

func (s *sharedStore) Wake() <-chan struct{} { return s.wake }

// Await implements Shared: the peers of its Condition never follow.
func (s *sharedStore) Await(ctx context.Context, _ uint64) ([]Peer, error) {
	<-ctx.Done()
	return s.Condition().Peers[1:], ctx.Err()
}

func (s *sharedStore) Condition() Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Condition{Away: s.away, Since: time.Now(), Sequence: uint64(s.seen), Peers: []Peer{
		{Name: s.name, Here: true, Seen: time.Now(), Sequence: uint64(s.seen)},
		{Name: "behind", Seen: time.Now(), Sequence: 1, Behind: 3},
		{Name: "gone", Seen: time.Now().Add(-time.Hour), Sequence: 1},
	}}
}

func TestShared_serversFollowEachOther(t *testing.T) {
	common := &sharedLog{}
	storeA, storeB := common.store("a"), common.store("b")
	a, b := startServer(t, accountConfig(), storeA), startServer(t, accountConfig(), storeB)
	put(t, a, "x.example.com", "v")
	storeB.wake <- struct{}{}
	eventually(t, "b follows", func() bool { got, err := b.TXT("x.example.com"); return err == nil && len(got) == 1 })
	if got, want := serialIn(t, b, "example.com."), serialIn(t, a, "example.com."); got != want {
		t.Errorf("the serial at b is %d, at a %d", got, want)
	}
	for _, e := range b.events(func(name string) bool { return name == "x.example.com." }, time.Time{}, 10) {
		if e.Kind == client.EventPut && e.By != "server a" {
			t.Errorf("the timeline says that it came by %q", e.By)
		}
	}
	// Accounts count once, wherever they come from.
	if _, err := newClient(t, a, "reg-token").Register(t.Context(), client.Registration{Domain: "www.shop.test"}); err != nil {
		t.Fatal(err)
	}
	storeB.wake <- struct{}{}
	eventually(t, "b knows the account", func() bool { return b.accounts.Load() == 1 })
	if err := newClient(t, b, "reg-token").Unregister(t.Context(), "www.shop.test"); err != nil {
		t.Fatal(err)
	}
	storeA.wake <- struct{}{}
	eventually(t, "a forgets the account", func() bool { return a.accounts.Load() == 0 })
}

func TestShared_loadsAnewAfterAGap(t *testing.T) {
	common := &sharedLog{}
	storeA, storeB := common.store("a"), common.store("b")
	a, b := startServer(t, testConfig(), storeA), startServer(t, testConfig(), storeB)
	put(t, a, "x.example.com", "1")
	cut := func() {
		common.mu.Lock()
		defer common.mu.Unlock()
		common.cut = len(common.all)
	}
	cut()
	storeB.wake <- struct{}{}
	eventually(t, "b loads anew", func() bool { got, err := b.TXT("x.example.com"); return err == nil && len(got) == 1 })
	put(t, a, "x.example.com", "2")
	cut()
	put(t, b, "x.example.com", "3") // notices the gap in its turn
	if got, err := b.TXT("x.example.com"); err != nil || len(got) != 3 {
		t.Errorf("TXT = %q, %v; want 3 values", got, err)
	}
}

func TestShared_saysThatConfigurationsDiffer(t *testing.T) {
	common := &sharedLog{}
	storeA := common.store("a")
	var logged bytes.Buffer
	s, err := New(testConfig(), storeA, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	other := testConfig()
	other.Zones[0].Records += "\nnew A 192.0.2.9\n"
	startServer(t, other, common.store("b"))
	storeA.wake <- struct{}{}
	eventually(t, "a follows", func() bool { return s.counters.followed.Load() == 1 })
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "configured otherwise") || !strings.Contains(logged.String(), "server=b") {
		t.Errorf("logged %s", logged.String())
	}
}

func TestShared_awayIsSaidEverywhere(t *testing.T) {
	store := (&sharedLog{}).store("ns1")
	s := startServer(t, accountConfig(), store)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	visitor := visitorOf(t, web, "all-token")
	_, page := get(t, visitor, web.URL+"/")
	if !strings.Contains(page, "ns1 (this one)") || !strings.Contains(page, "by 3 changes when it was seen") || !strings.Contains(page, "not seen") {
		t.Errorf("the page does not show the servers:\n%s", page)
	}
	status, err := newClient(t, s, "all-token").Status(t.Context())
	if err != nil || len(status.Storage.Servers) != 3 || !status.Storage.Available || status.Storage.Servers[2].Alive || status.Storage.Servers[1].Behind != 3 {
		t.Errorf("status: %+v, %v", status, err)
	}
	store.setAway(errDisk)
	eventually(t, "the loss is noticed", s.storageFault.Load)
	for _, path := range []string{"/readyz", "/v1/status"} {
		if body := call(t, s, "GET", path, "all-token", "").Body.String(); !strings.Contains(body, errDisk.Error()) {
			t.Errorf("%s says %s", path, body)
		}
	}
	if _, page := get(t, visitor, web.URL+"/"); !strings.Contains(page, errDisk.Error()) {
		t.Errorf("the page does not say so:\n%s", page)
	}
	if err := s.PutTXT(t.Context(), "x.example.com", "v"); !errors.Is(err, ErrStorage) || !errors.Is(err, errDisk) {
		t.Errorf("put: %v, want ErrStorage and %v", err, errDisk)
	}
	store.setAway(nil)
	eventually(t, "it is back", func() bool { return !s.storageFault.Load() })
	put(t, s, "x.example.com", "v")
}

func TestShared_waitNamesTheServerThatLags(t *testing.T) {
	s := startServer(t, accountConfig(), (&sharedLog{}).store("ns1"))
	w := call(t, s, "PUT", "/v1/txt/x.example.com?wait=50ms", "all-token", `{"value":"v"}`)
	for _, want := range []string{`"secondary":"behind"`, `"secondary":"gone"`, "it shares the storage, and showed change 1, not 2"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
}
