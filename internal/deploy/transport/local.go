package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Local is the machine this process runs on. The zero value is ready.
type Local struct{}

var (
	_ Transport = Local{}
	_ Placed    = Local{}
)

// outputDelay is how long Run still reads after the command itself has ended,
// from a child that keeps its output open: a server that went to the background.
const outputDelay = time.Second

// ReadFile implements Transport.
func (l Local) ReadFile(ctx context.Context, path string) ([]byte, FileInfo, error) {
	// Stat first: opening a pipe would wait for its writer.
	info, err := l.Stat(ctx, path)
	if err != nil {
		return nil, info, err
	}
	file, err := os.Open(info.Path)
	if err != nil {
		return nil, FileInfo{}, err
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, FileInfo{}, err
	}
	if len(data) > MaxFileSize {
		return nil, FileInfo{}, fmt.Errorf("read %s: it is larger than %d bytes", path, MaxFileSize)
	}
	return data, info, nil
}

// Stat implements Transport.
func (Local) Stat(ctx context.Context, path string) (FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return FileInfo{}, err
	}
	resolved, err := follow(path)
	if err != nil {
		return FileInfo{}, err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return FileInfo{Path: resolved}, err
	}
	if !info.Mode().IsRegular() {
		return FileInfo{}, fmt.Errorf("read %s: it is no regular file (%s)", path, info.Mode().Type())
	}
	uid, gid := owner(info)
	return FileInfo{Attributes{info.Mode().Perm(), uid, gid, label(resolved)}, resolved, names(info)}, nil
}

// Stage implements Transport.
func (Local) Stage(ctx context.Context, path string, data []byte, attributes Attributes) (Staged, error) {
	if err := ctx.Err(); err != nil {
		return Staged{}, err
	}
	resolved, err := follow(path)
	if err != nil {
		return Staged{}, err
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return Staged{}, fmt.Errorf("draw a temporary name: %w", err)
	}
	temporary := filepath.Join(filepath.Dir(resolved), "."+filepath.Base(resolved)+temporaryMark+hex.EncodeToString(random))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Staged{}, err
	}
	err = fill(file, data, attributes)
	if err = errors.Join(err, file.Close()); err != nil {
		return Staged{}, errors.Join(fmt.Errorf("stage %s: %w", path, err), os.Remove(temporary))
	}
	return Staged{temporary, resolved}, nil
}

// fill writes the content before the attributes: while it is written, only its
// owner can read it.
func fill(file *os.File, data []byte, attributes Attributes) error {
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := setOwner(file, attributes.UID, attributes.GID); err != nil {
		return fmt.Errorf("keep its owner %d:%d: %w", attributes.UID, attributes.GID, err)
	}
	// After the owner: changing that clears mode bits.
	if err := file.Chmod(attributes.Mode.Perm()); err != nil {
		return err
	}
	if attributes.Label != "" && attributes.Label != label(file.Name()) {
		if err := setLabel(file, attributes.Label); err != nil {
			return fmt.Errorf("keep its label %s: %w", attributes.Label, err)
		}
	}
	return file.Sync()
}

// Rename implements Transport.
func (Local) Rename(ctx context.Context, staged Staged) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(staged.Temporary, staged.Path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(staged.Path))
}

// Remove implements Transport.
func (Local) Remove(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	resolved, err := follow(path)
	if err != nil {
		return err
	}
	// On a read-only filesystem, removing what is not there reports something
	// other than that it is not there.
	if _, err := os.Lstat(resolved); err != nil {
		return err
	}
	if err := os.Remove(resolved); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(resolved))
}

// List implements Transport.
func (Local) List(ctx context.Context, directory string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(directory)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// Check implements Transport.
func (Local) Check(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	resolved, err := follow(path)
	if err != nil {
		return err
	}
	switch info, err := os.Stat(resolved); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory, want the path of a file", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file (%s)", path, info.Mode().Type())
	}
	directory := filepath.Dir(resolved)
	info, err := os.Stat(directory)
	if err != nil {
		return fmt.Errorf("the directory of %s: %w", path, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the directory of %s: %s is a file", path, directory)
	}
	if err := writable(directory); err != nil {
		return fmt.Errorf("the directory %s cannot be written to: %w", directory, err)
	}
	return nil
}

// Run implements Transport.
func (Local) Run(ctx context.Context, argv []string, stdin []byte) (Output, error) {
	if len(argv) == 0 {
		return Output{}, errors.New("run: the argument list is empty")
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	ownGroup(command)
	out := &bounded{}
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(stdin), out, out
	command.WaitDelay = outputDelay
	err := command.Run()
	if ctx.Err() != nil {
		return Output{}, fmt.Errorf("run %s: %w", argv[0], ctx.Err())
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return Output{Text: out.String()}, nil
	case errors.As(err, &exit):
		return Output{Text: out.String(), ExitCode: exit.ExitCode()}, nil
	}
	return Output{}, fmt.Errorf("run %s: %w", argv[0], err)
}

// Dial implements Dialer.
func (Local) Dial(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// Place implements Placed.
func (Local) Place() string { return "local" }

// Close implements Transport; there is nothing to give up.
func (Local) Close() error { return nil }

// follow returns the path at the end of a chain of symbolic links, whether a
// file exists there or not. Links among the directories are left to the system.
func follow(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is no absolute path", path)
	}
	for at, hops := path, 0; hops < 40; hops++ {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return at, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return at, nil
		}
		link, err := os.Readlink(at)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			// Not Join: it would cut "x/.." although x can be a link too.
			link = filepath.Dir(at) + string(filepath.Separator) + link
		}
		at = link
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// bounded keeps the first MaxOutput bytes written to it and drops the rest. A
// command and the reader of its late output may meet in it.
type bounded struct {
	mu   sync.Mutex
	text []byte
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), MaxOutput-len(b.text))]...)
	return len(p), nil
}

func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
