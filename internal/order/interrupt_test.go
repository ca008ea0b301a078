package order

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun_rejectedOrderStartsAnotherWithTheSameKey(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	ca.reject = func(Journal) bool { return true }
	runner := newRunner(ca, keeper)
	first, _, err := runner.Run(t.Context(), wish("a.example.com"))
	if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "the CA saw another value") || !strings.Contains(err.Error(), "a.example.com") {
		t.Fatalf("%v, want %v with the CA's words and the name", err, ErrRejected)
	}
	wantCounts(t, ca, 1, 0, 0)
	ca.reject = nil
	second, adopted := mustRun(t, runner, wish("a.example.com"))
	wantCounts(t, ca, 2, 1, 0)
	if adopted || second.Lineage != first.Lineage || second.KeyID != first.KeyID || short(second.Request) != short(first.Request) {
		t.Errorf("adopted %t; lineage %s, key %s, request %s, want those of the first", adopted, second.Lineage, second.KeyID, short(second.Request))
	}
	if second.OrderID == first.OrderID || second.Detail != "" {
		t.Errorf("order %s, detail %q, want a new order", second.OrderID, second.Detail)
	}
}

// The order of an interrupted run may be rejected for want of its records; the
// run that resumes it places another at once.
func TestRun_resumedOrderThatWasRejectedIsReplacedAtOnce(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	if !runUntil(t, ca, keeper, "before step", 3) {
		t.Fatal("the run was not killed")
	}
	rejected := 0
	ca.reject = func(Journal) bool { rejected++; return rejected == 1 }
	mustRun(t, newRunner(ca, keeper), wish("a.example.com", "b.example.com"))
	wantCounts(t, ca, 2, 1, 0)

	// But only once: a CA that rejects everything ends the run.
	ca, keeper = newCA(t), newMemory()
	if !runUntil(t, ca, keeper, "before step", 3) {
		t.Fatal("the run was not killed")
	}
	ca.reject = func(Journal) bool { return true }
	if _, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com", "b.example.com")); !errors.Is(err, ErrRejected) {
		t.Errorf("%v, want %v", err, ErrRejected)
	}
	wantCounts(t, ca, 2, 0, 0)
}

func TestRun_rejectedWithAnErrorIsStillRejected(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	issuer := rejectingIssuer{ca}
	runner := newRunner(ca, keeper)
	runner.Issuer = issuer
	_, _, err := runner.Run(t.Context(), wish("a.example.com"))
	if !errors.Is(err, ErrRejected) || !errors.Is(err, errInjected) {
		t.Errorf("%v, want %v and %v", err, ErrRejected, errInjected)
	}
}

// A step that waits for something ends with the wait, and that is no failure;
// but a refusal is one, even when it comes at the last moment.
func TestRun_waitEndsInTheMiddleOfAStep(t *testing.T) {
	for sentence, test := range map[string]struct {
		status Status
		is     error
	}{
		"still waiting":           {StatusAwaitingValidation, nil},
		"refused at the last one": {StatusRejected, ErrRejected},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, keeper := newCA(t), newMemory()
				runner := newRunner(ca, keeper)
				runner.Issuer = patientIssuer{ca, test.status}
				w := wish("a.example.com")
				begun := time.Now()
				j, _, err := runner.Run(t.Context(), w)
				if !errors.Is(err, test.is) || (err != nil) != (test.is != nil) || j.Status != test.status {
					t.Errorf("status %s, %v, want %s, %v", j.Status, err, test.status, test.is)
				}
				if took := time.Since(begun); took != w.Wait {
					t.Errorf("it took %s, want %s", took, w.Wait)
				}
				saved, err := Load(t.Context(), keeper, j.Intent)
				if err != nil || saved.Status != test.status || (test.is == nil && !strings.Contains(saved.Detail, "injected")) {
					t.Errorf("kept: status %s, detail %q, %v", saved.Status, saved.Detail, err)
				}
			})
		})
	}
}

// patientIssuer does a step that lasts as long as it may.
type patientIssuer struct {
	*fakeCA
	status Status
}

func (p patientIssuer) Step(ctx context.Context, j Journal) (Journal, error) {
	<-ctx.Done()
	j.Status = p.status
	return j, errInjected
}

// rejectingIssuer says that the order is over and why, both at once.
type rejectingIssuer struct{ *fakeCA }

func (rejectingIssuer) Step(_ context.Context, j Journal) (Journal, error) {
	j.Status = StatusRejected
	return j, errInjected
}

func TestRun_interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ca.wait = 10 * time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Time
		ca.after = func(_ int, j Journal) error {
			if len(j.Records) > 0 {
				time.AfterFunc(3*time.Second, func() { at = time.Now(); cancel() })
			} else {
				ca.wait = time.Millisecond
			}
			if len(j.Records) > 0 {
				ca.wait = 10 * time.Minute
			}
			return nil
		}
		w := wish("a.example.com")
		w.Wait = time.Hour
		j, _, err := newRunner(ca, keeper).Run(ctx, w)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrRejected) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
		if took := time.Since(at); took != 0 {
			t.Errorf("it returned %s after the interrupt, want at once", took)
		}
		wantCounts(t, ca, 1, 0, 0)
		saved, err := Load(t.Context(), keeper, j.Intent)
		if err != nil || saved.OrderID != "order-1" || len(saved.Records) != 0 || saved.Status.Final() {
			t.Errorf("kept: %+v, %v", saved, err)
		}
		ca.after, ca.wait = nil, 0
		mustRun(t, newRunner(ca, keeper), w)
		wantCounts(t, ca, 1, 1, 0)
	})
}

// Cleaning up is given little time: Terraform kills a provider that does not
// end soon.
func TestRun_interruptedWhileNothingCanBeWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		ca.after = func(_ int, j Journal) error {
			if len(j.Records) > 0 {
				cancel()
			}
			return nil
		}
		ca.withdraw = func(ctx context.Context, _ Journal) error { <-ctx.Done(); return ctx.Err() }
		begun := time.Now()
		j, _, err := newRunner(ca, keeper).Run(ctx, wish("a.example.com"))
		if !errors.Is(err, context.Canceled) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %v and %v", err, context.Canceled, context.DeadlineExceeded)
		}
		if took := time.Since(begun); took != withdrawTimeout {
			t.Errorf("it took %s, want %s", took, withdrawTimeout)
		}
		if saved, err := Load(t.Context(), keeper, j.Intent); err != nil || len(saved.Records) != 1 {
			t.Errorf("%d records in the journal, %v, want the one that is still published", len(saved.Records), err)
		}
		// The next run takes them back.
		ca.after, ca.withdraw = nil, nil
		mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
		wantCounts(t, ca, 1, 1, 0)
	})
}

// Records that stay behind do not cost the certificate, and the next run tries
// again.
func TestRun_leftoverRecordsDoNotCostTheCertificate(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	ca.withdraw = func(context.Context, Journal) error { return errInjected }
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	wantCounts(t, ca, 1, 1, 1)
	ca.withdraw = nil
	if _, adopted := mustRun(t, newRunner(ca, keeper), wish("a.example.com")); !adopted {
		t.Error("it was not adopted")
	}
	wantCounts(t, ca, 1, 1, 0)
}

func TestRun_openOrderIsReturnedWhenTheWaitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ca.after = func(step int, _ Journal) error {
			ca.wait = 0
			if step >= 2 {
				ca.wait = 40 * time.Second
			}
			return nil
		}
		w := wish("a.example.com")
		w.Wait = 30 * time.Second
		begun := time.Now()
		j, adopted, err := newRunner(ca, keeper).Run(t.Context(), w)
		if err != nil || adopted || j.Status != StatusAwaitingValidation || j.OrderID == "" {
			t.Errorf("status %s, order %q, adopted %t, %v", j.Status, j.OrderID, adopted, err)
		}
		if took := time.Since(begun); took != w.Wait {
			t.Errorf("it took %s, want %s", took, w.Wait)
		}
		wantCounts(t, ca, 1, 0, 1) // the CA may still look
		ca.after, ca.wait = nil, 0
		resumed, _ := mustRun(t, newRunner(ca, keeper), w)
		if resumed.OrderID != j.OrderID {
			t.Errorf("order %s, want %s", resumed.OrderID, j.OrderID)
		}
		wantCounts(t, ca, 1, 1, 0)
	})
}

func TestRun_waitsAsLongAsTheIssuerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		ca.wait = 7 * time.Second
		begun := time.Now()
		mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
		if took := time.Since(begun); took != 3*ca.wait {
			t.Errorf("it took %s, want %s for three pauses", took, 3*ca.wait)
		}
	})
}

func TestRun_errorKeepsTheJournalAndWithdraws(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	ca.before = func(step int, _ Journal) error {
		if step == 3 {
			return errInjected
		}
		return nil
	}
	j, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com"))
	if !errors.Is(err, errInjected) || errors.Is(err, ErrRejected) {
		t.Errorf("%v, want %v", err, errInjected)
	}
	wantCounts(t, ca, 1, 0, 0)
	if saved, err := Load(t.Context(), keeper, j.Intent); err != nil || saved.OrderID == "" || saved.Status.Final() {
		t.Errorf("kept: %+v, %v", saved, err)
	}
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	wantCounts(t, ca, 1, 1, 0)
}
