// Package transporttest holds the tests every transport passes.
//
// It is for tests only: the suite, a real sshd, and a fake of Windows. The
// suite's invariant: it reaches the machine through the transport alone, so that
// it fits a local, a remote and a fake machine, as long as that runs the tools of
// POSIX.
//
// The fake has two doors: a WinRM service over HTTPS ([WinRM]), written from the
// WS-Management shell protocol, and a powershell.exe for an sshd ([PowerShell]).
// Behind both, the scripts of package transport are not interpreted but
// recognized by their first line, and done with real file operations below a
// directory that stands for drive C. So the fake shows that calls, arguments,
// content, errors and exit codes get across and back, and that nothing secret is
// in a command line. It cannot show that PowerShell understands the scripts, nor
// how NTFS, access lists and sharing violations behave: an access list is either
// "private" or "inherited" here, and kept as a file mode.
package transporttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// Run checks that t keeps the contract of transport.Transport, inside an empty
// directory of its machine.
func Run(t *testing.T, machine transport.Transport, directory string) {
	tests := map[string]func(*testing.T, transport.Transport, string){
		"a missing file":                      missing,
		"a new file has the attributes given": created,
		"a file is replaced as a whole":       replaced,
		"a staged file is not in place yet":   staged,
		"a file in no directory":              noDirectory,
		"a symbolic link is written through":  symlink,
		"a dangling link is written through":  dangling,
		"checking a path creates nothing":     check,
		"a command's output and exit code":    command,
		"no shell reads the arguments":        noShell,
		"output is bounded":                   bounded,
		"a cancelled command dies at once":    cancelled,
		"a cancelled context stops all":       stopped,
		"time that is up stops a command":     late,
		"a child in the background is let be": background,
		"an odd name is a name":               oddName,
		"a large file is carried whole":       large,
		"a file that is too large is refused": tooLarge,
		"much at once":                        atOnce,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			own := join(directory, strings.NewReplacer(" ", "-", "'", "").Replace(name))
			run(t, machine, "mkdir", own)
			test(t, machine, own)
		})
	}
}

// windows tells the system by its paths.
func windows(path string) bool { return strings.HasPrefix(path, "C:") }

// join writes a path in the manner of the machine.
func join(directory string, names ...string) string {
	separator := "/"
	if windows(directory) {
		separator = `\`
	}
	return directory + separator + strings.Join(names, separator)
}

// cut is the reverse of join.
func cut(path string) (directory, base string) {
	at := strings.LastIndexAny(path, `/\`)
	return path[:at], path[at+1:]
}

// kept is what a machine makes of a mode: Windows knows private and not.
func kept(path string, mode fs.FileMode) fs.FileMode {
	switch {
	case !windows(path):
		return mode
	case mode&0o077 == 0:
		return 0o600
	}
	return 0o644
}

func private() transport.Attributes {
	return transport.Attributes{Mode: 0o600, UID: transport.Unknown, GID: transport.Unknown}
}

func run(t *testing.T, machine transport.Transport, argv ...string) string {
	t.Helper()
	out, err := machine.Run(t.Context(), argv, nil)
	if err == nil {
		err = transport.ExitError(argv, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Text
}

func write(t *testing.T, machine transport.Transport, path, data string, attributes transport.Attributes) {
	t.Helper()
	if err := transport.WriteFile(t.Context(), machine, path, []byte(data), attributes); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, machine transport.Transport, path, data string, mode fs.FileMode) transport.FileInfo {
	t.Helper()
	got, info, err := machine.ReadFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if mode = kept(path, mode); string(got) != data || info.Mode != mode {
		t.Errorf("%s = %q mode %o, want %q mode %o", path, got, info.Mode, data, mode)
	}
	if stat, err := machine.Stat(t.Context(), path); err != nil || stat != info {
		t.Errorf("stat %s = %+v, %v; want what reading it tells, %+v", path, stat, err, info)
	}
	return info
}

func wantNames(t *testing.T, machine transport.Transport, directory string, want ...string) {
	t.Helper()
	got, err := machine.List(t.Context(), directory)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("list %s = %q, %v; want %q", directory, got, err, want)
	}
}

func missing(t *testing.T, machine transport.Transport, directory string) {
	absent := join(directory, "absent")
	if _, _, err := machine.ReadFile(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read = %v, want fs.ErrNotExist", err)
	}
	if info, err := machine.Stat(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) || info.Path != absent {
		t.Errorf("stat = %+v, %v, want its path and fs.ErrNotExist", info, err)
	}
	if err := machine.Remove(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove = %v, want fs.ErrNotExist", err)
	}
	if _, err := machine.List(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list = %v, want fs.ErrNotExist", err)
	}
	if _, _, err := machine.ReadFile(t.Context(), directory); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read a directory = %v, want another error", err)
	}
}

func created(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "file")
	attributes := private()
	attributes.Mode = 0o640
	write(t, machine, file, "content\x00\xff\n", attributes)
	info := wantFile(t, machine, file, "content\x00\xff\n", 0o640)
	if info.Path != file {
		t.Errorf("info.Path = %s, want %s", info.Path, file)
	}
	wantNames(t, machine, directory, "file")
	if err := machine.Remove(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	wantNames(t, machine, directory)
}

func replaced(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "file")
	write(t, machine, file, strings.Repeat("long old content ", 999), private())
	_, info, err := machine.ReadFile(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	attributes := info.Attributes
	attributes.Mode = 0o444
	write(t, machine, file, "new", attributes)
	again := wantFile(t, machine, file, "new", 0o444)
	if again.UID != info.UID || again.GID != info.GID {
		t.Errorf("owner = %d:%d, want %d:%d", again.UID, again.GID, info.UID, info.GID)
	}
	write(t, machine, file, "", attributes)
	wantFile(t, machine, file, "", 0o444)
}

func staged(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "file")
	write(t, machine, file, "old", private())
	staged, err := machine.Stage(t.Context(), file, []byte("new"), private())
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, machine, file, "old", 0o600)
	wantFile(t, machine, staged.Temporary, "new", 0o600)
	in, base := cut(staged.Temporary)
	if in != directory {
		t.Errorf("staged in %s, want %s", in, directory)
	}
	if !transport.IsTemporary(base, "file") || transport.IsTemporary(base, "other") {
		t.Errorf("IsTemporary does not know %s by its file", base)
	}
	if err := machine.Rename(t.Context(), staged); err != nil {
		t.Fatal(err)
	}
	wantFile(t, machine, file, "new", 0o600)
	wantNames(t, machine, directory, "file")
	if err := machine.Rename(t.Context(), staged); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second rename = %v, want fs.ErrNotExist", err)
	}
}

func noDirectory(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "absent", "file")
	if _, err := machine.Stage(t.Context(), file, nil, private()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stage = %v, want fs.ErrNotExist", err)
	}
	wantNames(t, machine, directory)
}

func symlink(t *testing.T, machine transport.Transport, directory string) {
	archive, live := join(directory, "archive"), join(directory, "live")
	run(t, machine, "mkdir", archive, live)
	destination, link := join(archive, "cert1.pem"), join(live, "cert.pem")
	write(t, machine, destination, "old", private())
	run(t, machine, "ln", "-s", "../archive/cert1.pem", link)
	_, info, err := machine.ReadFile(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	if run(t, machine, "readlink", "-f", info.Path) != run(t, machine, "readlink", "-f", destination) {
		t.Errorf("info.Path = %s, want %s", info.Path, destination)
	}
	write(t, machine, link, "new", info.Attributes)
	wantFile(t, machine, destination, "new", 0o600)
	if got := strings.TrimSpace(run(t, machine, "readlink", link)); got != "../archive/cert1.pem" {
		t.Errorf("the link points to %q", got)
	}
	wantNames(t, machine, live, "cert.pem")
	wantNames(t, machine, archive, "cert1.pem")
}

func dangling(t *testing.T, machine transport.Transport, directory string) {
	destination, link := join(directory, "destination"), join(directory, "link")
	run(t, machine, "ln", "-s", destination, link)
	if _, info, err := machine.ReadFile(t.Context(), link); !errors.Is(err, fs.ErrNotExist) || info.Path != destination {
		t.Errorf("read = %+v, %v; want path %s and fs.ErrNotExist", info, err, destination)
	}
	write(t, machine, link, "new", private())
	wantFile(t, machine, destination, "new", 0o600)
	if err := machine.Remove(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	wantNames(t, machine, directory, "link")
	loop := join(directory, "loop")
	run(t, machine, "ln", "-s", "loop", loop)
	if _, err := machine.Stage(t.Context(), loop, nil, private()); err == nil {
		t.Error("staged through a loop of links")
	}
}

func check(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "file")
	if err := machine.Check(t.Context(), file); err != nil {
		t.Errorf("check a new file: %v", err)
	}
	wantNames(t, machine, directory)
	if err := machine.Check(t.Context(), directory); err == nil {
		t.Error("check of a directory passed")
	}
	if err := machine.Check(t.Context(), join(directory, "absent", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check in an absent directory = %v, want fs.ErrNotExist", err)
	}
	write(t, machine, file, "", private())
	if err := machine.Check(t.Context(), file); err != nil {
		t.Errorf("check an existing file: %v", err)
	}
	if err := machine.Check(t.Context(), join(file, "below")); err == nil {
		t.Error("check below a file passed")
	}
}

func command(t *testing.T, machine transport.Transport, _ string) {
	out, err := machine.Run(t.Context(), []string{"sh", "-c", "cat; echo err >&2; exit 3"}, []byte("in\n"))
	if want := (transport.Output{Text: "in\nerr\n", ExitCode: 3}); err != nil || out != want {
		t.Errorf("run = %+v, %v; want %+v", out, err, want)
	}
	if err := transport.ExitError([]string{"tool", "-t"}, out); err == nil || !strings.Contains(err.Error(), "tool -t exited with 3: in\nerr") {
		t.Errorf("ExitError = %v", err)
	}
	if out, err := machine.Run(t.Context(), []string{"/nonexistent/command"}, nil); err == nil && out.ExitCode == 0 {
		t.Error("an absent command ran")
	}
	if _, err := machine.Run(t.Context(), nil, nil); err == nil {
		t.Error("an empty argument list ran")
	}
}

func noShell(t *testing.T, machine transport.Transport, _ string) {
	hostile := "$(id); `id` 'a' \"b\" * \\ \n;|&"
	if got := run(t, machine, "printf", "%s", hostile); got != hostile {
		t.Errorf("an argument became %q, want %q", got, hostile)
	}
}

func bounded(t *testing.T, machine transport.Transport, _ string) {
	out, err := machine.Run(t.Context(), []string{"cat"}, bytes.Repeat([]byte("x"), 2*transport.MaxOutput))
	if err != nil || len(out.Text) != transport.MaxOutput {
		t.Errorf("run kept %d bytes, %v; want %d", len(out.Text), err, transport.MaxOutput)
	}
}

// cancelled ends a command that has started a child, and looks for both.
func cancelled(t *testing.T, machine transport.Transport, directory string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mark := join(directory, "mark")
	done := make(chan error, 1)
	go func() {
		_, err := machine.Run(ctx, []string{"sh", "-c", `sleep 60 & echo $$ $! > "$1.new" && mv "$1.new" "$1"; wait`, "sh", mark}, nil)
		done <- err
	}()
	var processes []string
	eventually(t, "the command starts", func() bool {
		data, _, err := machine.ReadFile(t.Context(), mark)
		processes = strings.Fields(string(data))
		return err == nil
	})
	cancel()
	started := time.Now()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want context.Canceled", err)
	}
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("run took %v after its context ended", took)
	}
	if len(processes) != 2 {
		t.Fatalf("processes %q, want the command and its child", processes)
	}
	for _, process := range processes {
		eventually(t, "process "+process+" dies", func() bool {
			// One that is dead and waits for its parent to notice is dead.
			out, err := machine.Run(t.Context(), []string{"sh", "-c", `! kill -0 "$1" || grep -q "State:.Z" "/proc/$1/status"`, "sh", process}, nil)
			return err == nil && out.ExitCode == 0
		})
	}
}

// eventually waits for a condition; a machine under test may be slow.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func late(t *testing.T, machine transport.Transport, _ string) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	if _, err := machine.Run(ctx, []string{"sleep", "60"}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run = %v, want context.DeadlineExceeded", err)
	}
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("run took %v", took)
	}
}

// background leaves a child that keeps the output open, as a server does that
// goes to the background.
func background(t *testing.T, machine transport.Transport, _ string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := machine.Run(ctx, []string{"sh", "-c", "sleep 60 & echo $!"}, nil)
	if err != nil || out.ExitCode != 0 {
		t.Errorf("run = %+v, %v", out, err)
	}
	run(t, machine, "sh", "-c", `kill "$1"`, "sh", strings.TrimSpace(out.Text))
}

func oddName(t *testing.T, machine transport.Transport, directory string) {
	name := `it's a $(file) & "such" \ ;*`
	if windows(directory) { // where some signs are not for names
		name = "it's a $(file) & [such] %x%;"
	}
	file := join(directory, name)
	if err := machine.Check(t.Context(), file); err != nil {
		t.Error(err)
	}
	write(t, machine, file, "content", private())
	wantFile(t, machine, file, "content", 0o600)
	wantNames(t, machine, directory, name)
	if err := machine.Remove(t.Context(), file); err != nil {
		t.Error(err)
	}
	wantNames(t, machine, directory)
}

func large(t *testing.T, machine transport.Transport, directory string) {
	data := make([]byte, 1<<20+1)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	file := join(directory, "file")
	write(t, machine, file, string(data), private())
	got, _, err := machine.ReadFile(t.Context(), file)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v; want the %d written", len(got), err, len(data))
	}
}

func tooLarge(t *testing.T, machine transport.Transport, directory string) {
	file := join(directory, "file")
	run(t, machine, "sh", "-c", `dd if=/dev/zero of="$1" bs=1 count=1 seek="$2" 2>&1`, "sh", file, fmt.Sprint(transport.MaxFileSize))
	if data, _, err := machine.ReadFile(t.Context(), file); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("read %d bytes, %v; want an error", len(data), err)
	}
}

func atOnce(t *testing.T, machine transport.Transport, directory string) {
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			file, data := join(directory, fmt.Sprint("file", i)), strings.Repeat(fmt.Sprint(i), 999)
			if err := transport.WriteFile(t.Context(), machine, file, []byte(data), private()); err != nil {
				t.Error(err)
			}
			if got, _, err := machine.ReadFile(t.Context(), file); err != nil || string(got) != data {
				t.Errorf("%s = %q, %v", file, got, err)
			}
			if out, err := machine.Run(t.Context(), []string{"cat"}, []byte(data)); err != nil || out.Text != data {
				t.Errorf("run = %q, %v", out.Text, err)
			}
		})
	}
	all.Wait()
}

func stopped(t *testing.T, machine transport.Transport, directory string) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := join(directory, "file")
	_, _, read := machine.ReadFile(ctx, file)
	_, stage := machine.Stage(ctx, file, nil, private())
	_, list := machine.List(ctx, directory)
	_, ran := machine.Run(ctx, []string{"touch", file}, nil)
	calls := map[string]error{
		"read": read, "stage": stage, "list": list, "run": ran,
		"rename": machine.Rename(ctx, transport.Staged{}),
		"remove": machine.Remove(ctx, file), "check": machine.Check(ctx, file),
	}
	for name, err := range calls {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	wantNames(t, machine, directory)
}
