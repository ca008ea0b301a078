package deploy

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// origin says what a target's files held before the first deployment that was to
// keep it, for Withdraw. Unlike backups it is not pruned.
type origin struct {
	journal

	Leaf string                  `json:"leaf,omitempty"` // fingerprint of the certificate in them; empty: none, or not readable
	Kind x509.PublicKeyAlgorithm `json:"kind,omitempty"` // of its key
}

// originPath is beside the first file, as the journal is.
func originPath(slots []Slot) string {
	directory, base := split(slots[0].Path)
	return below(directory, "."+base+".before-deployments")
}

// originCopy names the copy of one file.
func originCopy(path, directory string) string {
	place, prefix := backupPlace(path, directory)
	return below(place, strings.TrimSuffix(prefix, "bak-")+"before")
}

// readOrigin returns the zero origin where there is none.
func readOrigin(ctx context.Context, machine transport.Transport, slots []Slot) (origin, error) {
	data, _, err := machine.ReadFile(ctx, originPath(slots))
	if errors.Is(err, fs.ErrNotExist) {
		return origin{}, nil
	}
	var o origin
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err == nil && !o.open() {
		err = errors.New("it names no deployment")
	}
	if err != nil {
		return origin{}, fmt.Errorf("read %s, which says what was there before the deployments: %w", originPath(slots), err)
	}
	return o, nil
}

// keepOrigin keeps what the files held, unless that was done before. The record
// is written last: where there is one, its copies are complete.
func (d *deployment) keepOrigin(ctx context.Context) error {
	slots := d.target.Slots()
	o, err := readOrigin(ctx, d.job.Machine, slots)
	if err != nil {
		return err
	}
	known := len(o.Files)
	if !o.open() {
		o.Run = d.run
		d.origins = append(d.origins, originPath(slots))
	}
	for _, f := range d.files {
		if _, there := o.entry(f.Path); there {
			continue
		}
		e := entry{Path: f.Path, Old: f.before.sum(), Was: f.before.info.Attributes}
		if f.before.exists {
			e.Backup = originCopy(f.Path, d.job.Backups)
			if err := transport.WriteFile(ctx, d.job.Machine, e.Backup, f.before.data, private()); err != nil {
				return errors.Join(err, d.dropOrigin(ctx))
			}
			d.origins = append(d.origins, e.Backup)
		}
		if held, err := f.Format.Decode(f.before.data); err == nil && f.Format.Parts().Leaf && o.Leaf == "" {
			o.Leaf, o.Kind = pki.Fingerprint(held.Chain[0]), held.Chain[0].PublicKeyAlgorithm
		}
		o.Files = append(o.Files, e)
	}
	if len(o.Files) == known {
		return nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write down what was there before: %w", err)
	}
	if err := transport.WriteFile(ctx, d.job.Machine, originPath(slots), text, private()); err != nil {
		return errors.Join(err, d.dropOrigin(ctx))
	}
	return nil
}

// dropOrigin removes what this run kept.
func (d *deployment) dropOrigin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var problems []error
	for _, path := range d.origins {
		problems = append(problems, d.removeIfThere(ctx, path))
	}
	d.origins = nil
	return errors.Join(problems...)
}
