package deploy

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

func iisFixture(t *testing.T, options IISOptions) (*fixture, *deploytest.IIS) {
	t.Helper()
	now := time.Now()
	f := &fixture{now: now, ca: deploytest.NewAuthority(t, now), log: &safeBuffer{}}
	f.old, f.fresh = f.issue(t), f.issue(t)
	machine := deploytest.StartFakeIIS(t, f.old.Chain, f.old.Key)
	f.machine = &counting{Transport: machine}
	target, err := NewIIS(options)
	if err != nil {
		t.Fatal(err)
	}
	f.job = Job{
		Host: "test", Machine: f.machine, Target: target, Material: f.fresh, Now: now, Locks: &Locks{},
		Proof:  Proof{Endpoint: Endpoint{machine.Address, name}, Timeout: 5 * time.Second},
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() { noKeys(t, f.log.String()+strings.Join(f.machine.argv, " "), f.old.Key, f.fresh.Key) })
	return f, machine
}

func TestIIS_replacesAndProves(t *testing.T) {
	t.Parallel()
	f, machine := iisFixture(t, IISOptions{Site: deploytest.IISSite})
	for _, changed := range []bool{true, false} {
		result, err := Deploy(t.Context(), f.job)
		if err != nil || result.Changed != changed || result.Proven != ByHandshake {
			t.Fatalf("result = %+v, %v; want changed: %t", result, err, changed)
		}
		f.wantServed(t, f.fresh)
	}
	if !machine.Stored(f.old.Chain[0]) {
		t.Error("the certificate before is gone from the store")
	}
}

func TestIIS_rollsBack(t *testing.T) {
	t.Parallel()
	f, machine := iisFixture(t, IISOptions{Site: deploytest.IISSite})
	machine.Deaf.Store(true)
	_, err := Deploy(t.Context(), f.job)
	var failure *RollbackError
	if !errors.As(err, &failure) || !errors.Is(err, ErrOtherServed) || !strings.Contains(err.Error(), "the old certificate is served") {
		t.Errorf("error = %v, want a rollback", err)
	}
	machine.Deaf.Store(false)
	held, err := f.job.Target.(Service).Fetch(t.Context(), machine)
	if err != nil || !held.Chain[0].Equal(f.old.Chain[0]) {
		t.Errorf("the binding has %v (%v), want the certificate before", held.Chain, err)
	}
}

// On destroy the binding gets again what it had before the first deployment.
func TestIIS_isRestored(t *testing.T) {
	t.Parallel()
	f, machine := iisFixture(t, IISOptions{Site: deploytest.IISSite})
	if _, err := Withdraw(t.Context(), f.job, Restore); !errors.Is(err, ErrNoOrigin) {
		t.Errorf("without a deployment: %v, want %v", err, ErrNoOrigin)
	}
	f.job.Origin = true
	for _, m := range []Material{f.fresh, f.issue(t)} { // two deployments, one origin
		f.job.Material = m
		if _, err := Deploy(t.Context(), f.job); err != nil {
			t.Fatal(err)
		}
	}
	machine.Deaf.Store(true)
	_, err := Withdraw(t.Context(), f.job, Restore)
	var failure *RollbackError
	if !errors.As(err, &failure) || !errors.Is(err, ErrOtherServed) {
		t.Errorf("a server that does not listen: %v, want a rollback", err)
	}
	machine.Deaf.Store(false)
	done, err := Withdraw(t.Context(), f.job, Restore)
	if err != nil || !strings.Contains(done.Truth, "is served, fingerprint") || len(done.Warnings) > 0 {
		t.Fatalf("withdrawn: %+v, %v", done, err)
	}
	f.wantServed(t, f.old)
	if _, err := Withdraw(t.Context(), f.job, Restore); !errors.Is(err, ErrNoOrigin) {
		t.Errorf("a second time: %v, want %v", err, ErrNoOrigin)
	}
}

func TestIIS_isNotRestoredWithoutTheCertificate(t *testing.T) {
	t.Parallel()
	f, machine := iisFixture(t, IISOptions{Site: deploytest.IISSite})
	f.job.Origin = true
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	machine.Forget(f.old.Chain[0])
	if _, err := Withdraw(t.Context(), f.job, Restore); !errors.Is(err, ErrAdmin) || !strings.Contains(err.Error(), "no longer in the machine's store") {
		t.Errorf("error = %v, want what is gone", err)
	}
	f.wantServed(t, f.fresh)
}

func TestIIS_noSuchBinding(t *testing.T) {
	t.Parallel()
	f, _ := iisFixture(t, IISOptions{Site: "Another Site", Host: "www.example.com"})
	if _, err := Deploy(t.Context(), f.job); !errors.Is(err, ErrAdmin) || !strings.Contains(err.Error(), "https bindings at port 443") {
		t.Errorf("error = %v, want ErrAdmin and the binding", err)
	}
	f.wantServed(t, f.old)
}

// cmd.exe, which may be the shell of sshd, takes 8191 characters.
func TestIIS_scriptsFitIntoACommandLine(t *testing.T) {
	t.Parallel()
	for _, script := range []string{iisFetch, iisInstall, iisBind, iisKeep, iisOrigin, iisForget} {
		first, _, _ := strings.Cut(script, "\n")
		if length := len(utf16le(script)) * 4 / 3; length > 8000 {
			t.Errorf("%s takes %d characters", first, length)
		}
	}
	if _, err := NewIIS(IISOptions{}); err == nil {
		t.Error("a site without a name is accepted")
	}
	var _ transport.Transport = (*deploytest.IIS)(nil)
}
