package custody_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
)

// childCounts adds one to a number many times, each time under a lock.
func childCounts(store custody.Store) error {
	for range 30 {
		unlock, err := store.Lock(context.Background(), "lineages/a")
		if err != nil {
			return err
		}
		text, err := store.Get(context.Background(), "journals/count")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(text))
		if err != nil {
			return err
		}
		if err := store.Put(context.Background(), "journals/count", []byte(strconv.Itoa(n+1))); err != nil {
			return err
		}
		if err := unlock(); err != nil {
			return err
		}
	}
	fmt.Println("counted")
	_, err := os.Stdin.Read(make([]byte, 1))
	return err
}

func TestPostgres_lockExcludesProcesses(t *testing.T) {
	address := server.Server(t).Database(t)
	store := openPostgres(t, address)
	put(t, store, "journals/count", "0")
	const children = 3
	outputs := make([]interface{ Scan() bool }, children)
	for n := range outputs {
		_, outputs[n] = startChild(t, "counter", address)
	}
	for n, out := range outputs {
		if !out.Scan() {
			t.Fatalf("child %d ended", n)
		}
	}
	got, err := store.Get(t.Context(), "journals/count")
	if want := strconv.Itoa(children * 30); err != nil || string(got) != want {
		t.Errorf("the count is %s, %v; want %s", got, err, want)
	}
}

func TestPostgres_lockEndsWithItsHolder(t *testing.T) {
	address := server.Server(t).Database(t)
	cmd, out := startChild(t, "database", address)
	if !out.Scan() {
		t.Fatalf("the holder ended: %v", out.Err())
	}
	store := openPostgres(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := store.Lock(ctx, "lineages/a")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), databaseOf(address)) {
		t.Errorf("Lock while another process holds it: %v, want DeadlineExceeded that names the database", err)
	}
	kill(t, cmd)
	unlock, err := store.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatalf("Lock after the holder was killed: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// What a holder does after its connection was ended fails: another process may
// hold the lock by then.
func TestPostgres_lostLockIsNoticed(t *testing.T) {
	address := server.Server(t).Database(t)
	holder, other := openPostgres(t, address), openPostgres(t, address)
	unlock, err := holder.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := holder.Lock(t.Context(), "lineages/b")
	if err != nil {
		t.Fatal(err)
	}
	put(t, holder, "journals/a", "by the holder")
	terminate(t, address)
	taken, err := other.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatalf("Lock after the holder's connection was ended: %v", err)
	}
	put(t, other, "journals/a", "by the other")
	for method, err := range map[string]error{
		"Put": holder.Put(t.Context(), "journals/a", []byte("overwritten")), "Delete": holder.Delete(t.Context(), "journals/a"),
	} {
		if !errors.Is(err, custody.ErrLockLost) {
			t.Errorf("%s without the lock: %v, want ErrLockLost", method, err)
		}
		wantNoSecret(t, err, postgrestest.Password)
	}
	if got, err := holder.Get(t.Context(), "journals/a"); err != nil || string(got) != "by the other" {
		t.Errorf("Get = %q, %v; want what the other wrote", got, err)
	}
	if err := unlock(); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("unlock: %v, want ErrLockLost", err)
	}

	// A new lock of the holder waits until the holder of the second knows.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := holder.Lock(ctx, "lineages/c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock while another lock is lost: %v, want DeadlineExceeded", err)
	}
	if err := second(); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("unlock of the second: %v, want ErrLockLost", err)
	}
	if err := taken(); err != nil {
		t.Errorf("unlock of the other: %v", err)
	}
	again, err := holder.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatalf("Lock after all was released: %v", err)
	}
	put(t, holder, "journals/a", "by the holder again")
	if err := again(); err != nil {
		t.Error(err)
	}
}

func TestPostgres_lostLockIsNoticedByUnlockAlone(t *testing.T) {
	address := server.Server(t).Database(t)
	holder := openPostgres(t, address)
	unlock, err := holder.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	terminate(t, address)
	if err := unlock(); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("unlock: %v, want ErrLockLost", err)
	}
	put(t, holder, "journals/a", "without a lock")
}

// Giving up on one lock does not cost the others of the process.
func TestPostgres_cancelledWaitKeepsOtherLocks(t *testing.T) {
	address := server.Server(t).Database(t)
	store, other := openPostgres(t, address), openPostgres(t, address)
	mine, err := store.Lock(t.Context(), "lineages/mine")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := other.Lock(t.Context(), "lineages/theirs")
	if err != nil {
		t.Fatal(err)
	}
	for wait := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(wait)*time.Millisecond)
		if _, err := store.Lock(ctx, "lineages/theirs"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock: %v, want DeadlineExceeded", err)
		}
		_ = store.Put(ctx, "journals/late", nil) // may or may not be in time
		cancel()
	}
	put(t, store, "journals/a", "still locked")
	if err := errors.Join(mine(), theirs()); err != nil {
		t.Error(err)
	}
}

func TestPostgres_atMostFiveConnections(t *testing.T) {
	address := server.Server(t).Database(t)
	store := openPostgres(t, address)
	done := make(chan error)
	const workers = 30
	for n := range workers {
		go func() {
			unlock, err := store.Lock(t.Context(), "lineages/"+strconv.Itoa(n))
			if err == nil {
				_, _ = store.Get(t.Context(), "keys/a")
				err = errors.Join(store.Put(t.Context(), "keys/"+strconv.Itoa(n), []byte("x")), unlock())
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got := postgrestest.Query(t, address, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")[0][0]
	if n := got.(int64); n < 2 || n > 5 {
		t.Errorf("%d connections, want 2 to 5", n)
	}
}

func TestPostgres_restartInTheMiddle(t *testing.T) {
	s := postgrestest.Run(t)
	store := openPostgres(t, s.Database(t))
	put(t, store, "journals/a", "before")
	if _, err := store.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	restart := func() {
		t.Helper()
		if err := errors.Join(s.Stop(), s.Resume()); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	if got, err := store.Get(t.Context(), "journals/a"); err != nil || string(got) != "before" {
		t.Errorf("Get after a restart = %q, %v; want %q", got, err, "before")
	}
	restart()
	put(t, store, "journals/a", "after")

	unlock, err := store.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	restart()
	if err := store.Put(t.Context(), "journals/a", []byte("without the lock")); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("Put after a restart under a lock: %v, want ErrLockLost", err)
	}
	if err := unlock(); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("unlock after a restart: %v, want ErrLockLost", err)
	}
	if got, err := store.Get(t.Context(), "journals/a"); err != nil || string(got) != "after" {
		t.Errorf("Get = %q, %v; want %q", got, err, "after")
	}

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for method, err := range every(t, store) {
		if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), s.Address()) {
			t.Errorf("%s while the server is down: %v, want ErrUnusable that names it", method, err)
		}
		wantNoSecret(t, err, postgrestest.Password)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	for method, err := range every(t, store) {
		if err != nil {
			t.Errorf("%s when the server is back: %v", method, err)
		}
	}
}

// An acknowledged value survives a crash of the server, even where the database
// was set not to wait for the disk.
func TestPostgres_acknowledgedValuesSurviveACrash(t *testing.T) {
	s := postgrestest.Run(t, "fsync=on", "full_page_writes=on", "wal_writer_delay=10s")
	address := s.Database(t)
	s.Query(t, "ALTER DATABASE "+databaseOf(address)+" SET synchronous_commit = off")
	store := openPostgres(t, address)
	put(t, store, "journals/a", "in the pool")
	unlock, err := store.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "journals/b", "under a lock")
	if err := errors.Join(s.Crash(), s.Resume()); err != nil {
		t.Fatal(err)
	}
	_ = unlock() // it is lost
	for key, want := range map[string]string{"journals/a": "in the pool", "journals/b": "under a lock"} {
		if got, err := store.Get(t.Context(), key); err != nil || string(got) != want {
			t.Errorf("Get(%q) after the crash = %q, %v; want %q", key, got, err, want)
		}
	}
}

// A server that stopped answering does not keep a cancelled caller.
func TestPostgres_endedContextIsQuick(t *testing.T) {
	s := postgrestest.Run(t)
	store := openPostgres(t, s.Database(t))
	unlock, err := store.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	resume := s.Freeze(t)
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := store.Put(ctx, "journals/a", nil); err == nil {
		t.Error("Put at a frozen server succeeded")
	}
	if _, err := store.Get(ctx, "journals/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v, want DeadlineExceeded", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the calls took %s, want at most 2 s", took)
	}
	if err := unlock(); !errors.Is(err, custody.ErrLockLost) {
		t.Errorf("unlock: %v, want ErrLockLost", err)
	}
}

// terminate ends all connections to a database.
func terminate(t *testing.T, address string) {
	t.Helper()
	postgrestest.Query(t, address, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}
