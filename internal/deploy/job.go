package deploy

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Job is one certificate for one target on one machine.
type Job struct {
	Host     string // the machine's name in messages
	Machine  transport.Transport
	Target   Target
	Paths    Paths // of a target whose paths are found: in Deploy those of the plan, in Observe those of the deployment
	Material Material
	Proof    Proof     // without an address nothing is asked over the network
	Now      time.Time // the time the certificate's dates are held against
	Force    bool      // write, reload and prove even where nothing differs
	Distant  bool      // Observe asks the endpoint alone, and the machine nothing
	Sealed   bool      // Observe reads no file that holds a key
	Backups  string    // absolute path of an existing directory; default: beside the files
	Keep     int       // backups kept of each file; default 3, negative for none
	Origin   bool      // keep for Withdraw what the files held before the first deployment
	Locks    *Locks    // shared by deployments that may be to one machine; nil: the caller has them take turns
	Logger   *slog.Logger
}

// Proven says how it is known that the new certificate is in use.
type Proven string

// The kinds of proof.
const (
	ByHandshake Proven = "handshake" // Proof.Consecutive handshakes showed it
	ByCommand   Proven = "command"   // Proof.Command says so
	ByFile      Proven = "file"      // it is in the files; no endpoint was given to ask
	ByService   Proven = "service"   // the server's own interface says so; no endpoint was given to ask
)

// Result is what is true after a deployment that succeeded.
type Result struct {
	Changed     bool     // a file was replaced
	Reloaded    bool     // the server was told to load the files, or started
	Proven      Proven   // how it is known
	Fingerprint string   // of the deployed leaf: SHA-256, lower-case hex
	FilesHash   string   // see Observation.FilesHash
	Served      Served   // what the last handshake showed; zero when Proven is ByFile
	Paths       Paths    // of a target whose paths were found; else nil
	Backups     []string // paths of the backups made by this deployment
	Warnings    []string // sentences: done, but look
}

// RollbackError is a deployment that failed after the machine was touched. Its
// Unwrap holds both errors.
type RollbackError struct {
	Cause    error  // why the deployment failed
	Rollback error  // what of the way back failed; nil when all is as before
	Truth    string // a sentence: what the files hold and the server serves now
}

// Error implements error.
func (e *RollbackError) Error() string {
	text := e.Cause.Error()
	if e.Rollback != nil {
		text += "; rolling back: " + e.Rollback.Error()
	}
	return text + "; " + e.Truth
}

// Unwrap returns the cause and what of the rollback failed.
func (e *RollbackError) Unwrap() []error {
	if e.Rollback == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Rollback}
}

// withDefaults fills what was left out and refuses what cannot be.
func (j Job) withDefaults() (Job, error) {
	if j.Machine == nil || j.Target == nil {
		return j, errors.New("a deployment needs a machine and a target")
	}
	j.Proof = j.Proof.withDefaults()
	if len(j.Material.Chain) > 0 && j.Proof.Way.Key == x509.UnknownPublicKeyAlgorithm {
		j.Proof.Way.Key = j.Material.Chain[0].PublicKeyAlgorithm
	}
	j.Keep = cmp.Or(j.Keep, defaultKeep)
	if j.Locks == nil {
		j.Locks = &Locks{}
	}
	j.Proof.Way.TLCP = isPaired(j.Target)
	if j.Logger == nil {
		j.Logger = slog.New(slog.DiscardHandler)
	}
	j.Logger = j.Logger.With("host", j.Host, "target", j.Target.Name())
	if files, ok := j.Target.(FileTarget); ok && !isOpen(j.Target) {
		return j, checkSlots(files.Slots())
	}
	return j, nil
}

// Deploy puts the certificate of a job into place, makes the server load it and
// proves that it is served. Nothing is done when that is so already. Errors
// before the machine was touched match those of CheckMaterial and of the
// transport; later ones are a *RollbackError.
//
// Key and certificate are two files, and no filesystem replaces two at once.
// Both are written out and durable before the first rename, the second rename
// follows at once, and the server loads only after its own test of both. A crash
// between the two leaves a pair that does not match on disk, but not in the
// server; the journal lets the next Deploy finish, with the last good pair to
// go back to.
func Deploy(ctx context.Context, job Job) (Result, error) {
	job, err := job.withDefaults()
	if err != nil {
		return Result{}, err
	}
	if err := CheckMaterial(job.Material, job.Proof.Endpoint.ServerName, job.Now); err != nil {
		return Result{}, err
	}
	if err := job.checkTarget(); err != nil {
		return Result{}, err
	}
	switch target := job.Target.(type) {
	case FileTarget:
		return deployFiles(ctx, job, target)
	case Service:
		unlock, err := job.Locks.Lock(ctx, job.place())
		if err != nil {
			return Result{}, err
		}
		defer unlock()
		return deployService(ctx, job, target)
	}
	return Result{}, fmt.Errorf("the target %s can be deployed to in no way", job.Target.Name())
}

// place tells the machine from others: deployments to one take turns.
func (j Job) place() string {
	if placed, ok := j.Machine.(transport.Placed); ok {
		return placed.Place()
	}
	return j.Host
}

// deployFiles deploys to a target by its files. Where it failed together with
// others, by a reload that had them all load nothing, it is done again alone.
func deployFiles(ctx context.Context, job Job, target FileTarget) (Result, error) {
	result, batch, err := deployInTurn(ctx, job, target, serverOf(target))
	var failure *RollbackError
	if batch != nil && errors.As(err, &failure) && failure.Rollback == nil && batch.failed(ctx) {
		result, _, err = deployInTurn(ctx, job, target, "")
	}
	return result, err
}

// deployInTurn deploys while no other deployment writes to the machine. It also
// returns the others that it shared a reload with.
func deployInTurn(ctx context.Context, job Job, target FileTarget, server string) (result Result, with *batch, err error) {
	turn := job.Locks.turn(job.place(), server)
	defer turn.end()
	d, err := readInTurn(ctx, job, target, turn)
	if err != nil {
		return Result{}, nil, err
	}
	result = Result{
		Proven: d.witness.proven(ByFile), Fingerprint: pki.Fingerprint(job.Material.Chain[0]), FilesHash: filesHash(d.target.Slots(), job.Material), Paths: d.job.Paths,
	}
	if job.Origin {
		if err := d.keepOrigin(ctx); err != nil {
			return Result{}, nil, fmt.Errorf("keep what was there before: %w", err)
		}
	}
	if d.upToDate() {
		job.Logger.DebugContext(ctx, "nothing to deploy", "fingerprint", result.Fingerprint)
		result.Served = d.witness.before()
		result.Warnings = d.settle(ctx)
		return result, nil, nil
	}
	if err := d.replace(ctx, &result); err != nil {
		job.Logger.WarnContext(ctx, "deployment failed, rolling back", "error", err)
		return Result{}, d.batch, d.rollback(ctx, err)
	}
	result.Warnings = append(d.severed(), d.settle(ctx)...)
	job.Logger.InfoContext(ctx, "certificate deployed", "fingerprint", result.Fingerprint, "proven", result.Proven, "reloaded", result.Reloaded)
	return result, d.batch, nil
}

// readInTurn waits for the turn and for deployments that are at work on one of
// the same files, and reads what is there.
func readInTurn(ctx context.Context, job Job, target FileTarget, turn *turn) (*deployment, error) {
	for {
		if err := turn.arrive(ctx); err != nil {
			return nil, err
		}
		// In turn, because nginx shows no configuration between two renames.
		job, err := job.locate(ctx)
		if err != nil {
			return nil, err
		}
		if found, ok := job.Target.(FileTarget); ok {
			target = found
		}
		d, err := read(ctx, job, target)
		if err != nil {
			return nil, err
		}
		d.turn = turn
		over := turn.claim(d.paths())
		if over == nil {
			return d, nil
		}
		turn.leave()
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
