//go:build unix

package transporttest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"
)

// PowerShell stands in for powershell.exe and taskkill.exe. Root stands for
// drive C.
type PowerShell struct {
	Root     string
	Programs Programs
}

// Programs stand for those of Windows: what one says to its input, and its exit
// code. Where there are none, those of this machine are run.
type Programs func(argv []string, stdin []byte) (text string, code int)

// maxCommandLine is what cmd.exe takes.
const maxCommandLine = 8191

// Run does what a command line says and returns the exit code.
func (p PowerShell) Run(line string, stdin io.Reader, stdout, stderr io.Writer) int {
	words := strings.Fields(line)
	switch {
	case len(line) > maxCommandLine:
		return complain(stderr, "The command line is too long.")
	case len(words) == 5 && words[0] == "taskkill" && words[3] == "/PID":
		number, err := strconv.Atoi(words[4])
		if err != nil {
			return complain(stderr, "ERROR: Invalid argument.")
		}
		return exitCode(syscall.Kill(-number, syscall.SIGKILL))
	case len(words) == 7 && words[0] == "powershell.exe" && words[5] == "-EncodedCommand":
		script, err := decodeScript(words[6])
		if err != nil {
			return complain(stderr, err.Error())
		}
		return p.script(script, stdin, stdout, stderr)
	}
	return complain(stderr, fmt.Sprintf("'%s' is not recognized as an internal or external command.", strings.Join(words[:min(len(words), 1)], "")))
}

func complain(stderr io.Writer, words string) int {
	_, _ = io.WriteString(stderr, words+"\r\n") // whoever listens may be gone
	return 1
}

func exitCode(err error) int {
	if err != nil {
		return 128
	}
	return 0
}

func decodeScript(encoded string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%2 != 0 {
		return "", fmt.Errorf("cannot process the command because the value specified with -EncodedCommand is not properly encoded: %w", err)
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// told is what a script of package transport is told on its first line of stdin.
type told struct {
	Path, Temporary, Suffix, Private, Label, File, Arguments string
	Limit                                                    int
}

// script recognizes a script by its first line and does its work.
func (p PowerShell) script(script string, stdin io.Reader, stdout, stderr io.Writer) int {
	first, _, _ := strings.Cut(script, "\n")
	name, ours := strings.CutPrefix(first, "# certificate ")
	if !ours {
		return complain(stderr, "the fake of PowerShell knows the scripts of package transport and no others")
	}
	// The whole input comes before the work, as it does with @($input).
	lines := bufio.NewReader(stdin)
	head, err := lines.ReadString('\n')
	if err != nil {
		return complain(stderr, "no input")
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		return complain(stderr, err.Error())
	}
	var call told
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(head))
	if err == nil {
		err = json.Unmarshal(text, &call)
	}
	data, other := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(rest, []byte("\r\n"), nil)))
	if err = errors.Join(err, other); err != nil {
		return complain(stderr, err.Error())
	}
	reply, content, err := p.work(name, call, data, func(process int) {
		_, _ = fmt.Fprintf(stdout, "certificate-command-begins %d\r\n", process) // whoever listens may be gone
	})
	if err != nil {
		reply = map[string]any{"error": err.Error(), "kind": kindOf(err), "path": reply["path"]}
	}
	answer, err := json.Marshal(reply)
	if err != nil {
		return complain(stderr, err.Error())
	}
	_, _ = fmt.Fprintf(stdout, "%s\r\n", base64.StdEncoding.EncodeToString(answer)) // as above
	if content != nil {
		_, _ = fmt.Fprintf(stdout, "%s\r\n", base64.StdEncoding.EncodeToString(content))
	}
	return 0
}

func kindOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return "missing"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	case errors.Is(err, syscall.ENOSPC):
		return "full"
	case errors.Is(err, syscall.EROFS):
		return "readonly"
	}
	return ""
}

func (p PowerShell) work(name string, call told, data []byte, begin func(process int)) (map[string]any, []byte, error) {
	if name != "run" {
		begin(os.Getpid())
	}
	switch name {
	case "read":
		return p.read(call)
	case "stage":
		reply, err := p.stage(call, data)
		return reply, nil, err
	case "rename":
		return nil, nil, p.rename(call)
	case "remove":
		return nil, nil, p.remove(call)
	case "list":
		reply, err := p.list(call)
		return reply, nil, err
	case "check":
		return nil, nil, p.check(call)
	case "run":
		return p.run(call, data, begin)
	}
	return nil, nil, fmt.Errorf("the fake of PowerShell has no script %q", name)
}

// here is the path of the machine under the fake, there the reverse.
func (p PowerShell) here(path string) string {
	return filepath.Join(p.Root, strings.ReplaceAll(strings.TrimPrefix(path, `C:\`), `\`, "/"))
}

func (p PowerShell) there(path string) string {
	return `C:\` + strings.ReplaceAll(strings.TrimPrefix(path, p.Root+"/"), "/", `\`)
}

// follow resolves links at the end of a path.
func (p PowerShell) follow(path string) (string, error) {
	at := p.here(path)
	for range 40 {
		link, err := os.Readlink(at)
		if err != nil {
			return at, nil // no link
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(at), link)
		}
		at = link
	}
	return at, errors.New("there are too many symbolic links")
}

// What stands for access lists here.
const (
	privateList   = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)"
	inheritedList = "D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)"
)

func setList(path, list string) error {
	if list == privateList {
		return os.Chmod(path, 0o600)
	}
	return os.Chmod(path, 0o644)
}

func (p PowerShell) read(call told) (map[string]any, []byte, error) {
	at, err := p.follow(call.Path)
	reply := map[string]any{"path": p.there(at)}
	if err != nil {
		return reply, nil, err
	}
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return reply, nil, err
	case info.IsDir():
		return reply, nil, fmt.Errorf("%s is a directory", call.Path)
	case info.Size() > int64(call.Limit):
		return reply, nil, fmt.Errorf("it is larger than %d bytes", call.Limit)
	}
	data, err := os.ReadFile(at)
	if reply["label"] = inheritedList; info.Mode().Perm() == 0o600 {
		reply["label"] = privateList
	}
	return reply, data, err
}

func (p PowerShell) stage(call told, data []byte) (map[string]any, error) {
	at, err := p.follow(call.Path)
	if err != nil {
		return nil, err
	}
	if call.Private != privateList {
		return nil, fmt.Errorf("the fake knows no access list %s", call.Private)
	}
	temporary := filepath.Join(filepath.Dir(at), "."+filepath.Base(at)+call.Suffix)
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close(), setList(temporary, call.Label)); err != nil {
		return nil, errors.Join(err, os.Remove(temporary))
	}
	return map[string]any{"temporary": p.there(temporary), "path": p.there(at)}, nil
}

func (p PowerShell) rename(call told) error {
	return os.Rename(p.here(call.Temporary), p.here(call.Path))
}

func (p PowerShell) remove(call told) error {
	at, err := p.follow(call.Path)
	if err != nil {
		return err
	}
	return os.Remove(at)
}

func (p PowerShell) list(call told) (map[string]any, error) {
	entries, err := os.ReadDir(p.here(call.Path))
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return map[string]any{"names": names}, err
}

func (p PowerShell) check(call told) error {
	at, err := p.follow(call.Path)
	if err != nil {
		return err
	}
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, want the path of a file", call.Path)
	}
	info, err := os.Stat(filepath.Dir(at))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is a file, not a directory", filepath.Dir(at))
	}
	return err
}

// run starts a program of this machine, with the paths of drive C put right.
func (p PowerShell) run(call told, stdin []byte, begin func(process int)) (map[string]any, []byte, error) {
	arguments := takeApart(call.Arguments)
	if p.Programs != nil {
		begin(os.Getpid())
		text, code := p.Programs(append([]string{call.File}, arguments...), stdin)
		return map[string]any{"code": code}, []byte(text), nil
	}
	for i, argument := range arguments {
		if strings.HasPrefix(argument, `C:\`) {
			arguments[i] = p.here(argument)
		}
	}
	command := exec.Command(call.File, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(stdin), &out, &errs
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		begin(os.Getpid())
		return nil, nil, err
	}
	begin(command.Process.Pid)
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, nil, err
	}
	content := append(out.Bytes(), errs.Bytes()...)
	return map[string]any{"code": command.ProcessState.ExitCode()}, content[:min(len(content), cmp.Or(call.Limit, len(content)))], nil
}

// takeApart reads a command line by the rules of CommandLineToArgvW.
func takeApart(line string) []string {
	var arguments []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		var one []byte
		quoted, slashes := false, 0
		i := 0
		for ; i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t'); i++ {
			switch {
			case line[i] == '\\':
				slashes++
				one = append(one, '\\')
				continue
			case line[i] == '"' && slashes%2 == 1:
				one = append(one[:len(one)-(slashes+1)/2], '"')
			case line[i] == '"':
				one = one[:len(one)-slashes/2]
				quoted = !quoted
			default:
				one = append(one, line[i])
			}
			slashes = 0
		}
		line = line[i:]
		arguments = append(arguments, string(one))
	}
	return arguments
}
