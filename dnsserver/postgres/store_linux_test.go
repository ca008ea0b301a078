package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/dnsserver/storetest"
)

func TestStore_conformance(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	storetest.Run(t, open(t, address, "a"), func(s dnsserver.Store) dnsserver.Store {
		if err := s.(*Store).Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, address, "a")
	})
}

// record is a batch of one record.
func record(name string) dnsserver.Batch {
	return dnsserver.Batch{Changes: []dnsserver.Change{{Name: name, Type: dns.TypeTXT, TTL: 5, Data: "\x01v"}}}
}

// load reads all that is kept, so that the store knows where it is.
func load(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Load(t.Context(), func(dnsserver.Batch) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// apply stores a batch in a turn, and returns the names of records that others
// stored before.
func apply(t *testing.T, s *Store, b dnsserver.Batch) (others []string) {
	t.Helper()
	if err := s.Turn(t.Context(), names(&others), func() dnsserver.Batch { return b }); err != nil {
		t.Fatal(err)
	}
	return others
}

// names gathers who stored which names.
func names(into *[]string) func(dnsserver.Stored) {
	return func(b dnsserver.Stored) {
		for _, c := range b.Changes {
			*into = append(*into, b.By+" "+c.Name)
		}
	}
}

func TestStore_followsOthersInTheirOrder(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	a, b := open(t, address, "a"), open(t, address, "b")
	load(t, a)
	load(t, b)
	apply(t, a, record("1."))
	apply(t, a, record("2."))
	if got, want := apply(t, b, record("3.")), []string{"a 1.", "a 2."}; !slices.Equal(got, want) {
		t.Errorf("b followed %q before its turn, want %q", got, want)
	}
	var got []string
	if err := a.Catch(t.Context(), names(&got)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b 3."}; !slices.Equal(got, want) {
		t.Errorf("a caught %q, want %q", got, want)
	}
	if err := a.Catch(t.Context(), names(&got)); err != nil || len(got) != 1 {
		t.Errorf("a caught it again: %q, %v", got, err)
	}
	if a.Condition().Sequence != 3 || b.Condition().Sequence != 3 {
		t.Errorf("sequences are %d and %d, want 3", a.Condition().Sequence, b.Condition().Sequence)
	}
}

func TestStore_saysWhenTooMuchWasMissed(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	a, b := open(t, address, "a"), open(t, address, "b")
	load(t, a)
	load(t, b)
	for n := range 3 {
		apply(t, a, record(fmt.Sprintf("%d.", n)))
	}
	a.times.keep = 0
	conn, err := a.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer shut(conn)
	if err := a.clean(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	for title, try := range map[string]func() error{
		"Catch": func() error { return b.Catch(t.Context(), names(new([]string))) },
		"Turn": func() error {
			return b.Turn(t.Context(), names(new([]string)), func() dnsserver.Batch { return record("4.") })
		},
	} {
		if err := try(); !errors.Is(err, dnsserver.ErrGap) {
			t.Errorf("%s: %v, want ErrGap", title, err)
		}
	}
	load(t, b)
	apply(t, b, record("5."))
	apply(t, a, record("6.")) // the last change is always kept, so a goes on
	if got, want := len(storetest.Contents(t, a)), 5; got != want {
		t.Errorf("%d records, want %d", got, want)
	}
}

// A database that was put back to an earlier state, as by a failover that lost
// commits, has other changes under numbers that were seen.
func TestStore_noticesAnotherHistory(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	a := open(t, address, "a")
	load(t, a)
	apply(t, a, record("1."))
	apply(t, a, record("2."))
	postgrestest.Query(t, address, "UPDATE certificate_dns.change SET token = 'other' WHERE seq = 2")
	if err := a.Catch(t.Context(), names(new([]string))); !errors.Is(err, dnsserver.ErrGap) {
		t.Errorf("Catch: %v, want ErrGap", err)
	}
}

// A commit whose answer is lost is found again, and not made twice; a commit
// that did not arrive is made.
func TestStore_anAcknowledgementThatIsLost(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	for _, c := range []struct {
		title string
		fault func()
		calls int
	}{
		{"the answer is lost", func() { p.swallow = true }, 1},
		{"the commit is lost", func() { p.deaf = true }, 2},
	} {
		t.Run(c.title, func(t *testing.T) {
			s := open(t, through(t, address, p.address()), "a")
			load(t, s)
			apply(t, s, record("first.")) // the statements are known from here on
			before, calls := s.Condition().Sequence, 0
			err := s.Turn(t.Context(), names(new([]string)), func() dnsserver.Batch {
				if calls++; calls == 1 {
					p.set(c.fault)
				}
				return record(fmt.Sprintf("%d.", before))
			})
			if err != nil || calls != c.calls {
				t.Errorf("Turn: %v after %d calls, want %d", err, calls, c.calls)
			}
			rows := postgrestest.Query(t, address, "SELECT seq FROM certificate_dns.head")
			if got := rows[0][0].(int64); uint64(got) != before+1 || s.Condition().Sequence != before+1 {
				t.Errorf("the database is at %d, the store at %d, want %d", got, s.Condition().Sequence, before+1)
			}
		})
	}
}

func TestStore_isUnsureWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	s := open(t, through(t, address, p.address()), "a")
	load(t, s)
	apply(t, s, record("first.")) // the statements are known from here on
	err := s.Turn(t.Context(), names(new([]string)), func() dnsserver.Batch {
		p.set(func() { p.swallow, p.refusing = true, true })
		return record("1.")
	})
	if !errors.Is(err, dnsserver.ErrUnsure) {
		t.Fatalf("Turn: %v, want ErrUnsure", err)
	}
	p.set(func() { p.refusing = false })
	var got []string
	eventually(t, "the change is followed", func() bool { return s.Catch(t.Context(), names(&got)) == nil && len(got) > 0 })
	if want := []string{"a 1."}; !slices.Equal(got, want) {
		t.Errorf("followed %q, want %q", got, want)
	}
}

func TestStore_oneNameOneServer(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	first := join(t, address, "ns1")
	second := open(t, address, "ns1")
	second.times.identity = 100 * time.Millisecond
	err := second.Join(t.Context())
	if !errors.Is(err, errSameName) || !strings.Contains(err.Error(), `"ns1"`) || !strings.Contains(err.Error(), "storage.postgres.server") {
		t.Errorf("Join: %v, want errSameName and what to do", err)
	}
	join(t, address, "ns2")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Join(t.Context()); err != nil {
		t.Errorf("Join after the first left: %v", err)
	}
}

// A connection that the network lost still holds the name: the server takes it
// back from itself.
func TestStore_takesItsNameBack(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	s := open(t, through(t, address, p.address()), "ns1")
	s.times.connect = 500 * time.Millisecond
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.blackhole = true })
	eventually(t, "the loss is noticed", func() bool { return s.Condition().Away != nil })
	p.set(func() { p.blackhole = false })
	eventually(t, "the store is back", func() bool { return s.Condition().Away == nil })
	if n := s.Condition().Reconnects; n == 0 {
		t.Errorf("%d reconnects", n)
	}
}

func TestOpen_withoutTheDatabase(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	p.set(func() { p.refusing = true })
	behind := through(t, address, p.address())
	_, err := Open(t.Context(), Options{URL: behind, Server: "a"})
	if !errors.Is(err, errAway) || !strings.Contains(err.Error(), p.address()) || strings.Contains(err.Error(), postgrestest.Password) {
		t.Errorf("Open: %v, want errAway that names the address and not the password", err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := Open(t.Context(), Options{URL: behind, Server: "a", Wait: patience})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("Open did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	p.set(func() { p.refusing = false })
	if err := <-opened; err != nil {
		t.Errorf("Open that waited: %v", err)
	}
}

// A host that swallows packets does not keep the store from the next.
func TestOpen_triesTheNextHost(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	both := through(t, address, silent.Addr().String()+","+hostOf(t, address))
	s, err := Open(t.Context(), Options{URL: both, Server: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Apply(t.Context(), record("1.")); err != nil {
		t.Error(err)
	}
}

func TestOpen_saysWhatIsWrong(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nobody.Close() }()
	wrong := strings.Replace(address, "storage:", "storage:x", 1)
	for title, c := range map[string]struct{ url, schema, want string }{
		"a wrong password":       {wrong, "", `refuses the user "storage": check user and password in storage.postgres.url`},
		"no such database":       {through(t, address, hostOf(t, address)) + "x", "", "does not exist: create it"},
		"no URL":                 {"host=localhost", "", "this is no PostgreSQL URL"},
		"a password with @":      {"postgres://a:b@c@localhost/x", "", "percent-encoded"},
		"a CA that is not there": {address + "?sslmode=verify-full&sslrootcert=/nowhere.pem", "", "/nowhere.pem"},
		"a schema in quotes":     {address, `a"b`, "use 1 to 55 of a-z"},
		"the server's own":       {address, "pg_x", "belongs to the server"},
	} {
		_, err := Open(t.Context(), Options{URL: c.url, Schema: c.schema, Server: "a"})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "w0rd") {
			t.Errorf("%s: %v, want %q", title, err, c.want)
		}
	}
}

func TestOpen_migratesOnceAndRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	var opening sync.WaitGroup
	for n := range 5 {
		opening.Go(func() {
			s, err := Open(t.Context(), Options{URL: address, Server: fmt.Sprint(n)})
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	opening.Wait()
	if rows := postgrestest.Query(t, address, "SELECT version FROM certificate_dns.migration"); len(rows) != 1 {
		t.Errorf("migrations made: %v, want one", rows)
	}
	postgrestest.Query(t, address, "INSERT INTO certificate_dns.migration (version) VALUES (99)")
	if _, err := Open(t.Context(), Options{URL: address}); !errors.Is(err, errNewer) {
		t.Errorf("Open: %v, want errNewer", err)
	}
}

func TestStore_replaceIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	a := open(t, address, "a")
	load(t, a)
	apply(t, a, record("old."))
	fresh := func(batches ...any) func(iter.Seq2[dnsserver.Batch, error]) iter.Seq2[dnsserver.Batch, error] {
		return func(old iter.Seq2[dnsserver.Batch, error]) iter.Seq2[dnsserver.Batch, error] {
			for b, err := range old {
				if err != nil || b.Changes[0].Name != "old." {
					t.Errorf("there was %v, %v", b, err)
				}
			}
			return func(yield func(dnsserver.Batch, error) bool) {
				for _, b := range batches {
					err, failed := b.(error)
					if !failed {
						yield(b.(dnsserver.Batch), nil)
						continue
					}
					yield(dnsserver.Batch{}, err)
				}
			}
		}
	}
	broken := errors.New("broken")
	if err := a.Replace(t.Context(), fresh(record("1."), broken)); !errors.Is(err, broken) {
		t.Errorf("Replace: %v, want %v", err, broken)
	}
	if got := storetest.Contents(t, a); len(got) != 1 || !strings.HasPrefix(got[0], "old.") {
		t.Errorf("after a failure there is %q", got)
	}
	gone := record("1.")
	gone.Changes[0].Op = dnsserver.DeleteRecord
	if err := a.Replace(t.Context(), fresh(record("1."), record("2."), gone)); err != nil {
		t.Fatal(err)
	}
	if err := a.Catch(t.Context(), names(new([]string))); !errors.Is(err, dnsserver.ErrGap) {
		t.Errorf("Catch: %v, want ErrGap", err)
	}
	if got := storetest.Contents(t, a); len(got) != 1 || !strings.HasPrefix(got[0], "2.") {
		t.Errorf("after replacing there is %q", got)
	}
}

// Who waits for others that take too long gives up, and leaves nothing in the
// database that goes on waiting.
func TestStore_waitsForOthersForAWhile(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	s, other := open(t, address, "a"), open(t, address, "b")
	s.drop()
	s.times.turn = 5 * time.Second // of sessions from here on
	load(t, s)
	conn, err := other.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer shut(conn)
	for _, statement := range []string{"BEGIN", "SELECT FROM head FOR UPDATE"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Turn(t.Context(), names(new([]string)), func() dnsserver.Batch { return record("1.") })
	if err == nil || !strings.Contains(err.Error(), "is being changed by somebody else for too long") {
		t.Errorf("Turn: %v", err)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.times.turn = patience
	apply(t, s, record("1."))
}

func TestStore_closeEndsAWait(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	s := join(t, address, "a")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ended, func(dnsserver.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
