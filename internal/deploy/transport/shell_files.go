package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// shellFiles does the steps with the tools of a POSIX system: where there is no
// SFTP, and where files belong to another user. Each step is a program with
// arguments, so that sudoers can name what is allowed; content goes over stdin.
type shellFiles struct {
	commands *elevated
	selinux  func(ctx context.Context) bool
}

var _ posixFiles = shellFiles{}

// tool runs one of the programs and returns what it said.
func (s shellFiles) tool(ctx context.Context, argv ...string) (string, error) {
	result, err := s.commands.run(ctx, call{argv: argv, limit: MaxOutput, deaf: true})
	if err != nil {
		return "", err
	}
	return string(result.out), failure(argv, result)
}

func (s shellFiles) lstat(ctx context.Context, name string) (posixEntry, error) {
	text, err := s.tool(ctx, "ls", "-ldn", name)
	if err != nil {
		return posixEntry{}, err
	}
	entry, err := parseListing(text)
	if err != nil {
		return posixEntry{}, err
	}
	if entry.mode.IsRegular() && s.selinux(ctx) {
		entry.label, err = s.label(ctx, name)
	}
	return entry, err
}

// label asks for the SELinux label; a file need not have one.
func (s shellFiles) label(ctx context.Context, name string) (string, error) {
	text, err := s.tool(ctx, "stat", "-c", "%C", name)
	var said *toolError
	if text = strings.TrimSpace(text); text == "?" || errors.As(err, &said) && said.reason == nil {
		return "", nil
	}
	return text, err
}

// parseListing reads the mode, owner and group that "ls -ldn" prints (POSIX).
func parseListing(text string) (posixEntry, error) {
	fields := strings.Fields(text)
	if len(fields) < 5 || len(fields[0]) < 10 {
		return posixEntry{}, fmt.Errorf("cannot read what ls says: %q", text)
	}
	var entry posixEntry
	switch fields[0][0] {
	case '-':
	case 'd':
		entry.mode = fs.ModeDir
	case 'l':
		entry.mode = fs.ModeSymlink
	case 'p':
		entry.mode = fs.ModeNamedPipe
	case 's':
		entry.mode = fs.ModeSocket
	default:
		entry.mode = fs.ModeDevice
	}
	for i, c := range fields[0][1:10] {
		if strings.ContainsRune("rwxst", c) { // S and T stand for a bit without x
			entry.mode |= 1 << (8 - i)
		}
	}
	var err, other error
	entry.uid, err = strconv.Atoi(fields[2])
	entry.gid, other = strconv.Atoi(fields[3])
	if entry.mode.IsRegular() {
		entry.links, _ = strconv.Atoi(fields[1]) // 0 is "not told"
	}
	if err != nil || other != nil {
		return posixEntry{}, fmt.Errorf("cannot read what ls says: %q", text)
	}
	return entry, nil
}

func (s shellFiles) readlink(ctx context.Context, name string) (string, error) {
	text, err := s.tool(ctx, "readlink", name)
	return strings.TrimSuffix(text, "\n"), err
}

func (s shellFiles) read(ctx context.Context, name string) ([]byte, error) {
	argv := []string{"cat", name}
	result, err := s.commands.run(ctx, call{argv: argv, limit: MaxFileSize + 1, deaf: true})
	if err != nil {
		return nil, err
	}
	if result.code != 0 {
		result.out = nil // file content has no place in an error
		return nil, failure(argv, result)
	}
	if len(result.out) > MaxFileSize {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxFileSize)
	}
	return result.out, nil
}

// create makes an empty file first, because the tool that fills it would make
// one that everybody can read.
func (s shellFiles) create(ctx context.Context, name string, data []byte, attributes Attributes) error {
	if _, err := s.tool(ctx, "install", "-m", "600", "/dev/null", name); err != nil {
		return err
	}
	argv := []string{"dd", "of=" + name, "bs=65536", "conv=notrunc"}
	result, err := s.commands.run(ctx, call{argv: argv, stdin: data, limit: MaxOutput})
	if err != nil {
		return err
	}
	if err := failure(argv, result); err != nil {
		return err
	}
	if result.unread {
		return errors.New("dd ended before it had read everything")
	}
	if err := s.setAttributes(ctx, name, attributes); err != nil {
		return err
	}
	_, err = s.tool(ctx, "sync", name)
	return err
}

func (s shellFiles) setAttributes(ctx context.Context, name string, attributes Attributes) error {
	made, err := s.lstat(ctx, name)
	if err != nil {
		return err
	}
	if owner := ownerSpec(made, attributes); owner != "" {
		if _, err := s.tool(ctx, "chown", owner, name); err != nil {
			return fmt.Errorf("keep its owner %s: %w", owner, err)
		}
	}
	if mode := attributes.Mode.Perm(); mode != made.mode.Perm() {
		if _, err := s.tool(ctx, "chmod", fmt.Sprintf("%o", mode), name); err != nil {
			return err
		}
	}
	if attributes.Label != "" && attributes.Label != made.label {
		if _, err := s.tool(ctx, "chcon", attributes.Label, name); err != nil {
			return fmt.Errorf("keep its label %s: %w", attributes.Label, err)
		}
	}
	return nil
}

// ownerSpec is what to give chown; empty when nothing differs.
func ownerSpec(made posixEntry, attributes Attributes) string {
	var user, group string
	if attributes.UID != Unknown && attributes.UID != made.uid {
		user = strconv.Itoa(attributes.UID)
	}
	if attributes.GID != Unknown && attributes.GID != made.gid {
		group = ":" + strconv.Itoa(attributes.GID)
	}
	return user + group
}

// rename looks first: mv would move the file into a directory.
func (s shellFiles) rename(ctx context.Context, from, to string) error {
	entry, err := s.lstat(ctx, to)
	if err == nil && entry.mode.IsDir() {
		return errors.New("there is a directory")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := s.tool(ctx, "mv", "-f", from, to); err != nil {
		return err
	}
	_, err = s.tool(ctx, "sync", path.Dir(to))
	return err
}

func (s shellFiles) remove(ctx context.Context, name string) error {
	if _, err := s.tool(ctx, "rm", name); err != nil {
		return err
	}
	_, err := s.tool(ctx, "sync", path.Dir(name))
	return err
}

// list cannot tell a line break in a name from one between two names; no name
// that is looked for has one.
func (s shellFiles) list(ctx context.Context, directory string) ([]string, error) {
	argv := []string{"ls", "-A1", strings.TrimSuffix(directory, "/") + "/"}
	result, err := s.commands.run(ctx, call{argv: argv, limit: MaxFileSize, deaf: true})
	if err != nil {
		return nil, err
	}
	if err := failure(argv, result); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(result.out), func(r rune) bool { return r == '\n' }), nil
}

// writable asks test(1), which knows of read-only mounts too, but gives no
// reason.
func (s shellFiles) writable(ctx context.Context, directory string) error {
	for _, right := range []string{"-w", "-x"} {
		argv := []string{"test", right, directory}
		result, err := s.commands.run(ctx, call{argv: argv, limit: MaxOutput, deaf: true})
		switch {
		case err != nil:
			return err
		case result.code == 1 && words(result) == "":
			return fs.ErrPermission
		}
		if err := failure(argv, result); err != nil {
			return err
		}
	}
	return nil
}
