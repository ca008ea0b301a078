package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

const defaultKeep = 3

// A backup's name begins with a dot: servers that load whole directories pass
// over such files.

// backupPath names the backup of a file that run makes. In a directory for
// backups the name tells apart files of one name from several directories.
func backupPath(path, directory, run string) string {
	place, prefix := backupPlace(path, directory)
	return below(place, prefix+run)
}

func backupPlace(path, directory string) (place, prefix string) {
	place, base := split(path)
	if directory == "" {
		return place, "." + base + ".bak-"
	}
	sum := sha256.Sum256([]byte(clean(place)))
	return directory, "." + base + "." + hex.EncodeToString(sum[:4]) + ".bak-"
}

// journalPath is beside the first file, wherever the backups are.
func journalPath(slots []Slot) string {
	directory, base := split(slots[0].Path)
	return below(directory, "."+base+".deployment")
}

// journal says what a run is about to change. While it exists, that run has not
// finished.
type journal struct {
	Run   string  `json:"run"`
	Files []entry `json:"files"`
}

// entry is one file of a journal. The sums are SHA-256 of whole files in hex.
type entry struct {
	Path   string               `json:"path"`
	Old    string               `json:"old"` // empty: there was no file
	New    string               `json:"new"` // empty: not to be changed
	Backup string               `json:"backup,omitempty"`
	Was    transport.Attributes `json:"was"`
}

// open reports whether there is a journal.
func (j journal) open() bool { return j.Run != "" }

func (j journal) entry(path string) (entry, bool) {
	at := slices.IndexFunc(j.Files, func(e entry) bool { return e.Path == path })
	if at < 0 {
		return entry{}, false
	}
	return j.Files[at], true
}

func (s snapshot) sum() string {
	if !s.exists {
		return ""
	}
	if s.digest != "" {
		return s.digest
	}
	sum := sha256.Sum256(s.data)
	return hex.EncodeToString(sum[:])
}

// private are the attributes of backups and journals, whatever they hold.
func private() transport.Attributes {
	return transport.Attributes{Mode: 0o600, UID: transport.Unknown, GID: transport.Unknown}
}

// backUp copies what a rollback would restore and then opens the journal: a
// journal means that its backups are complete.
func (d *deployment) backUp(ctx context.Context) error {
	j := journal{Run: d.run}
	for i := range d.files {
		f := &d.files[i]
		e := entry{Path: f.Path, Old: f.before.sum(), Was: f.before.info.Attributes}
		if !f.fresh {
			e.New = snapshot{exists: true, data: f.data, digest: f.source.digest}.sum()
		} else if e.Old != f.found.sum() {
			e.New = f.found.sum() // written by the crashed run
		}
		if f.before.exists && e.New != "" {
			e.Backup = backupPath(f.Path, d.job.Backups, d.run)
			if err := d.put(ctx, f.before, e.Backup, private()); err != nil {
				return err
			}
			f.backup, f.before.at = e.Backup, e.Backup
			d.written = append(d.written, e.Backup)
		}
		j.Files = append(j.Files, e)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return transport.WriteFile(ctx, d.job.Machine, journalPath(d.target.Slots()), text, private())
}

// readJournal looks for the journal of a run that did not finish.
func (d *deployment) readJournal(ctx context.Context) error {
	data, _, err := d.job.Machine.ReadFile(ctx, journalPath(d.target.Slots()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the journal of an unfinished deployment: %w", err)
	}
	if err := json.Unmarshal(data, &d.journal); err != nil || d.journal.Run == "" {
		d.journal = journal{Run: "unreadable"} // unfinished, and nothing to go by
	}
	d.job.Logger.WarnContext(ctx, "an earlier deployment did not finish", "run", d.journal.Run)
	return nil
}

// adopt takes over from a run that did not finish: its backups, not the mixture
// on disk, are what a rollback restores, unless a file was changed by someone
// else since.
func (d *deployment) adopt(ctx context.Context) {
	befores := make([]snapshot, len(d.files))
	for i, f := range d.files {
		befores[i] = f.found
		e, ok := d.journal.entry(f.Path)
		switch sum := f.found.sum(); {
		case !ok || sum == e.Old:
		case sum != e.New:
			d.job.Logger.WarnContext(ctx, "a file was changed since; the journal is passed over", "path", f.Path)
			return
		default:
			if befores[i], ok = d.backedUp(ctx, f.Slot, e); !ok {
				return
			}
		}
	}
	for i := range d.files {
		d.files[i].before = befores[i]
	}
}

// backedUp returns the file an entry speaks of as it was.
func (d *deployment) backedUp(ctx context.Context, slot Slot, e entry) (snapshot, bool) {
	if e.Old == "" {
		return snapshot{}, true
	}
	slot.Path = e.Backup
	s, err := d.look(ctx, slot)
	s.info = transport.FileInfo{Attributes: e.Was}
	if err != nil || s.sum() != e.Old {
		d.job.Logger.WarnContext(ctx, "the backup of an unfinished deployment is gone or damaged", "path", e.Backup)
		return snapshot{}, false
	}
	return s, true
}

// settle ends a run: it removes the journal, what crashes left, and the oldest
// backups. The certificate is deployed whatever comes of this, so problems are
// sentences for the caller to pass on.
func (d *deployment) settle(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var warnings []string
	if err := d.removeIfThere(ctx, journalPath(d.target.Slots())); err != nil {
		warnings = append(warnings, fmt.Sprintf("The journal of the deployment could not be removed: %v.", err))
	}
	for _, f := range d.files {
		if err := errors.Join(d.dropWaiting(ctx, f), d.tidy(ctx, f, true)); err != nil {
			warnings = append(warnings, fmt.Sprintf("Old backups or temporary files of %s could not be removed: %v.", f.Path, err))
		}
	}
	return warnings
}

func (d *deployment) removeIfThere(ctx context.Context, path string) error {
	if err := d.job.Machine.Remove(ctx, path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// tidy removes temporary files that a killed run left of one file, of its
// backups and of the journal, and prunes its backups.
func (d *deployment) tidy(ctx context.Context, f file, prune bool) error {
	place, prefix := backupPlace(f.Path, d.job.Backups)
	directories := []string{place}
	for _, path := range []string{f.Path, f.found.info.Path} {
		if directory, _ := split(path); path != "" && !slices.Contains(directories, directory) {
			directories = append(directories, directory)
		}
	}
	_, base := split(f.Path)
	_, resolved := split(f.found.info.Path)
	var problems []error
	for _, directory := range directories {
		names, err := d.job.Machine.List(ctx, directory)
		problems = append(problems, err)
		var backups []string
		for _, name := range names {
			if transport.IsTemporary(name, base) || resolved != "" && transport.IsTemporary(name, resolved) {
				problems = append(problems, d.removeIfThere(ctx, below(directory, name)))
			} else if strings.HasPrefix(name, prefix) && directory == place && prune {
				backups = append(backups, name)
			}
		}
		slices.Sort(backups) // by time: it begins what differs
		for _, name := range backups[:max(0, len(backups)-max(0, d.job.Keep))] {
			problems = append(problems, d.removeIfThere(ctx, below(directory, name)))
		}
	}
	return errors.Join(problems...)
}
