package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// snapshot is a file as it was at one moment. It can hold a private key.
type snapshot struct {
	exists bool
	data   []byte
	info   transport.FileInfo

	// Of a key that stays on the machine, instead of data: the SHA-256 of the
	// content in hex, and the path of a file there that has it.
	digest, at string
}

func (s snapshot) equal(o snapshot) bool {
	return s.exists == o.exists && bytes.Equal(s.data, o.data) && s.digest == o.digest && s.info.Attributes == o.info.Attributes
}

// String implements fmt.Stringer without the content.
func (s snapshot) String() string { return fmt.Sprintf("[%d bytes]", len(s.data)) }

// GoString implements fmt.GoStringer without the content.
func (s snapshot) GoString() string { return s.String() }

// file is one slot in the course of a deployment.
type file struct {
	Slot
	found  snapshot // on the machine when the deployment began
	before snapshot // what a rollback restores: found, or what a crashed run found
	fresh  bool     // found holds already what it is to hold
	data   []byte   // the content to write unless fresh
	backup string   // path of the copy of before; empty when there is none

	// Of a key that stays on the machine, instead of data: where it comes from,
	// and the key that waited beside the file, if it is the certificate's.
	source, waiting snapshot
}

// deployment is the state of one Deploy.
type deployment struct {
	job       Job
	target    FileTarget
	run       string // names this run's backups
	files     []file
	journal   journal  // of a crashed run; zero when there was none
	witness   witness  // what is asked whether the certificate is in use
	loaded    bool     // it says so, of the new certificate
	written   []string // backups of this run
	origins   []string // what this run kept for a withdrawal
	activated bool     // the server was told something
	turn      *turn    // on the machine; held but while waiting for others and proving
	batch     *batch   // with which the server was told; nil when alone
}

// read finds out what is on the machine and served, touching nothing.
func read(ctx context.Context, job Job, target FileTarget) (*deployment, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("draw a name for the backups: %w", err)
	}
	d := &deployment{job: job, target: target, witness: witness{proof: job.Proof, machine: job.Machine}, run: job.Now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random)}
	places := map[string]string{}
	for _, slot := range target.Slots() {
		found, err := d.look(ctx, slot)
		if err != nil {
			return nil, fmt.Errorf("read what %s holds: %w", slot.Path, err)
		}
		if other, ok := places[found.info.Path]; ok {
			return nil, fmt.Errorf("%w: %s and %s are one file", ErrPath, other, slot.Path)
		}
		places[found.info.Path] = slot.Path
		d.files = append(d.files, file{Slot: slot, found: found, before: found})
	}
	if err := d.encode(ctx); err != nil {
		return nil, err
	}
	if err := d.readJournal(ctx); err != nil {
		return nil, err
	}
	if d.asked() {
		d.inspect(ctx)
	}
	if d.journal.open() && !d.loaded {
		d.adopt(ctx)
	}
	return d, ctx.Err()
}

func look(ctx context.Context, machine transport.Transport, path string) (snapshot, error) {
	data, info, err := machine.ReadFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{info: transport.FileInfo{Path: info.Path}}, nil
	}
	return snapshot{exists: err == nil, data: data, info: info}, err
}

// encode decides which files are to be written and with what. A key that was
// not given is on the machine and must belong to the certificate. Where it has a
// file of its own it stays there; where it shares a file with other things, that
// file is read.
func (d *deployment) encode(ctx context.Context) error {
	m := d.job.Material
	if err := checkUnlocked(d.target.Slots()); err != nil {
		return err
	}
	for _, f := range d.files {
		if !f.Format.Parts().Key || !f.of(m).Key.Empty() || d.job.resident(f.Slot) {
			continue
		}
		if !f.found.exists {
			return fmt.Errorf("no private key was given and %s does not exist: %w", f.Path, pki.ErrNoKey)
		}
		held, err := f.Format.Decode(f.found.data)
		if err == nil {
			err = held.Key.Matches(m.Chain[0])
		}
		if err != nil {
			return fmt.Errorf("no private key was given; the one in %s: %w", f.Path, err)
		}
		m.Key = held.Key
	}
	for i := range d.files {
		f := &d.files[i]
		if d.job.resident(f.Slot) {
			if err := d.settleKey(ctx, f); err != nil {
				return err
			}
			continue
		}
		f.fresh = !d.job.Force && f.found.exists && f.holds(f.found.data, m) && (f.Mode == 0 || f.Mode == f.found.info.Mode)
		if f.fresh {
			continue
		}
		var err error
		if f.data, err = f.Format.Encode(m, f.found.data); err != nil {
			return fmt.Errorf("write the content for %s: %w", f.Path, err)
		}
		if !f.holds(f.data, m) {
			return fmt.Errorf("the content for %s cannot be read back: %w", f.Path, errNotReadable)
		}
	}
	return nil
}

var errNotReadable = errors.New("what was encoded is not what was to be encoded")

// asked reports whether there is somebody to ask.
func (d *deployment) asked() bool { return !d.witness.none() }

// paths are the files of the deployment, however links lead to them.
func (d *deployment) paths() []string {
	var all []string
	for _, f := range d.files {
		all = append(all, clean(f.Path))
		if resolved := clean(f.found.info.Path); f.found.info.Path != "" && resolved != clean(f.Path) {
			all = append(all, resolved)
		}
	}
	return all
}

// want is the check for the new certificate.
func (d *deployment) want() func(Served) error {
	return servesPair(d.job.Proof.Endpoint, installed(d.target.Slots(), d.job.Material))
}

// inspect asks what is served before anything changes. That nothing answers is
// no error: a first deployment can come before the server's first start.
func (d *deployment) inspect(ctx context.Context) {
	right, err := d.witness.look(ctx, d.want())
	if !right {
		d.job.Logger.DebugContext(ctx, "the certificate is not in use before the deployment", "why", err)
	}
	if !right || !d.allFresh() {
		return
	}
	if d.witness.commands() { // it may pass for the old certificate as well
		d.loaded = !d.journal.open()
		return
	}
	proof := d.job.Proof
	if !d.journal.open() {
		proof.Steady = -1 // no run may just have reloaded
	}
	proof.Timeout = min(proof.Timeout, probeTimeout)
	_, err = Prove(ctx, proof, d.want())
	d.loaded = err == nil
}

func (d *deployment) allFresh() bool {
	for _, f := range d.files {
		if !f.fresh {
			return false
		}
	}
	return true
}

// upToDate reports whether there is nothing to do. Without an endpoint, files
// left by a crashed run prove nothing: it may not have reloaded.
func (d *deployment) upToDate() bool {
	return d.allFresh() && (d.loaded || !d.asked() && !d.journal.open())
}

// replace takes every step from the backups to the proof.
func (d *deployment) replace(ctx context.Context, result *Result) error {
	if !d.allFresh() {
		if err := d.backUp(ctx); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
		if err := d.install(ctx); err != nil {
			return fmt.Errorf("write the new files: %w", err)
		}
		result.Changed, result.Backups = true, d.written
	}
	if err := d.test(ctx); err != nil {
		return err
	}
	reloaded, err := d.load(ctx)
	if err != nil {
		return err
	}
	result.Reloaded = reloaded
	if !d.asked() {
		return nil
	}
	if d.turn.server != "" { // others may write and reload: that takes nothing from this one
		d.turn.leave()
		defer d.turn.retake(ctx)
	}
	result.Served, err = d.witness.prove(ctx, d.want())
	if err == nil && d.batch != nil {
		d.batch.proven.Store(true)
	}
	return err
}

// install stages every file, which is where a full disk or a missing right
// shows, and then renames one after the other.
func (d *deployment) install(ctx context.Context) error {
	var staged []transport.Staged
	for _, f := range d.files {
		if f.fresh {
			continue
		}
		one, err := d.stage(ctx, f)
		if err != nil {
			return errors.Join(err, d.discard(ctx, staged))
		}
		staged = append(staged, one)
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, d.discard(ctx, staged))
	}
	// Nobody's Ctrl-C comes between the renames.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	for i, one := range staged {
		if err := d.job.Machine.Rename(within, one); err != nil {
			return errors.Join(err, d.discard(ctx, staged[i:]))
		}
	}
	return ctx.Err()
}

func (d *deployment) stage(ctx context.Context, f file) (transport.Staged, error) {
	if f.source.exists {
		return stageCopy(ctx, d.job.Machine, f.source.at, f.Path, f.keyAttributes())
	}
	return d.job.Machine.Stage(ctx, f.Path, f.data, f.attributes())
}

// severed says which files were replaced that had further names: a file is
// replaced by a new one, never written over, so the other names have the old.
func (d *deployment) severed() []string {
	var warnings []string
	for _, f := range d.files {
		if !f.fresh && f.found.info.Links > 1 {
			warnings = append(warnings, fmt.Sprintf("The file %s had %d names (hard links). It was replaced by a new one, and the other names still lead to the old content: deploy to them too, or make them symbolic links.", f.Path, f.found.info.Links))
		}
	}
	return warnings
}

// discard removes staged files that will not be renamed.
func (d *deployment) discard(ctx context.Context, staged []transport.Staged) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var problems []error
	for _, one := range staged {
		if err := d.job.Machine.Remove(ctx, one.Temporary); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// attributes are those of the file replaced, with a mode asked for.
func (f file) attributes() transport.Attributes {
	if !f.before.exists {
		return transport.Attributes{Mode: f.mode(), UID: transport.Unknown, GID: transport.Unknown}
	}
	attributes := f.before.info.Attributes
	if f.Mode != 0 {
		attributes.Mode = f.Mode
	}
	return attributes
}

// activate tests the files in place and makes the server load them.
func (d *deployment) activate(ctx context.Context) error {
	err := d.test(ctx)
	if err == nil {
		_, err = d.tell(ctx)
	}
	return err
}

func (d *deployment) test(ctx context.Context) error {
	if _, err := d.target.Test(ctx, d.job.Machine); err != nil {
		return fmt.Errorf("test the server's configuration: %w", err)
	}
	return nil
}

// tell makes the server load the files: by a reload, or by a start when it does
// not run. It reports whether the server was told anything.
func (d *deployment) tell(ctx context.Context) (bool, error) {
	machine := d.job.Machine
	starter, ok := d.target.(Starter)
	if !ok {
		d.activated = true
		return d.reload(ctx)
	}
	alive, err := starter.Alive(ctx, machine)
	if err != nil {
		return false, err
	}
	d.activated = true
	if !alive {
		d.job.Logger.InfoContext(ctx, "the server does not run and is started")
		return true, start(ctx, machine, starter)
	}
	if _, err := d.reload(ctx); err != nil {
		return false, err
	}
	// HAProxy's master is not to be found for a moment while it starts over.
	return true, awaitAlive(ctx, machine, starter)
}

func (d *deployment) reload(ctx context.Context) (bool, error) {
	told, err := d.target.Reload(ctx, d.job.Machine)
	if err != nil {
		return false, fmt.Errorf("reload the server: %w", err)
	}
	return told, nil
}

var errNotRunning = errors.New("the server does not run after it was told to load the certificate")

// start starts the server: one that goes to the background is not there at once.
func start(ctx context.Context, machine transport.Transport, starter Starter) error {
	if err := starter.Start(ctx, machine); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	return awaitAlive(ctx, machine, starter)
}

// awaitAlive gives a server a moment to be there.
func awaitAlive(ctx context.Context, machine transport.Transport, starter Starter) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		alive, err := starter.Alive(ctx, machine)
		if alive || err != nil {
			return err
		}
		if pause(ctx, wait) != nil {
			return errNotRunning
		}
	}
}

const (
	aliveTimeout = 3 * time.Second
	cleanTimeout = 2 * time.Second
)
