package order

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// outage has a fake CA answer that it is not available, from a step on and for
// so long.
func outage(c *fakeCA, from int, lasts time.Duration) {
	var begun time.Time
	c.before = func(step int, _ Journal) error {
		if step == from {
			begun = time.Now()
		}
		if step < from || time.Since(begun) >= lasts {
			return nil
		}
		return fmt.Errorf("step %d: %w", step, ErrUnavailable)
	}
}

// While the CA of an order that was placed is away, it is asked again until the
// wait is over. Without an order the caller may have another CA.
func TestRun_outage(t *testing.T) {
	for sentence, test := range map[string]struct {
		from  int
		lasts time.Duration
		is    error
		took  time.Duration // at least; 5s more at most
	}{
		"before an order, for a moment":              {1, time.Millisecond, ErrUnavailable, 0},
		"after the order, for a moment":              {2, time.Millisecond, nil, 0},
		"after publishing, for half the wait":        {3, 30 * time.Second, nil, 30 * time.Second},
		"while issuing, for nearly the wait":         {4, 50 * time.Second, nil, 50 * time.Second},
		"after publishing, for longer than the wait": {3, time.Hour, ErrUnavailable, 55 * time.Second},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, keeper := newCA(t), newMemory()
				outage(ca, test.from, test.lasts)
				runner, begun := newRunner(ca, keeper), time.Now()
				j, _, err := runner.Run(t.Context(), wish("a.example.com"))
				if !errors.Is(err, test.is) || (err == nil) != (test.is == nil) || errors.Is(err, ErrRejected) {
					t.Fatalf("status %s, %v, want %v", j.Status, err, test.is)
				}
				if took := time.Since(begun); took < test.took || took > test.took+5*time.Second {
					t.Errorf("it took %s, want %s to 5s more", took, test.took)
				}
				if got := ca.counts(); got[2] != 0 {
					t.Errorf("%d records are left", got[2])
				}
				ca.before = nil
				mustRun(t, runner, wish("a.example.com"))
				wantCounts(t, ca, 1, 1, 0)
			})
		})
	}
}

// The records are there whenever the CA may be back, and go when the run ends.
func TestRun_outageKeepsTheRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ca.before = func(step int, _ Journal) error {
			if step < 3 {
				return nil
			}
			if got := ca.counts()[2]; got != 1 {
				t.Errorf("step %d: %d records, want 1", step, got)
			}
			return ErrUnavailable
		}
		if _, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v, want %v", err, ErrUnavailable)
		}
		wantCounts(t, ca, 1, 0, 0)
		if ca.steps < 10 || ca.steps > 30 {
			t.Errorf("%d steps in a minute, want some, with growing pauses", ca.steps)
		}
	})
}

// A CA that names the time of its return is not asked before, and not waited for
// when that is after the wait.
func TestRun_outageWithATime(t *testing.T) {
	for sentence, test := range map[string]struct {
		asks, took time.Duration
		is         error
	}{
		"within the wait":      {20 * time.Second, 20 * time.Second, nil},
		"longer than the wait": {2 * time.Hour, 0, ErrUnavailable},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, keeper := newCA(t), newMemory()
				runner := newRunner(ca, keeper)
				runner.Issuer = &pausingIssuer{fakeCA: ca, asks: test.asks}
				begun := time.Now()
				_, _, err := runner.Run(t.Context(), wish("a.example.com"))
				if !errors.Is(err, test.is) || (err == nil) != (test.is == nil) {
					t.Errorf("%v, want %v", err, test.is)
				}
				if took := time.Since(begun); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
			})
		})
	}
}

// pausingIssuer asks once to be left alone after it took the order.
type pausingIssuer struct {
	*fakeCA
	asks time.Duration
}

func (p *pausingIssuer) Step(ctx context.Context, j Journal) (Journal, error) {
	if j.OrderID != "" && p.asks > 0 {
		j.Wait, p.asks = p.asks, 0
		return j, ErrUnavailable
	}
	return p.fakeCA.Step(ctx, j)
}

func TestRun_interruptedDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		outage(ca, 3, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(17*time.Second, cancel)
		begun := time.Now()
		_, _, err := newRunner(ca, keeper).Run(ctx, wish("a.example.com"))
		if !errors.Is(err, context.Canceled) || time.Since(begun) != 17*time.Second {
			t.Errorf("%v after %s, want %v at once", err, time.Since(begun), context.Canceled)
		}
		wantCounts(t, ca, 1, 0, 0)
	})
}

// What cannot be kept is no outage: without its journal an order is lost.
func TestRun_outageAndNothingCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ca.after = func(step int, _ Journal) error {
			if step == 1 {
				keeper.hook = func(string, []byte) error { return errInjected }
				return ErrUnavailable
			}
			return nil
		}
		begun := time.Now()
		if _, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com")); !errors.Is(err, errInjected) || time.Since(begun) != 0 {
			t.Errorf("%v after %s, want %v at once", err, time.Since(begun), errInjected)
		}
	})
}
