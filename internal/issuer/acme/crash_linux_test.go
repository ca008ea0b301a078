package acme_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// The sweep needs processes to kill: this binary again, told by these variables
// what to order and when to die.
const (
	childVar = "ACME_TEST_CHILD" // the name to order
	whenVar  = "ACME_TEST_WHEN"  // "before" or "after" a write to the storage
	writeVar = "ACME_TEST_WRITE" // the number of that write, from 0
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "" {
		os.Exit(m.Run())
	}
	if err := child(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// suicidal is a storage whose process is killed at one of its writes.
type suicidal struct {
	custody.Store
	when string
	left int
}

func (s *suicidal) pass(when string) {
	if when != s.when {
		return
	}
	if s.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
	s.left--
}

func (s *suicidal) Put(ctx context.Context, key string, data []byte) error {
	s.pass("before")
	err := s.Store.Put(ctx, key, data)
	s.pass("after")
	return err
}

// child orders in a lab that the parent runs.
func child(ctx context.Context) error {
	left, err := strconv.Atoi(os.Getenv(writeVar))
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(os.Getenv("CERTIFICATE_NAME_SERVER_PORT"))
	if err != nil {
		return err
	}
	store, err := custody.OpenDirectory(os.Getenv("CERTIFICATE_STORAGE_DIRECTORY"))
	if err != nil {
		return err
	}
	publisher, err := challenge.NewResponder(os.Getenv("CERTIFICATE_RESPONDER_URL"), os.Getenv("CERTIFICATE_RESPONDER_TOKEN"))
	if err != nil {
		return err
	}
	logger, keeper := slog.New(slog.DiscardHandler), &suicidal{store, os.Getenv(whenVar), left}
	c := acme.FromEnvironment(os.Getenv)
	opened, err := acme.New(c, keeper, &challenge.DNSSolver{
		Publisher: publisher, Logger: logger, Patience: 10 * time.Second,
		Resolver: &challenge.Resolver{Servers: []string{os.Getenv("CERTIFICATE_RESOLVERS")}, AuthoritativePort: port},
	}, logger)
	if err != nil {
		return err
	}
	runner := order.Runner{Issuer: opened, Keeper: keeper, Logger: logger, Now: time.Now}
	_, _, err = runner.Run(ctx, wish(os.Getenv(childVar)))
	return err
}

// Processes that are killed before or after each thing they write: the next run
// always ends with one certificate. A second order is placed only after the kill
// between the CA's answer to the first and its journal, since nothing tells of
// it then.
func TestCrash_killedAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			second := 0
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s-%d.example.test", when, n)
				placed, issued := g.placed(), l.CA.Issued()
				killed := killedAt(t, l, name, when, n)
				lost := g.placed() > placed && !journalled(t, l, name)
				mustRun(t, newRunner(t, l), wish(name))
				wantNoRecords(t, l, name)
				if lost {
					second++
				} else if got := g.placed() - placed; got != 1 {
					t.Errorf("killed %s write %d: %d orders, want 1", when, n, got)
				}
				if got := l.CA.Issued() - issued; got != 1 {
					t.Errorf("killed %s write %d: %d certificates, want 1", when, n, got)
				}
				if !killed {
					if n < 6 {
						t.Errorf("a run writes %d times, want several", n)
					}
					break
				}
			}
			if second > 1 {
				t.Errorf("%d kills led to a second order, want 1 at most", second)
			}
		})
	}
}

// journalled reports whether the storage knows an order for a name.
func journalled(t *testing.T, l *lab.Lab, name string) bool {
	t.Helper()
	store, err := custody.OpenDirectory(l.StorageDirectory())
	if err != nil {
		t.Fatal(err)
	}
	j, err := order.Load(t.Context(), store, wish(name).Intent)
	if err != nil && !errors.Is(err, order.ErrNoJournal) {
		t.Fatal(err)
	}
	return j.OrderID != ""
}

// killedAt runs a child and reports whether it was killed.
func killedAt(t *testing.T, l *lab.Lab, name, when string, write int) bool {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), l.Environment()...)
	command.Env = append(command.Env, childVar+"="+name, whenVar+"="+when, writeVar+"="+strconv.Itoa(write))
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return false
}
