// Package transport reaches the machine a certificate is deployed to: it reads,
// replaces and removes single files there and runs commands.
//
// It is not a general file or shell library: a file is replaced as a whole or
// not at all, and a command is an argument list that no shell ever sees. Its
// invariant: at every moment a reader of a path sees either the whole old or
// the whole new content, and content reaches the machine only on stdin or as
// file data, never in an argument.
package transport

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
)

// Transport is one machine. Paths are absolute and in that machine's own
// manner. A path whose last element is a symbolic link stands for the file the
// link points to, and the link is kept. Errors about a missing file match
// fs.ErrNotExist. Implementations are safe for concurrent use.
type Transport interface {
	// ReadFile returns the whole content of a regular file and what is known
	// about it. It refuses files over MaxFileSize. Of a missing file it returns
	// FileInfo.Path all the same.
	ReadFile(ctx context.Context, path string) ([]byte, FileInfo, error)

	// Stat returns what ReadFile knows about a file besides its content, which
	// stays where it is (Windows has no such step, and there it is read).
	Stat(ctx context.Context, path string) (FileInfo, error)

	// Stage writes data to a temporary file in the directory of the file that
	// path stands for, readable by its owner alone until it is complete, gives
	// it the attributes and makes it durable. On an error nothing is left.
	Stage(ctx context.Context, path string, data []byte, attributes Attributes) (Staged, error)

	// Rename puts a staged file in the place it was staged for, in one step,
	// and makes that durable.
	Rename(ctx context.Context, staged Staged) error

	// Remove deletes the file that path stands for.
	Remove(ctx context.Context, path string) error

	// List returns the names of the entries of a directory, sorted.
	List(ctx context.Context, directory string) ([]string, error)

	// Check tells, without creating anything, whether Stage and Rename could
	// write path: its directory exists and can be written to, and path is no
	// directory itself.
	Check(ctx context.Context, path string) error

	// Run executes argv with stdin and waits for it. A command that ran and
	// exited with any code is no error. When ctx ends, the command and what it
	// started are killed.
	Run(ctx context.Context, argv []string, stdin []byte) (Output, error)

	// Close gives up the connection to the machine.
	Close() error
}

// Dialer is a Transport that connects to what the machine itself reaches, its own
// loopback addresses included.
type Dialer interface {
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// Placed is a Transport that tells one machine from another: deployments to
// equal places are to take turns, whatever the hosts are called.
type Placed interface{ Place() string }

// Limits of what a Transport carries.
const (
	MaxFileSize = 16 << 20  // bytes of a file that is read
	MaxOutput   = 256 << 10 // bytes kept of a command's output
)

// Unknown stands for an owner or group that is left to the machine.
const Unknown = -1

// Attributes are what a file has besides its content.
type Attributes struct {
	Mode  fs.FileMode // the nine permission bits
	UID   int         // numeric owner, or Unknown
	GID   int         // numeric group, or Unknown
	Label string      // SELinux label, on Windows the access list in SDDL; empty is left to the machine
}

// FileInfo describes a file that was read.
type FileInfo struct {
	Attributes
	Path  string // where the file really is, symbolic links followed
	Links int    // how many names (hard links) it has; 0 where the machine does not tell
}

// Staged is a complete file waiting for its rename. To give it up, Remove its
// Temporary.
type Staged struct {
	Temporary string // the path it has now
	Path      string // the path it will have, symbolic links followed
}

// Output is what a finished command left.
type Output struct {
	Text     string // stdout and stderr as they came, the first MaxOutput bytes
	ExitCode int    // -1 when a signal ended it
}

// temporaryMark stands in the name of every temporary file, before 16 hex
// digits.
const temporaryMark = ".certificate-new-"

// IsTemporary reports whether a directory entry is a temporary file of Stage
// for a file whose own name begins with base. After a crash it may be removed.
func IsTemporary(name, base string) bool {
	name, random, ok := strings.Cut(name, temporaryMark)
	return ok && len(random) == 16 && strings.Trim(random, "0123456789abcdef") == "" &&
		strings.HasPrefix(strings.TrimLeft(name, "."), strings.TrimLeft(base, "."))
}

// Temporary draws a name that IsTemporary knows, for a file beside one whose name
// is base.
func Temporary(base string) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	return "." + base + temporaryMark + hex.EncodeToString(random[:])
}

// WriteFile replaces or creates the file that path stands for.
func WriteFile(ctx context.Context, t Transport, path string, data []byte, attributes Attributes) error {
	staged, err := t.Stage(ctx, path, data, attributes)
	if err != nil {
		return err
	}
	if err := t.Rename(ctx, staged); err != nil {
		removed := t.Remove(context.WithoutCancel(ctx), staged.Temporary)
		if errors.Is(removed, fs.ErrNotExist) { // the rename itself had happened
			removed = nil
		}
		return errors.Join(err, removed)
	}
	return nil
}

// ExitError turns an output with an exit code other than 0 into an error that
// carries the command's own words.
func ExitError(argv []string, out Output) error {
	if out.ExitCode == 0 {
		return nil
	}
	how := fmt.Sprintf("exited with %d", out.ExitCode)
	if out.ExitCode < 0 {
		how = "was ended by a signal"
	}
	if words := strings.TrimSpace(out.Text); words != "" {
		return fmt.Errorf("%s %s: %s", strings.Join(argv, " "), how, words)
	}
	return fmt.Errorf("%s %s and said nothing", strings.Join(argv, " "), how)
}
