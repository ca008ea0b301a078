package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
)

// sftpFiles does the steps over SFTP. What SFTP cannot, the tools of the shell
// do, unless the account has no shell.
type sftpFiles struct {
	link  *link
	shell shellFiles

	mu     sync.Mutex
	client *sftp.Client
}

var _ posixFiles = (*sftpFiles)(nil)

// errNoSFTP says that a server has no SFTP, or none that can replace a file in
// one step and make that durable.
var errNoSFTP = errors.New("the server has no SFTP with posix-rename@openssh.com and fsync@openssh.com")

// connect opens the subsystem unless it is open.
func (s *sftpFiles) connect(ctx context.Context) (*sftp.Client, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		return client, nil
	}
	channel, requests, err := s.link.open(ctx)
	if err != nil {
		return nil, err
	}
	// The server may end the subsystem at any time; the channel's turn ends then.
	go func() {
		for request := range requests {
			if request.WantReply {
				_ = request.Reply(false, nil) // a keepalive; who does not answer is gone
			}
		}
		s.link.release(channel)
	}()
	if err := s.link.request(ctx, channel, "subsystem", sftpSubsystem()); err != nil {
		_ = channel.Close() // it is of no use
		if errors.Is(err, errRefused) {
			return nil, fmt.Errorf("%w: %w", errNoSFTP, err)
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	client, err = sftp.NewClientPipe(channel, channel)
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		_ = channel.Close() // it is of no use
		if s.link.lost() {
			return nil, s.link.why()
		}
		return nil, fmt.Errorf("%w: %w", errNoSFTP, err)
	}
	for _, extension := range []string{"posix-rename@openssh.com", "fsync@openssh.com"} {
		if _, ok := client.HasExtension(extension); !ok {
			hangUp(client)
			return nil, errNoSFTP
		}
	}
	return s.keep(client), nil
}

func sftpSubsystem() []byte { return append([]byte{0, 0, 0, 4}, "sftp"...) }

// keep makes a client the one that is used, unless another call was faster.
func (s *sftpFiles) keep(client *sftp.Client) *sftp.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		hangUp(client)
		return s.client
	}
	s.client = client
	go func() {
		_ = client.Wait() // the reason is in the errors of those who used it
		s.drop(client)
	}()
	return client
}

// drop gives a client up; those who use it get an error.
func (s *sftpFiles) drop(client *sftp.Client) {
	s.mu.Lock()
	if s.client == client {
		s.client = nil
	}
	s.mu.Unlock()
	hangUp(client)
}

// hangUp does not wait for the server, as Close does. What was asked is answered
// with an error.
func hangUp(client *sftp.Client) { go func() { _ = client.Close() }() }

// patience is how long a step may still take after its context has ended,
// before the whole SFTP session is given up: the library knows no contexts.
const patience = 300 * time.Millisecond

// do runs steps, which check ctx between them, and does not outlive ctx.
func do[T any](ctx context.Context, s *sftpFiles, steps func(*sftp.Client) (T, error)) (T, error) {
	var none T
	client, err := s.connect(ctx)
	if err != nil {
		return none, err
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := steps(client)
		done <- outcome{value, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case o = <-done:
		case <-timer.C:
			s.drop(client)
			return none, ctx.Err()
		}
	}
	switch {
	case o.err == nil:
	case s.link.lost():
		o.err = s.link.why()
	case errors.Is(o.err, sftp.ErrSSHFxConnectionLost), errors.Is(o.err, io.EOF), errors.Is(o.err, io.ErrUnexpectedEOF):
		o.err = fmt.Errorf("%w: the SFTP session ended", ErrConnection)
	}
	return o.value, o.err
}

func (s *sftpFiles) lstat(ctx context.Context, name string) (posixEntry, error) {
	entry, err := do(ctx, s, func(client *sftp.Client) (posixEntry, error) {
		info, err := client.Lstat(name)
		if err != nil {
			return posixEntry{}, err
		}
		return entryOf(info), nil
	})
	if err == nil && entry.mode.IsRegular() && s.shell.selinux(ctx) {
		entry.label, err = s.shell.label(ctx, name)
	}
	return entry, err
}

func entryOf(info fs.FileInfo) posixEntry {
	entry := posixEntry{mode: info.Mode(), uid: Unknown, gid: Unknown}
	if stat, ok := info.Sys().(*sftp.FileStat); ok {
		entry.uid, entry.gid = int(stat.UID), int(stat.GID)
	}
	return entry
}

func (s *sftpFiles) readlink(ctx context.Context, name string) (string, error) {
	return do(ctx, s, func(client *sftp.Client) (string, error) { return client.ReadLink(name) })
}

func (s *sftpFiles) read(ctx context.Context, name string) ([]byte, error) {
	return do(ctx, s, func(client *sftp.Client) ([]byte, error) {
		file, err := client.Open(name)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(untilDone{ctx, file}, MaxFileSize+1))
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		if len(data) > MaxFileSize {
			return nil, fmt.Errorf("it is larger than %d bytes", MaxFileSize)
		}
		return data, nil
	})
}

// untilDone reads and writes until its context ends.
type untilDone struct {
	ctx  context.Context //nolint:containedctx // lives within one call
	file *sftp.File
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.file.Read(p)
}

func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.file.Write(p)
}

// chunk is written at a time, and the context looked at in between.
const chunk = 256 << 10

func (s *sftpFiles) create(ctx context.Context, name string, data []byte, attributes Attributes) error {
	_, err := do(ctx, s, func(client *sftp.Client) (struct{}, error) {
		err := empty(ctx, client, name)
		if err == nil {
			err = fillRemote(ctx, client, name, data, attributes)
		}
		return struct{}{}, explain(client, name, len(data), err)
	})
	if err != nil || attributes.Label == "" || !s.shell.selinux(ctx) {
		return err
	}
	if err := s.shell.setAttributes(ctx, name, attributes); err != nil {
		return err
	}
	_, err = s.shell.tool(ctx, "sync", name)
	return err
}

// empty makes an empty file that nobody but its owner can have open. SFTP's open
// gives a new file the rights that everybody's umask leaves, so it is made in a
// directory that nobody else can enter, and then moved.
func empty(ctx context.Context, client *sftp.Client, name string) error {
	directory, err := temporaryName(path.Dir(name), path.Base(name))
	if err != nil {
		return err
	}
	if err := client.Mkdir(directory); err != nil {
		return err
	}
	inside := directory + "/new"
	for _, step := range []func() error{
		func() error { return client.Chmod(directory, 0o700) },
		func() error {
			file, err := client.OpenFile(inside, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
			if err != nil {
				return err
			}
			return errors.Join(file.Chmod(0o600), file.Close())
		},
		func() error { return client.PosixRename(inside, name) },
	} {
		if err = ctx.Err(); err == nil {
			err = step()
		}
		if err != nil {
			// An error that the server cannot make a file comes first.
			_ = client.Remove(inside)
			_ = client.RemoveDirectory(directory)
			return err
		}
	}
	return client.RemoveDirectory(directory)
}

// fillRemote writes the content before the attributes: while it is written, only
// its owner can read it.
func fillRemote(ctx context.Context, client *sftp.Client, name string, data []byte, attributes Attributes) error {
	file, err := client.OpenFile(name, os.O_RDWR)
	if err != nil {
		return err
	}
	for rest := data; len(rest) > 0 && err == nil; {
		var n int
		n, err = untilDone{ctx, file}.Write(rest[:min(len(rest), chunk)])
		rest = rest[n:]
	}
	if err == nil {
		err = setRemote(file, attributes)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func setRemote(file *sftp.File, attributes Attributes) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	made := entryOf(info)
	if owner := ownerSpec(made, attributes); owner != "" {
		uid, gid := made.uid, made.gid
		if attributes.UID != Unknown {
			uid = attributes.UID
		}
		if attributes.GID != Unknown {
			gid = attributes.GID
		}
		if err := file.Chown(uid, gid); err != nil {
			return fmt.Errorf("keep its owner %s: %w", owner, err)
		}
	}
	return file.Chmod(attributes.Mode.Perm())
}

// explain finds out what a server means that only says "failure": SFTP has no
// number for a full disk.
func explain(client *sftp.Client, name string, size int, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure {
		return err
	}
	disk, failed := client.StatVFS(path.Dir(name))
	switch {
	case failed != nil:
	case disk.Flag&1 != 0: // ST_RDONLY
		return fmt.Errorf("%w (the server says: %w)", syscall.EROFS, err)
	case disk.Bavail*disk.Frsize < uint64(size)+disk.Frsize, disk.Files > 0 && disk.Favail == 0:
		return fmt.Errorf("%w (the server says: %w)", syscall.ENOSPC, err)
	}
	return err
}

func (s *sftpFiles) rename(ctx context.Context, from, to string) error {
	_, err := do(ctx, s, func(client *sftp.Client) (struct{}, error) {
		// A server only says that a rename failed, not that there is nothing.
		if _, err := client.Lstat(from); err != nil {
			return struct{}{}, err
		}
		if err := client.PosixRename(from, to); err != nil {
			if info, other := client.Lstat(to); other == nil && info.IsDir() {
				err = fmt.Errorf("there is a directory: %w", err)
			}
			return struct{}{}, err
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	return s.sync(ctx, path.Dir(to))
}

func (s *sftpFiles) remove(ctx context.Context, name string) error {
	_, err := do(ctx, s, func(client *sftp.Client) (struct{}, error) { return struct{}{}, client.Remove(name) })
	if err != nil {
		return err
	}
	return s.sync(ctx, path.Dir(name))
}

// sync makes changes of a directory durable. Not every server opens directories
// for that.
func (s *sftpFiles) sync(ctx context.Context, directory string) error {
	_, err := do(ctx, s, func(client *sftp.Client) (struct{}, error) {
		file, err := client.Open(directory)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, errors.Join(file.Sync(), file.Close())
	})
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	_, err = s.shell.tool(ctx, "sync", directory)
	if errors.Is(err, errNoCommand) { // there is no other way
		return nil
	}
	return err
}

func (s *sftpFiles) list(ctx context.Context, directory string) ([]string, error) {
	return do(ctx, s, func(client *sftp.Client) ([]string, error) {
		entries, err := client.ReadDirContext(ctx, strings.TrimSuffix(directory, "/")+"/")
		names := make([]string, len(entries))
		for i, entry := range entries {
			names[i] = entry.Name()
		}
		return names, err
	})
}

// writable needs the shell. Without one, Stage will tell.
func (s *sftpFiles) writable(ctx context.Context, directory string) error {
	err := s.shell.writable(ctx, directory)
	if errors.Is(err, errNoCommand) {
		return nil
	}
	return err
}
