package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Whoever waited for all servers finds the change at each at once.
func TestServers_areWaitedFor(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	quiet, behind := open(t, address, "a"), open(t, through(t, address, p.address()), "b")
	for _, s := range []*Store{quiet, behind} {
		s.times.heartbeat = time.Hour // by asking alone
		if err := s.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a, b := serve(t, quiet), serve(t, behind)
	for n := range 20 {
		name := fmt.Sprintf("n%d.auth.example.com", n)
		put(t, a, name, "v")
		if lagging, err := a.Settled(t.Context(), "auth.example.com", serial(t, a)); err != nil {
			t.Fatalf("wait %d: %v, %v", n, lagging, err)
		}
		if got := answers(t, b, name); got != "v" {
			t.Errorf("%s: b answers %s after it was waited for", name, got)
		}
	}
	p.set(func() { p.refusing = true })
	p.cut()
	put(t, a, "later.auth.example.com", "v")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	lagging, err := a.Settled(ctx, "auth.example.com", serial(t, a))
	if !errors.Is(err, context.DeadlineExceeded) || len(lagging) != 1 || lagging[0].Secondary != "b" {
		t.Errorf("wait for b, which is cut off: %v, %+v", err, lagging)
	}
	p.set(func() { p.refusing = false })
	if lagging, err := a.Settled(t.Context(), "auth.example.com", serial(t, a)); err != nil || answers(t, b, "later.auth.example.com") != "v" {
		t.Errorf("wait for b, which is back: %v, %v", err, lagging)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := behind.Close(); err != nil {
		t.Fatal(err)
	}
	if lagging, err := a.Settled(t.Context(), "auth.example.com", serial(t, a)); err != nil {
		t.Errorf("wait after b left: %v, %v", err, lagging)
	}
}
