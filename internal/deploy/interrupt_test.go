package deploy

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// hooked calls before ahead of each call to the machine, with how many there
// were, and fails the call with what it returns.
type hooked struct {
	transport.Transport
	before func(call int) error
	calls  int
}

func (h *hooked) hook() error {
	call := h.calls
	h.calls++
	return h.before(call)
}

func (h *hooked) ReadFile(ctx context.Context, path string) ([]byte, transport.FileInfo, error) {
	if err := h.hook(); err != nil {
		return nil, transport.FileInfo{}, err
	}
	return h.Transport.ReadFile(ctx, path)
}

func (h *hooked) Stage(ctx context.Context, path string, data []byte, attributes transport.Attributes) (transport.Staged, error) {
	if err := h.hook(); err != nil {
		return transport.Staged{}, err
	}
	return h.Transport.Stage(ctx, path, data, attributes)
}

func (h *hooked) Rename(ctx context.Context, staged transport.Staged) error {
	if err := h.hook(); err != nil {
		return err
	}
	return h.Transport.Rename(ctx, staged)
}

func (h *hooked) Remove(ctx context.Context, path string) error {
	if err := h.hook(); err != nil {
		return err
	}
	return h.Transport.Remove(ctx, path)
}

func (h *hooked) List(ctx context.Context, directory string) ([]string, error) {
	if err := h.hook(); err != nil {
		return nil, err
	}
	return h.Transport.List(ctx, directory)
}

func (h *hooked) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if err := h.hook(); err != nil {
		return transport.Output{}, err
	}
	return h.Transport.Run(ctx, argv, stdin)
}

// One call to the machine goes wrong, each in turn: the deployment either
// succeeds all the same or leaves everything as it was.
func TestDeploy_interruptedAtEveryStep(t *testing.T) {
	tests := map[string]struct {
		interrupt func(cancel context.CancelFunc) error
		want      error
	}{
		"a call fails": {func(context.CancelFunc) error { return syscall.EIO }, syscall.EIO},
		"ctx ends":     {func(cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			for at, done := 0, false; !done; at++ {
				f := newApp(t)
				before := state(t, f.directory)
				ctx, cancel := context.WithCancel(t.Context())
				job := f.job(t, f.options())
				machine := &hooked{Transport: f, before: func(call int) error {
					if call == at {
						return test.interrupt(cancel)
					}
					return nil
				}}
				job.Machine = machine
				started := time.Now()
				result, err := Deploy(ctx, job)
				cancel()
				if took := time.Since(started); took > 2*time.Second {
					t.Errorf("call %d: took %v", at, took)
				}
				f.wantOutcome(t, at, before, result, err, test.want)
				done = machine.calls <= at
			}
		})
	}
}

// wantOutcome checks what an interrupted deployment left against what it says.
func (f *appFixture) wantOutcome(t *testing.T, at int, before map[string]string, result Result, err, want error) {
	t.Helper()
	served, probed := Probe(t.Context(), Endpoint{f.address, name})
	if probed != nil {
		t.Fatal(probed)
	}
	if err == nil {
		if !served.Chain[0].Equal(f.fresh.Chain[0]) {
			t.Errorf("call %d: succeeded, and serves %s", at, describe(served.Chain[0]))
		}
		return
	}
	if !errors.Is(err, want) || result.Changed {
		t.Errorf("call %d: %+v, %v; want %v", at, result, err, want)
	}
	noKeys(t, err.Error(), f.old.Key, f.fresh.Key)
	if !served.Chain[0].Equal(f.old.Chain[0]) {
		t.Errorf("call %d: failed with %v, and serves %s", at, err, describe(served.Chain[0]))
	}
	after := state(t, f.directory)
	for path := range after {
		if after[path] != before[path] {
			t.Errorf("call %d: failed with %v, and %s is not what it was", at, err, path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("call %d: %d files, before %d", at, len(after), len(before))
	}
}

// cancelling ends a context at the first rename of a file that is deployed, and
// keeps what the renames returned.
type cancelling struct {
	transport.Transport
	at      string
	cancel  context.CancelFunc
	results []error
}

func (c *cancelling) Rename(ctx context.Context, staged transport.Staged) error {
	if staged.Path == c.at {
		c.cancel()
	}
	err := c.Transport.Rename(ctx, staged)
	c.results = append(c.results, err)
	return err
}

func TestDeploy_noCancellationBetweenTheRenames(t *testing.T) {
	f := newApp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	machine := &cancelling{Transport: f, at: f.path("key.pem"), cancel: cancel}
	job := f.job(t, f.options())
	job.Machine = machine
	_, err := Deploy(ctx, job)
	_ = wantRollback(t, err, true)
	if err := errors.Join(machine.results...); err != nil {
		t.Errorf("a rename was cut off: %v", err)
	}
}
