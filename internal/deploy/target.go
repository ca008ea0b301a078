package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// Target is one kind of server. It is a FileTarget or a Service.
type Target interface {
	// Name is the target's name in configuration and messages.
	Name() string
}

// FileTarget is a Target by the files that the server reads and how it is told.
type FileTarget interface {
	Target

	// Slots lists the files the target reads, in the order they are replaced.
	Slots() []Slot

	// Test asks the server to check its configuration with the files in place.
	// It reports whether there was anything to ask; the error carries the
	// server's own words.
	Test(ctx context.Context, machine transport.Transport) (bool, error)

	// Reload tells the running server to load the files. It reports whether
	// there was anything to tell.
	Reload(ctx context.Context, machine transport.Transport) (bool, error)
}

// Starter is a FileTarget that knows whether its server runs and can start it. Its
// methods are called only after Test passed.
type Starter interface {
	Alive(ctx context.Context, machine transport.Transport) (bool, error)
	Start(ctx context.Context, machine transport.Transport) error
}

// Slot is one file of a target.
type Slot struct {
	Path   string      // absolute, in the manner of the machine
	Format Format      // what the file holds and how it is written
	Mode   fs.FileMode // wanted permission bits; 0 keeps those of a file that exists
}

// mode returns the permission bits for a file that does not exist yet.
func (s Slot) mode() fs.FileMode {
	switch {
	case s.Mode != 0:
		return s.Mode
	case s.Format.Parts().Key:
		return 0o600
	}
	return 0o644
}

// ErrPath says that a target's paths cannot be used as given.
var ErrPath = errors.New("the paths of the target cannot be used")

// checkSlots refuses paths that are relative or named twice.
func checkSlots(slots []Slot) error {
	if len(slots) == 0 {
		return fmt.Errorf("%w: none is set", ErrPath)
	}
	seen := map[string]bool{}
	var problems []error
	for _, slot := range slots {
		name := clean(slot.Path)
		switch {
		case !absolute(slot.Path):
			problems = append(problems, fmt.Errorf("%w: %q is not absolute", ErrPath, slot.Path))
		case strings.HasSuffix(slot.Path, "/") || strings.HasSuffix(slot.Path, `\`):
			problems = append(problems, fmt.Errorf("%w: %q names a directory", ErrPath, slot.Path))
		case seen[name]:
			problems = append(problems, fmt.Errorf("%w: %q is named twice", ErrPath, slot.Path))
		}
		seen[name] = true
		if slot.Mode&^fs.ModePerm != 0 {
			problems = append(problems, fmt.Errorf("the mode %o of %s is no permission", slot.Mode, slot.Path))
		}
	}
	return errors.Join(problems...)
}

// CheckPaths tells, without creating anything, whether a deployment could write
// the target's files and its backups. An empty backupDirectory means beside the
// files.
func CheckPaths(ctx context.Context, machine transport.Transport, target Target, backupDirectory string) error {
	files, ok := target.(FileTarget)
	if !ok || isOpen(target) {
		return nil
	}
	if err := checkSlots(files.Slots()); err != nil {
		return err
	}
	journal := machine.Check(ctx, journalPath(files.Slots()))
	if noWay(journal) {
		return journal // as it would be for each of the files
	}
	problems := []error{checkUnlocked(files.Slots()), journal}
	for _, slot := range files.Slots() {
		problems = append(problems, machine.Check(ctx, slot.Path))
		if err := machine.Check(ctx, backupPath(slot.Path, backupDirectory, "check")); err != nil {
			problems = append(problems, fmt.Errorf("the place for backups of %s: %w", slot.Path, err))
		}
	}
	return errors.Join(problems...)
}

// noWay reports whether an error is about the way to a machine.
func noWay(err error) bool {
	return slices.ContainsFunc([]error{transport.ErrUnreachable, transport.ErrConnection, transport.ErrHostKey, transport.ErrLogin, transport.ErrSudo},
		func(kind error) bool { return errors.Is(err, kind) })
}

// ErrNoPassword says that a file has a password which was not given.
var ErrNoPassword = errors.New("the password is missing")

func checkUnlocked(slots []Slot) error {
	for _, slot := range slots {
		if locked, ok := slot.Format.(Locked); ok && locked.Locked() {
			return fmt.Errorf("the keystore %s: %w: set password_wo", slot.Path, ErrNoPassword)
		}
	}
	return nil
}

// Paths here belong to the machine deployed to, which can be of another system
// than this process: both separators count, on Windows paths only.

func windows(name string) bool {
	return len(name) > 2 && name[1] == ':' && (name[2] == '\\' || name[2] == '/') || strings.HasPrefix(name, `\\`)
}

func anyWindows(names ...string) bool { return slices.ContainsFunc(names, windows) }

func absolute(name string) bool { return strings.HasPrefix(name, "/") || windows(name) }

// clean returns the form by which two spellings of a path are found equal.
func clean(name string) string {
	if windows(name) {
		return path.Clean(strings.ToLower(strings.ReplaceAll(name, `\`, "/")))
	}
	return path.Clean(name)
}

// split cuts a path after its last separator.
func split(name string) (directory, base string) {
	separators := "/"
	if windows(name) {
		separators = `/\`
	}
	at := strings.LastIndexAny(name, separators) + 1
	return name[:at], name[at:]
}

// below returns the path of a file in a directory.
func below(directory, base string) string {
	if strings.HasSuffix(directory, "/") || strings.HasSuffix(directory, `\`) {
		return directory + base
	}
	if windows(directory) {
		return directory + `\` + base
	}
	return directory + "/" + base
}
