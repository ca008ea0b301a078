package custody_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/custody/custodytest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// The tests below need a second process: this binary again, told by these
// variables to be one of the children instead of running tests.
const (
	childVar = "CUSTODY_TEST_CHILD"
	rootVar  = "CUSTODY_TEST_ROOT" // where its storage is: a directory or a URL
)

// server is the PostgreSQL of this package's tests.
var server postgrestest.Shared

func TestMain(m *testing.M) {
	child, ok := map[string]func(root string) error{
		"":         nil,
		"writer":   inDirectory(childWrites),
		"holder":   inDirectory(childHolds),
		"full":     inDirectory(childFills),
		"database": inDatabase(childHolds),
		"counter":  inDatabase(childCounts),
	}[os.Getenv(childVar)]
	if child == nil && ok {
		status := m.Run()
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}
	if err := child(os.Getenv(rootVar)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func inDirectory(child func(custody.Store) error) func(root string) error {
	return func(root string) error {
		store, err := custody.OpenDirectory(root)
		if err != nil {
			return err
		}
		return child(store)
	}
}

func inDatabase(child func(custody.Store) error) func(root string) error {
	return func(root string) error {
		store, err := custody.OpenPostgres(custody.PostgresOptions{URL: secret.New(root)})
		if err != nil {
			return err
		}
		return child(store)
	}
}

// childWrites replaces one value for ever, and says when it has begun.
func childWrites(store custody.Store) error {
	for n := 0; ; n++ {
		if err := store.Put(context.Background(), "journals/a", custodytest.Pattern(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// childHolds takes a lock and keeps it until it is killed.
func childHolds(store custody.Store) error {
	if _, err := store.Lock(context.Background(), "lineages/a"); err != nil {
		return err
	}
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// childFills writes values that no longer fit, as on a full disk.
func childFills(store custody.Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		return err
	}
	for _, key := range []string{"journals/a", "journals/new"} {
		if err := store.Put(context.Background(), key, custodytest.Pattern(7)); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("Put beyond the limit: %w, want EFBIG", err)
		}
	}
	return nil
}

func TestDirectory_killedWriterLeavesWholeValues(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	for round := range 8 {
		cmd, out := startChild(t, "writer", root)
		for range 1 + 7*round { // a different instant each round
			if !out.Scan() {
				t.Fatalf("the writer ended: %v", out.Err())
			}
		}
		kill(t, cmd)
		store := openDirectory(t, root)
		got, err := store.Get(t.Context(), "journals/a")
		if err == nil {
			err = custodytest.CheckPattern(got)
		}
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		if leftovers, _ := filepath.Glob(filepath.Join(root, "journals", ".tmp-*")); len(leftovers) != 0 {
			t.Errorf("after kill %d and a new opening: leftovers %v", round, leftovers)
		}
	}
}

func TestDirectory_lockExcludesProcessesAndEndsWithItsHolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	cmd, out := startChild(t, "holder", root)
	if !out.Scan() {
		t.Fatalf("the holder ended: %v", out.Err())
	}
	store := openDirectory(t, root)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := store.Lock(ctx, "lineages/a")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), filepath.Join(root, "locks", "lineages~a")) {
		t.Errorf("Lock while another process holds it: %v, want DeadlineExceeded that names the lock file", err)
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

func TestDirectory_fileThatDoesNotFitLeavesTheEarlierValue(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	store := openDirectory(t, root)
	if err := store.Put(t.Context(), "journals/a", custodytest.Pattern(1)); err != nil {
		t.Fatal(err)
	}
	cmd := childCommand("full", root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	wantOnly(t, store, root, custodytest.Pattern(1))
}

func TestDirectory_fullDiskLeavesTheEarlierValue(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=96k,mode=0700"); err != nil {
		t.Logf("no mount here (%v); the limit on file sizes above tests the same path", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	store := openDirectory(t, disk)
	if err := store.Put(t.Context(), "journals/a", custodytest.Pattern(1)); err != nil {
		t.Fatal(err)
	}
	huge := make([]byte, 1<<20)
	for _, key := range []string{"journals/a", "journals/new"} {
		if err := store.Put(t.Context(), key, huge); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Put on a full disk: %v, want ENOSPC", err)
		}
	}
	wantOnly(t, store, disk, custodytest.Pattern(1))
	if err := store.Put(t.Context(), "journals/a", custodytest.Pattern(2)); err != nil {
		t.Errorf("Put after the failures: %v; the space was not given back", err)
	}
}

func TestWritable_notByThisUser(t *testing.T) {
	top := t.TempDir()
	for dir := top; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // another user must reach it
			t.Fatal(err)
		}
	}
	locked := filepath.Join(top, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		for _, path := range []string{filepath.Join(locked, "state"), filepath.Join(locked, "a", "b")} {
			err := custody.Writable(path)
			if !errors.Is(err, custody.ErrUnusable) {
				t.Errorf("Writable(%s): %v, want ErrUnusable", path, err)
			}
		}
	})
}

// asNobody runs f without root's right to pass over file modes.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // and never unlocked: the thread ends with its odd identity
			const nobody = 65534
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); errno != 0 {
				t.Errorf("setfsuid: %v", errno)
				return
			}
		}
		f()
	}()
	<-done
}

func wantOnly(t *testing.T, store custody.Store, root string, want []byte) {
	t.Helper()
	got, err := store.Get(t.Context(), "journals/a")
	if err != nil || string(got) != string(want) {
		t.Errorf("Get afterwards = %d bytes, %v; want the %d bytes from before", len(got), err, len(want))
	}
	entries, err := os.ReadDir(filepath.Join(root, "journals"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want only the value", entries, err)
	}
}

func childCommand(child, root string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+child, rootVar+"="+root)
	return cmd
}

func startChild(t *testing.T, child, root string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := childCommand(child, root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // held open, so that the child can wait on it
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed" is what was asked for
}
