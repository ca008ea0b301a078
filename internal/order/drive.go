package order

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

const (
	firstRetry   = 50 * time.Millisecond
	slowestRetry = 5 * time.Second
	// longPause is one that people at the CA make.
	longPause = 5 * time.Minute
)

// drive steps until the order is final or the wait is over. Then the records
// stay published: the CA may still come and look. They also stay while the CA of
// an order that was placed is not available and is asked again; a CA without an
// order is not, since another one may do.
func (r *Runner) drive(ctx context.Context, j Journal, wait time.Duration) (Journal, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var outage error // why the CA is not available, nil while it is
	retry := firstRetry
	for {
		next, err := r.Issuer.Step(waiting, j)
		over := waiting.Err() != nil && ctx.Err() == nil && !next.Status.Final()
		if err != nil && over && outage == nil {
			next.Detail = err.Error()
		}
		unsaved := false
		if !reflect.DeepEqual(kept(next), kept(j)) {
			if saveErr := r.save(context.WithoutCancel(ctx), next); saveErr != nil {
				err, over, unsaved = errors.Join(err, saveErr), false, true
			}
		}
		j = next
		pause := j.Wait
		switch {
		case err != nil && over:
			return r.giveUp(ctx, j, outage)
		case errors.Is(err, ErrUnavailable) && j.OrderID != "" && !j.Status.Final() && !unsaved && ctx.Err() == nil:
			outage, pause = err, max(pause, retry)
			retry = min(2*retry, slowestRetry)
			if end, ok := waiting.Deadline(); ok && time.Until(end) < pause {
				return r.giveUp(ctx, j, outage)
			}
			r.Logger.InfoContext(ctx, "the CA is not available", "names", j.Intent.Names, "pause", pause, "error", err)
		case err != nil:
			if j.Status == StatusRejected || j.Status == StatusExpired {
				err = fmt.Errorf("%w for %s: %w", ErrRejected, j.Names(), err)
			}
			return j, errors.Join(err, r.withdraw(ctx, &j))
		case j.Status.Final():
			return r.finish(ctx, j)
		default:
			outage, retry = nil, firstRetry
			if end, ok := waiting.Deadline(); ok && pause > longPause && time.Until(end) < pause {
				return r.giveUp(ctx, j, nil) // there is nothing to see before the wait is over
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-waiting.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return j, errors.Join(context.Cause(ctx), r.withdraw(ctx, &j))
			}
			return r.giveUp(ctx, j, outage)
		}
	}
}

// giveUp ends a run whose wait is over: an order that is open is no failure,
// unless the CA is not available.
func (r *Runner) giveUp(ctx context.Context, j Journal, outage error) (Journal, error) {
	if outage != nil {
		err := errors.Join(outage, r.withdraw(ctx, &j))
		return j, err
	}
	r.Logger.InfoContext(ctx, "order still open", "names", j.Intent.Names, "status", j.Status)
	return j, nil
}
