package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// How long the way back may take and, within that, the proof of the old
// certificate. Someone who pressed Ctrl-C waits for the shorter ones.
const (
	rollbackTimeout         = 2 * time.Minute
	shortestRollbackProof   = 10 * time.Second
	rollbackProof           = 10 * time.Second
	rollbackTimeoutCanceled = 2 * time.Second
	rollbackProofCanceled   = 1200 * time.Millisecond
)

// outlive returns a context that goes on when ctx ends: for a while after that,
// and for the limit in all.
func outlive(ctx context.Context, limit, after time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() {
		_ = pause(longer, after) // whichever ends it, the time is up
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

// rollback undoes what the run did and finds out what is true then.
func (d *deployment) rollback(ctx context.Context, cause error) error {
	proof := rollbackProof
	if ctx.Err() != nil {
		proof = rollbackProofCanceled
	}
	ctx, cancel := outlive(ctx, rollbackTimeout, rollbackTimeoutCanceled)
	defer cancel()
	failure := &RollbackError{Cause: cause}
	restored, err := d.restore(ctx)
	complete := err == nil
	switch {
	case !complete:
		failure.Truth = "not every file could be restored; the journal and the backups are kept for the next run"
		err = fmt.Errorf("restore the files: %w", err)
	case restored && (d.activated || d.journal.open()): // the server may have loaded the new files
		err = d.activate(ctx)
		failure.Truth = "the files are restored"
	default:
		err = d.revive(ctx)
		failure.Truth = "the files are as they were"
	}
	truth, unproven := d.proveOld(ctx, proof)
	failure.Truth += "; " + truth
	err = errors.Join(err, unproven)
	failure.Rollback = errors.Join(err, d.settleRollback(ctx, complete))
	d.job.Logger.WarnContext(ctx, "deployment rolled back", "truth", failure.Truth, "complete", failure.Rollback == nil)
	return failure
}

// restore makes every file what it was, byte for byte, with its mode and owner.
// It writes only what differs, so a disk that was full before any rename needs
// nothing. It reports whether a file had changed.
func (d *deployment) restore(ctx context.Context) (bool, error) {
	var changed bool
	var problems []error
	for _, f := range d.files {
		now, err := d.look(ctx, f.Slot)
		if err == nil && now.equal(f.before) {
			continue
		}
		changed = true
		if f.before.exists {
			err = d.put(ctx, f.before, f.Path, f.before.info.Attributes)
		} else {
			err = d.removeIfThere(ctx, f.Path)
		}
		problems = append(problems, err)
	}
	return changed, errors.Join(problems...)
}

// revive starts a server that served before, was told nothing by this run, and
// answers no more.
func (d *deployment) revive(ctx context.Context) error {
	starter, ok := d.target.(Starter)
	if !ok || !d.witness.gone(ctx) {
		return nil
	}
	if _, err := d.target.Test(ctx, d.job.Machine); err != nil {
		return fmt.Errorf("test the server's configuration: %w", err)
	}
	alive, err := starter.Alive(ctx, d.job.Machine)
	if err != nil || alive {
		return err
	}
	return start(ctx, d.job.Machine, starter)
}

// proveOld proves that the certificate from before is served. Where files and
// server disagreed before, the reload makes the server serve the file's.
func (d *deployment) proveOld(ctx context.Context, within time.Duration) (string, error) {
	old := map[string]bool{}
	for _, served := range d.witness.served {
		served.known(old)
	}
	for _, f := range d.files {
		if held, err := f.Format.Decode(f.before.data); err == nil && f.Format.Parts().Leaf {
			old[pki.Fingerprint(held.Chain[0])] = true
		}
	}
	steady := d.job.Proof.Steady
	if !d.activated && !d.journal.open() {
		steady = -1 // the server was told nothing
	}
	return d.witness.proveOld(ctx, within, steady, old)
}

// settleRollback removes what the run left, its backups too: they hold nothing
// that is not in place, and would push out older ones. While files are not
// restored, journal and backups are still needed, and only temporary files go.
func (d *deployment) settleRollback(ctx context.Context, complete bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var problems []error
	if complete {
		problems = append(problems, d.dropOrigin(ctx))
		for _, path := range append(d.written, journalPath(d.target.Slots())) {
			problems = append(problems, d.removeIfThere(ctx, path))
		}
	}
	for _, f := range d.files {
		problems = append(problems, d.tidy(ctx, f, false))
	}
	return errors.Join(problems...)
}
