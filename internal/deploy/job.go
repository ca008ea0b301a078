package deploy

import (
	"cmp"
	"context"
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
	Material Material
	Proof    Proof     // without an address nothing is asked over the network
	Now      time.Time // the time the certificate's dates are held against
	Force    bool      // write, reload and prove even where nothing differs
	Distant  bool      // Observe asks the endpoint alone, and the machine nothing
	Backups  string    // absolute path of an existing directory; default: beside the files
	Keep     int       // backups kept of each file; default 3, negative for none
	Locks    *Locks    // nil: the caller makes sure that deployments take turns
	Logger   *slog.Logger
}

// Proven says how it is known that the new certificate is in use.
type Proven string

// The kinds of proof.
const (
	ByHandshake Proven = "handshake" // Proof.Consecutive handshakes showed it
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
	j.Keep = cmp.Or(j.Keep, defaultKeep)
	j.Proof.TLCP = isPaired(j.Target)
	if j.Logger == nil {
		j.Logger = slog.New(slog.DiscardHandler)
	}
	j.Logger = j.Logger.With("host", j.Host, "target", j.Target.Name())
	if files, ok := j.Target.(FileTarget); ok {
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
	if job.Locks != nil {
		place := job.Host
		if placed, ok := job.Machine.(transport.Placed); ok {
			place = placed.Place()
		}
		unlock, err := job.Locks.Lock(ctx, place)
		if err != nil {
			return Result{}, err
		}
		defer unlock()
	}
	if err := job.checkTarget(); err != nil {
		return Result{}, err
	}
	switch target := job.Target.(type) {
	case FileTarget:
		return deployFiles(ctx, job, target)
	case Service:
		return deployService(ctx, job, target)
	}
	return Result{}, fmt.Errorf("the target %s can be deployed to in no way", job.Target.Name())
}

// deployFiles deploys to a target by its files.
func deployFiles(ctx context.Context, job Job, target FileTarget) (Result, error) {
	d, err := read(ctx, job, target)
	if err != nil {
		return Result{}, err
	}
	result := Result{Proven: ByFile, Fingerprint: pki.Fingerprint(job.Material.Chain[0]), FilesHash: filesHash(target.Slots(), job.Material)}
	if d.asked() {
		result.Proven = ByHandshake
	}
	if d.upToDate() {
		job.Logger.DebugContext(ctx, "nothing to deploy", "fingerprint", result.Fingerprint)
		result.Served = d.served
		result.Warnings = d.settle(ctx)
		return result, nil
	}
	if err := d.replace(ctx, &result); err != nil {
		job.Logger.WarnContext(ctx, "deployment failed, rolling back", "error", err)
		return Result{}, d.rollback(ctx, err)
	}
	result.Warnings = d.settle(ctx)
	job.Logger.InfoContext(ctx, "certificate deployed", "fingerprint", result.Fingerprint, "proven", result.Proven, "reloaded", result.Reloaded)
	return result, nil
}
