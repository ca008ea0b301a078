package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// pendingPath is where a key waits for the certificate that is made for it,
// beside the file whose place it will take.
func pendingPath(path string) string { return path + ".next" }

// resident reports whether a slot's key stays on the machine in this job: none
// was given, and the file holds nothing else.
func (j Job) resident(s Slot) bool {
	return s.of(j.Material).Key.Empty() && s.Format.Parts() == (Parts{Key: true}) && !windows(s.Path)
}

// look finds out what a slot's file is; that of a resident key is not read.
func (d *deployment) look(ctx context.Context, s Slot) (snapshot, error) {
	if d.job.resident(s) {
		return lookFromAfar(ctx, d.job.Machine, s.Path)
	}
	return look(ctx, d.job.Machine, s.Path)
}

// lookFromAfar is look without the content: the machine sums it up.
func lookFromAfar(ctx context.Context, machine transport.Transport, path string) (snapshot, error) {
	info, err := machine.Stat(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{info: transport.FileInfo{Path: info.Path}}, nil
	}
	s := snapshot{exists: true, info: info, at: path}
	if err == nil {
		s.digest, err = fileSum(ctx, machine, path)
	}
	return s, err
}

// settleKey decides what becomes of a file with a resident key: it holds the
// certificate's key already, or a key that waits beside it does.
func (d *deployment) settleKey(ctx context.Context, f *file) error {
	machine, leaf := d.job.Machine, f.of(d.job.Material).Chain[0]
	want := pki.PublicHash(leaf.PublicKey)
	waiting, err := lookFromAfar(ctx, machine, pendingPath(f.Path))
	if err != nil {
		return fmt.Errorf("look for a key that waits: %w", err)
	}
	inPlace, beside := fits(ctx, machine, f.found, want), fits(ctx, machine, waiting, want)
	for _, err := range []error{inPlace, beside} {
		if unknowable(err) {
			return fmt.Errorf("look at the private key in %s: %w", f.Path, err)
		}
	}
	if beside == nil {
		f.waiting = waiting
	}
	switch {
	case inPlace == nil:
		f.source = f.found
		f.fresh = !d.job.Force && (f.Mode == 0 || f.Mode == f.found.info.Mode)
	case beside == nil:
		f.source = waiting
	case !f.found.exists && !waiting.exists:
		return fmt.Errorf("no private key was given and %s does not exist: %w", f.Path, pki.ErrNoKey)
	case !waiting.exists:
		return fmt.Errorf("no private key was given; the one in %s: %w", f.Path, inPlace)
	default:
		return fmt.Errorf("no private key was given; the one in %s: %w; the one that waits in %s: %w", f.Path, inPlace, waiting.at, beside)
	}
	return nil
}

// fits tells whether a key of the machine has the wanted public part.
func fits(ctx context.Context, machine transport.Transport, s snapshot, want string) error {
	if !s.exists {
		return fs.ErrNotExist
	}
	public, err := publicKey(ctx, machine, s.at)
	if err == nil && pki.PublicHash(public) != want {
		err = pki.ErrKeyMismatch
	}
	return err
}

// unknowable reports whether an error of fits leaves open what the key is.
func unknowable(err error) bool {
	return err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, pki.ErrKeyMismatch) && !errors.Is(err, errNotOneKey)
}

// keyAttributes are those of the file a resident key is taken from: it keeps the
// owner and mode it was made with, unless the target asks for a mode.
func (f file) keyAttributes() transport.Attributes {
	attributes := f.source.info.Attributes
	if f.Mode != 0 {
		attributes.Mode = f.Mode
	}
	return attributes
}

// dropWaiting removes the key that waited, once it is in place.
func (d *deployment) dropWaiting(ctx context.Context, f file) error {
	if !f.waiting.exists {
		return nil
	}
	return d.removeIfThere(ctx, f.waiting.at)
}

// put writes what a snapshot was to a path.
func (d *deployment) put(ctx context.Context, s snapshot, path string, attributes transport.Attributes) error {
	if s.digest != "" {
		return copyFile(ctx, d.job.Machine, s.at, path, attributes)
	}
	return transport.WriteFile(ctx, d.job.Machine, path, s.data, attributes)
}

// lookAtKey holds the public part of a key on another machine against the job.
func (o *Observation) lookAtKey(ctx context.Context, job Job, slot Slot) {
	info, err := job.Machine.Stat(ctx, slot.Path)
	s := snapshot{exists: err == nil, info: info, at: slot.Path}
	switch wrong := fits(ctx, job.Machine, s, pki.PublicHash(slot.of(job.Material).Chain[0].PublicKey)); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		o.Warnings = append(o.Warnings, fmt.Sprintf("The file %s could not be looked at: %v.", slot.Path, err))
	case unknowable(wrong):
		o.Warnings = append(o.Warnings, fmt.Sprintf("The private key in the file %s could not be looked at: %v.", slot.Path, wrong))
	case !s.exists:
		o.Drift = append(o.Drift, fmt.Sprintf("The file %s is missing.", slot.Path))
	case errors.Is(wrong, errNotOneKey):
		o.Drift = append(o.Drift, fmt.Sprintf("The file %s cannot be read as what it is to hold: %v.", slot.Path, wrong))
	case slot.Mode != 0 && slot.Mode != info.Mode:
		o.Drift = append(o.Drift, fmt.Sprintf("The file %s has the mode %04o, not %04o.", slot.Path, info.Mode, slot.Mode))
	case wrong != nil:
		o.Drift = append(o.Drift, fmt.Sprintf("The private key in the file %s does not belong to the certificate.", slot.Path))
	}
}
