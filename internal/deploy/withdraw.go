package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// Withdrawal is what becomes of a deployment that is given up.
type Withdrawal string

// The ways to give a deployment up.
const (
	Restore Withdrawal = "restore" // the files are again what Job.Origin kept
	Remove  Withdrawal = "remove"  // the files are deleted
)

// Why a deployment cannot be given up in a way.
var (
	ErrNoWithdrawal = errors.New("the target cannot be withdrawn from in this way")
	ErrNoOrigin     = errors.New("what was there before the deployments was not kept")
)

// CheckWithdrawal refuses a way that a target does not have. A withdrawal has no
// passwords: they are in no state.
func CheckWithdrawal(target Target, how Withdrawal) error {
	files, ok := target.(FileTarget)
	if _, returns := target.(Returner); returns {
		if how == Restore {
			return nil
		}
		return fmt.Errorf("%w: %s keeps the certificate itself, and goes on with the one from before or with this one", ErrNoWithdrawal, target.Name())
	}
	if !ok {
		return fmt.Errorf("%w: %s keeps the certificate itself and is given one with a password, which is not at hand on destroy", ErrNoWithdrawal, target.Name())
	}
	if needsPassword(target) {
		return fmt.Errorf("%w: %s is told to load its files with a password, which is not at hand on destroy", ErrNoWithdrawal, target.Name())
	}
	if how != Remove {
		return nil
	}
	for _, slot := range files.Slots() {
		if _, store := slot.Format.(Locked); store {
			return fmt.Errorf("%w: the keystore %s can hold what is not ours", ErrNoWithdrawal, slot.Path)
		}
	}
	if untested(target) {
		return fmt.Errorf("%w: %s has no test of its configuration, so it cannot be told whether it does without the files", ErrNoWithdrawal, target.Name())
	}
	return nil
}

// needsPassword reports whether a target's server is told by an administration
// that asks for one.
func needsPassword(target Target) bool {
	switch t := target.(type) {
	case *JBoss, *WebLogic:
		return true
	case *Tomcat:
		return t.options.Manager.URL != ""
	case *GlassFish:
		return t.options.Admin.URL != ""
	}
	return false
}

// untested reports whether a server would be told without a test before.
func untested(target Target) bool {
	switch t := target.(type) {
	case *Nginx, *Apache, *HAProxy:
		return false
	case *Files:
		return len(t.options.TestCommand) == 0 && len(t.options.ReloadCommand) > 0
	}
	return true
}

// Withdrawn is what is true after a withdrawal that succeeded: sentences.
type Withdrawn struct {
	Truth    string
	Warnings []string // done, but look
}

// Withdraw gives a deployment up: it puts back what was there before, or removes
// the files where the server's configuration passes its test without them. When
// it fails, the certificate is as
// deployed as before, and the error is a *RollbackError, or the machine was not
// touched.
//
// A server that does not run is not started. There is no journal: a withdrawal
// that was killed is begun again, since what it restores stays until the end.
func Withdraw(ctx context.Context, job Job, how Withdrawal) (Withdrawn, error) {
	job, err := job.withDefaults()
	if err == nil {
		err = CheckWithdrawal(job.Target, how)
	}
	if err != nil {
		return Withdrawn{}, err
	}
	unlock, err := job.Locks.Lock(ctx, job.place())
	if err != nil {
		return Withdrawn{}, err
	}
	defer unlock()
	if service, ok := job.Target.(Returner); ok {
		return withdrawService(ctx, job, service)
	}
	if job, err = job.locate(ctx); err != nil {
		return Withdrawn{}, err
	}
	target, _ := job.Target.(FileTarget) // CheckWithdrawal has seen to it
	w := withdrawal{deployment: deployment{job: job, target: target, witness: witness{proof: job.Proof, machine: job.Machine}}}
	if err := w.read(ctx, how); err != nil {
		return Withdrawn{}, err
	}
	truth, err := w.carryOut(ctx)
	if err != nil {
		job.Logger.WarnContext(ctx, "withdrawal failed, rolling back", "error", err)
		return Withdrawn{}, w.rollback(ctx, err)
	}
	job.Logger.InfoContext(ctx, "deployment withdrawn", "way", how, "truth", truth)
	done := Withdrawn{Truth: truth}
	if err := w.clean(ctx); err != nil {
		done.Warnings = []string{fmt.Sprintf("What deployments kept beside the files could not be removed: %v.", err)}
	}
	return done, nil
}

// withdrawal is the state of one Withdraw. What its files are before is what a
// rollback restores.
type withdrawal struct {
	deployment

	how    Withdrawal
	origin origin
	wanted []snapshot // what the files are to be
}

// read finds out what is there and what is to be there, touching nothing.
func (w *withdrawal) read(ctx context.Context, how Withdrawal) error {
	w.how = how
	if err := w.readJournal(ctx); err != nil {
		return err
	}
	if w.journal.open() {
		return errors.New("an earlier deployment did not finish, so the files may be of two: apply once more, and destroy then")
	}
	var err error
	if how == Restore {
		if w.origin, err = readOrigin(ctx, w.job.Machine, w.target.Slots()); err != nil {
			return err
		}
		if !w.origin.open() {
			return fmt.Errorf("%w: there is no %s", ErrNoOrigin, originPath(w.target.Slots()))
		}
	}
	for _, slot := range w.target.Slots() {
		found, err := w.look(ctx, slot)
		if err != nil {
			return fmt.Errorf("read what %s holds: %w", slot.Path, err)
		}
		w.files = append(w.files, file{Slot: slot, found: found, before: found})
		wanted := snapshot{}
		if e, ok := w.origin.entry(slot.Path); ok {
			if wanted, ok = w.backedUp(ctx, slot, e); !ok {
				return fmt.Errorf("%w: the copy %s is gone or damaged", ErrNoOrigin, e.Backup)
			}
		}
		w.wanted = append(w.wanted, wanted)
	}
	if w.witness.shakes() {
		_, err := w.witness.look(ctx, func(Served) error { return nil })
		w.job.Logger.DebugContext(ctx, "what is served before the withdrawal", "answers", len(w.witness.served), "problem", err)
	}
	return ctx.Err()
}

// carryOut changes the files, has the server load them and proves it.
func (w *withdrawal) carryOut(ctx context.Context) (string, error) {
	if err := w.replaceFiles(ctx); err != nil {
		return "", fmt.Errorf("change the files: %w", err)
	}
	if _, err := w.target.Test(ctx, w.job.Machine); err != nil {
		return "", fmt.Errorf("test the server's configuration: %w", err)
	}
	starter, starts := w.target.(Starter)
	if starts {
		alive, err := starter.Alive(ctx, w.job.Machine)
		if err != nil {
			return "", err
		}
		if !alive {
			return w.done("the server does not run and was not started"), nil
		}
	}
	w.activated = true
	if _, err := w.reload(ctx); err != nil {
		return "", err
	}
	if starts {
		if err := awaitAlive(ctx, w.job.Machine, starter); err != nil {
			return "", err
		}
	}
	return w.prove(ctx)
}

// done says what became of the files, and of the server.
func (w *withdrawal) done(rest string) string {
	if w.how == Remove {
		return "the files are removed; " + rest
	}
	return "the files are what they were before the deployments; " + rest
}

// prove proves that what was put back is served.
func (w *withdrawal) prove(ctx context.Context) (string, error) {
	switch {
	case w.how == Remove:
		return w.done("what is served now is not ours to say"), nil
	case w.origin.Leaf == "" || len(w.witness.served) == 0:
		return w.done("it is not proven what is served"), nil
	}
	proof := w.job.Proof.at(w.witness.served)
	proof.Way.Key = w.origin.Kind
	_, err := Prove(ctx, proof, servesFingerprint(w.origin.Leaf))
	return w.done("the certificate from before is served, fingerprint " + w.origin.Leaf), err
}

// servesFingerprint expects a certificate of which nothing else is known.
func servesFingerprint(fingerprint string) func(Served) error {
	return func(s Served) error {
		if s.Fingerprint != fingerprint {
			return fmt.Errorf("%w: %s serves %s; expected fingerprint %s", ErrOtherServed, s.Address, describe(s.Chain[0]), fingerprint)
		}
		return nil
	}
}

// stageSnapshot writes out what a file was; a key that stays on the machine is
// copied there.
func (w *withdrawal) stageSnapshot(ctx context.Context, s snapshot, path string) (transport.Staged, error) {
	if s.digest != "" {
		return stageCopy(ctx, w.job.Machine, s.at, path, s.info.Attributes)
	}
	return w.job.Machine.Stage(ctx, path, s.data, s.info.Attributes)
}

// replaceFiles writes out every file and then puts them into place, or deletes
// them, one after the other.
func (w *withdrawal) replaceFiles(ctx context.Context) error {
	staged := make([]transport.Staged, len(w.files))
	var out []transport.Staged
	for i, f := range w.files {
		if !w.wanted[i].exists || w.wanted[i].equal(f.found) {
			continue
		}
		var err error
		if staged[i], err = w.stageSnapshot(ctx, w.wanted[i], f.Path); err != nil {
			return errors.Join(err, w.discard(ctx, out))
		}
		out = append(out, staged[i])
	}
	// Nobody's Ctrl-C comes in between.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	for i, f := range w.files {
		var err error
		switch {
		case staged[i].Temporary != "":
			err = w.job.Machine.Rename(within, staged[i])
		case !w.wanted[i].exists && f.found.exists:
			err = w.removeIfThere(within, f.Path)
		}
		if err != nil {
			return errors.Join(err, w.discard(ctx, out))
		}
	}
	return ctx.Err()
}

// clean removes what deployments kept beside the files: after a restoration all
// since then is of no use. What they kept for a removal may be somebody's only
// copy, and stays.
func (w *withdrawal) clean(ctx context.Context) error {
	if w.how == Remove {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var problems []error
	for _, f := range w.files {
		place, prefix := backupPlace(f.Path, w.job.Backups)
		names, err := w.job.Machine.List(ctx, place)
		problems = append(problems, err)
		for _, name := range slices.DeleteFunc(names, func(name string) bool {
			return !strings.HasPrefix(name, prefix) || strings.TrimPrefix(name, prefix) < w.origin.Run
		}) {
			problems = append(problems, w.removeIfThere(ctx, below(place, name)))
		}
	}
	// The record goes before its copies, so that it never speaks of what is not there.
	problems = append(problems, w.removeIfThere(ctx, originPath(w.target.Slots())))
	for _, e := range w.origin.Files {
		if e.Backup != "" {
			problems = append(problems, w.removeIfThere(ctx, e.Backup))
		}
	}
	return errors.Join(problems...)
}
