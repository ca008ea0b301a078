package transport

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Windows is a machine with Windows PowerShell, reached by WinRM or by SSH. Of a
// file's mode it keeps whether everybody may read it: Attributes.Label has the
// whole access list. A command's output has stdout before stderr.
type Windows struct {
	shell   windowsShell
	timeout time.Duration
}

var (
	_ Transport = (*Windows)(nil)
	_ Placed    = (*Windows)(nil)
)

// windowsShell runs one command line.
type windowsShell interface {
	command(ctx context.Context, j job) (ended, error)
	Place() string
	Close() error
}

// privateList lets the system, administrators and the owner in, and nobody else.
const privateList = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)"

// windowsCall is what a script is told, windowsReply what it answers.
type windowsCall struct {
	Path      string `json:"path,omitempty"`
	Temporary string `json:"temporary,omitempty"`
	Suffix    string `json:"suffix,omitempty"`
	Private   string `json:"private,omitempty"`
	Label     string `json:"label"`
	File      string `json:"file,omitempty"`
	Arguments string `json:"arguments"`
	Limit     int    `json:"limit,omitempty"`
}

type windowsReply struct {
	Error     string   `json:"error"`
	Kind      string   `json:"kind"`
	Path      string   `json:"path"`
	Temporary string   `json:"temporary"`
	Label     string   `json:"label"`
	Names     []string `json:"names"`
	Code      int      `json:"code"`

	content []byte
}

// windowsError is what a script could not do, in Windows' own words.
type windowsError struct{ words, kind string }

func (w *windowsError) Error() string { return strings.TrimSuffix(strings.TrimSpace(w.words), ".") }

func (w *windowsError) Unwrap() error {
	switch w.kind {
	case "missing":
		return fs.ErrNotExist
	case "denied":
		return fs.ErrPermission
	case "full":
		return syscall.ENOSPC
	case "readonly":
		return syscall.EROFS
	}
	return nil
}

// lineLength is how much of the content is on a line of stdin.
const lineLength = 4096

// run has a script do its work.
func (w *Windows) run(ctx context.Context, script string, call windowsCall, data []byte) (windowsReply, error) {
	if err := ctx.Err(); err != nil {
		return windowsReply{}, err
	}
	within, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	stdin, err := windowsStdin(call, data)
	if err != nil {
		return windowsReply{}, err
	}
	process := make(chan string, 1)
	result, err := w.shell.command(within, job{
		line: powerShellLine(script), stdin: stdin, limit: 2 * MaxFileSize, bare: true,
		first: func(number string) { process <- strings.TrimSpace(number) },
		kill:  func(ctx context.Context) { w.kill(ctx, process) },
	})
	if err != nil {
		if ctx.Err() == nil && within.Err() != nil {
			err = fmt.Errorf("%w: no end after %s (command_timeout)", err, w.timeout)
		}
		return windowsReply{}, err
	}
	return readReply(result)
}

// windowsStdin is the call, and the content in lines of its own.
func windowsStdin(call windowsCall, data []byte) ([]byte, error) {
	told, err := json.Marshal(call)
	if err != nil {
		return nil, fmt.Errorf("write what PowerShell is to do: %w", err)
	}
	var text bytes.Buffer
	text.WriteString(base64.StdEncoding.EncodeToString(told) + "\r\n")
	encoded := base64.StdEncoding.EncodeToString(data)
	for line := range slices.Chunk([]byte(encoded), lineLength) {
		text.Write(line)
		text.WriteString("\r\n")
	}
	return text.Bytes(), nil
}

func readReply(result ended) (windowsReply, error) {
	lines := strings.Fields(string(result.out))
	var reply windowsReply
	told, err := []byte(nil), errors.New("no answer")
	if len(lines) > 0 {
		told, err = base64.StdEncoding.DecodeString(lines[0])
	}
	if err == nil {
		err = json.Unmarshal(told, &reply)
	}
	if err == nil && len(lines) > 1 {
		reply.content, err = base64.StdEncoding.DecodeString(lines[1])
	}
	if err != nil {
		// What it printed can be file content, what it complained of cannot.
		return windowsReply{}, fmt.Errorf("PowerShell's answer cannot be read: %w; it exited with %d and complained: %.500s", err, result.code, bytes.TrimSpace(result.errs))
	}
	if reply.Error != "" {
		return reply, &windowsError{reply.Error, reply.Kind}
	}
	return reply, nil
}

// kill ends a script with all it started.
func (w *Windows) kill(ctx context.Context, process <-chan string) {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	select {
	case number := <-process:
		if number != "" && strings.Trim(number, "0123456789") == "" {
			// That there is nobody left to kill is what is wanted; an error of
			// the connection has been reported.
			_, _ = w.shell.command(ctx, job{line: "taskkill /T /F /PID " + number, limit: MaxOutput, bare: true})
		}
	case <-ctx.Done():
	}
}

// absolutePath refuses what would depend on a current directory.
func absolutePath(path string) error {
	if drive := len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/'); drive || strings.HasPrefix(path, `\\`) {
		return nil
	}
	return fmt.Errorf(`%q is no absolute path such as C:\nginx\conf\web.pem`, path)
}

// ReadFile implements Transport.
func (w *Windows) ReadFile(ctx context.Context, path string) ([]byte, FileInfo, error) {
	if err := absolutePath(path); err != nil {
		return nil, FileInfo{}, err
	}
	reply, err := w.run(ctx, scriptRead(), windowsCall{Path: path, Limit: MaxFileSize}, nil)
	if err != nil {
		return nil, FileInfo{Path: reply.Path}, fmt.Errorf("read %s: %w", path, err)
	}
	return reply.content, FileInfo{Attributes: Attributes{modeOf(reply.Label), Unknown, Unknown, reply.Label}, Path: reply.Path}, nil
}

// modeOf says in a mode whom an access list in SDDL lets in: only certain
// accounts, or a group that stands for users at large, such as WD (everyone), AU
// (who logged in) and BU (users).
func modeOf(list string) fs.FileMode {
	allowed := regexp.MustCompile(`\(A;[^;)]*;[^;)]*;[^;)]*;[^;)]*;(WD|AU|BU|BG|AN|IU|NU|DU)[;)]`)
	if allowed.MatchString(list) {
		return 0o644
	}
	return 0o600
}

// Stat implements Transport.
func (w *Windows) Stat(ctx context.Context, path string) (FileInfo, error) {
	_, info, err := w.ReadFile(ctx, path)
	return info, err
}

// Stage implements Transport.
func (w *Windows) Stage(ctx context.Context, path string, data []byte, attributes Attributes) (Staged, error) {
	if err := absolutePath(path); err != nil {
		return Staged{}, err
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return Staged{}, fmt.Errorf("draw a temporary name: %w", err)
	}
	call := windowsCall{Path: path, Suffix: temporaryMark + hex.EncodeToString(random), Private: privateList, Label: attributes.Label}
	// A mode that was asked for goes before the list of the file that was there.
	if private := attributes.Mode&0o077 == 0; attributes.Label == "" || modeOf(attributes.Label)&0o077 == 0 != private {
		if call.Label = ""; private {
			call.Label = privateList
		}
	}
	reply, err := w.run(ctx, scriptStage(), call, data)
	if err != nil {
		return Staged{}, fmt.Errorf("stage %s: %w", path, err)
	}
	return Staged{reply.Temporary, reply.Path}, nil
}

// Rename implements Transport.
func (w *Windows) Rename(ctx context.Context, staged Staged) error {
	if _, err := w.run(ctx, scriptRename(), windowsCall{Temporary: staged.Temporary, Path: staged.Path}, nil); err != nil {
		return fmt.Errorf("rename %s to %s: %w", staged.Temporary, staged.Path, err)
	}
	return nil
}

// Remove implements Transport.
func (w *Windows) Remove(ctx context.Context, path string) error {
	return w.simple(ctx, "remove", scriptRemove(), path)
}

// Check implements Transport. Whether the access list allows writing only an
// attempt would tell.
func (w *Windows) Check(ctx context.Context, path string) error {
	return w.simple(ctx, "check", scriptCheck(), path)
}

func (w *Windows) simple(ctx context.Context, what, script, path string) error {
	if err := absolutePath(path); err != nil {
		return err
	}
	if _, err := w.run(ctx, script, windowsCall{Path: path}, nil); err != nil {
		return fmt.Errorf("%s %s: %w", what, path, err)
	}
	return nil
}

// List implements Transport.
func (w *Windows) List(ctx context.Context, directory string) ([]string, error) {
	if err := absolutePath(directory); err != nil {
		return nil, err
	}
	reply, err := w.run(ctx, scriptList(), windowsCall{Path: directory}, nil)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", directory, err)
	}
	slices.Sort(reply.Names)
	return reply.Names, nil
}

// Run implements Transport.
func (w *Windows) Run(ctx context.Context, argv []string, stdin []byte) (Output, error) {
	if len(argv) == 0 {
		return Output{}, errors.New("run: the argument list is empty")
	}
	if err := checkBatch(argv); err != nil {
		return Output{}, err
	}
	arguments, err := windowsLine(argv[1:])
	if err != nil {
		return Output{}, fmt.Errorf("run %s: %w", argv[0], err)
	}
	reply, err := w.run(ctx, scriptRun(), windowsCall{File: argv[0], Arguments: arguments, Limit: MaxOutput}, stdin)
	if err != nil {
		return Output{}, fmt.Errorf("run %s: %w", argv[0], err)
	}
	return Output{Text: string(reply.content), ExitCode: reply.Code}, nil
}

// Place implements Placed.
func (w *Windows) Place() string { return w.shell.Place() }

// Close implements Transport.
func (w *Windows) Close() error { return w.shell.Close() }

// NewWindowsOverSSH is a Windows with OpenSSH's server. It does not connect.
func NewWindowsOverSSH(options SSHOptions) (*Windows, error) {
	if options.Become != nil {
		return nil, errors.New("there is no sudo on Windows: log in as a user who may write the files")
	}
	machine, err := NewSSH(options)
	if err != nil {
		return nil, err
	}
	machine.windows = true
	return &Windows{overSSH{machine}, cmp.Or(options.CommandTimeout, defaultCommandTimeout)}, nil
}

// overSSH runs command lines on an SSH connection; which shell takes them there
// does not matter.
type overSSH struct{ *SSH }

func (o overSSH) command(ctx context.Context, j job) (ended, error) {
	now, err := o.connect(ctx)
	if err != nil {
		return ended{}, err
	}
	return now.link.exec(ctx, j)
}
