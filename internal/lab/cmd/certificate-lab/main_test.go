package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// asProgram is set for a process that is the command itself, not its test.
const asProgram = "CERTIFICATE_LAB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	main()
}

// program is a call of the command in a process of its own.
func program(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, executable, arguments...)
	command.Env = append(os.Environ(), asProgram+"=1", lab.EnvControl+"=")
	return command
}

// outcome runs a command and returns its status and what it wrote.
func outcome(t *testing.T, command *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestRun_wrongUse(t *testing.T) {
	for sentence, test := range map[string]struct {
		arguments []string
		status    int
		says      string
	}{
		"help":                         {[]string{"-help"}, 0, "Usage:"},
		"an unknown flag":              {[]string{"-nonsense"}, 2, "Usage:"},
		"a life that is none":          {[]string{"-certificate-life", "soon"}, 2, "certificate-life"},
		"a negative life":              {[]string{"-certificate-life", "-1h", "--", "true"}, 2, "certificate-life"},
		"open-window outside a lab":    {[]string{"open-window", "x.pem"}, 1, "run this in a lab, as in certificate-lab -- COMMAND"},
		"reload outside a lab":         {[]string{"reload"}, 1, "run this in a lab, as in certificate-lab -- COMMAND"},
		"served without a name":        {[]string{"served", "127.0.0.1:1"}, 1, "want HOST:PORT and NAME"},
		"served where nobody serves":   {[]string{"served", "127.0.0.1:1", "www.example.test"}, 1, "127.0.0.1:1"},
		"a command that is not there":  {[]string{"--", "no-such-command"}, 1, "run no-such-command"},
		"a provider that is not there": {[]string{"-provider", "no-such-provider", "--", "true"}, 1, "no-such-provider"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Setenv(lab.EnvControl, "")
			var stdout, stderr bytes.Buffer
			if got := run(test.arguments, &stdout, &stderr); got != test.status {
				t.Errorf("status %d, want %d", got, test.status)
			}
			if !strings.Contains(stderr.String(), test.says) || stdout.Len() != 0 {
				t.Errorf("stderr %q, stdout %q, want %q on stderr", stderr.String(), stdout.String(), test.says)
			}
		})
	}
}

func TestRun_wrongUseInALab(t *testing.T) {
	t.Setenv(lab.EnvControl, "http://127.0.0.1:1")
	for _, arguments := range [][]string{{"reload", "now"}, {"open-window"}, {"open-window", "a", "b"}} {
		var stderr bytes.Buffer
		if got := run(arguments, nil, &stderr); got != 1 || !strings.Contains(stderr.String(), "wrong number of arguments") {
			t.Errorf("%q: status %d, %q", arguments, got, stderr.String())
		}
	}
	var stderr bytes.Buffer
	if got := run([]string{"reload"}, nil, &stderr); got != 1 || !strings.Contains(stderr.String(), "127.0.0.1:1") {
		t.Errorf("a lab that is gone: status %d, %q, want its address", got, stderr.String())
	}
}

func TestRun_commandSeesTheLab(t *testing.T) {
	t.Parallel()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `echo "$CERTIFICATE_ACME_DIRECTORY_URL $CERTIFICATE_RESPONDER_URL $TF_VAR_web_address"
test -n "$CERTIFICATE_ACME_CA_BUNDLE_PEM" && test -f "$CERTIFICATE_LAB_ROOTS" && echo "$CERTIFICATE_LAB_ROOTS"
"$0" reload && "$0" served "$TF_VAR_web_address" www.example.test
"$0" open-window "$TF_VAR_fullchain_path" || echo refused
exit 7`
	status, stdout, stderr := outcome(t, program(t, "--", "sh", "-c", script, executable))
	if status != 7 {
		t.Errorf("status %d, want that of the command, 7", status)
	}
	for _, part := range []string{"https://127.0.0.1:", "http://127.0.0.1:", "names        www.example.test, *.test", "chain sent   2 certificates", "refused"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("stdout %q, want %q in it", stdout, part)
		}
	}
	if !strings.Contains(stderr, "the CA does not take the window") {
		t.Errorf("stderr %q, want the CA's refusal", stderr)
	}
	for line := range strings.Lines(stdout) {
		if strings.HasSuffix(strings.TrimSpace(line), "roots.pem") {
			if _, err := os.Stat(strings.TrimSpace(line)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left behind: %v", strings.TrimSpace(line), err)
			}
			return
		}
	}
	t.Errorf("stdout %q, want the file of the roots in it", stdout)
}

func TestRun_statusOfTheCommand(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"exit 0": 0, "exit 3": 3, "exit 255": 255, "kill -TERM $$": 128 + int(syscall.SIGTERM), "kill -KILL $$": 128 + int(syscall.SIGKILL),
	} {
		if got, _, stderr := outcome(t, program(t, "--", "sh", "-c", script)); got != want {
			t.Errorf("%s: status %d, want %d; %s", script, got, want, stderr)
		}
	}
}

// SIGTERM is passed on, and the lab outlives the command.
func TestRun_passesSIGTERMOn(t *testing.T) {
	t.Parallel()
	ready := filepath.Join(t.TempDir(), "ready")
	script := fmt.Sprintf(`trap '"$0" reload; exit 5' TERM; : > %q; n=0; while [ $n -lt 400 ]; do n=$((n+1)); sleep 0.05; done`, ready)
	command := program(t, "--", "sh", "-c", script)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command.Args = append(command.Args, executable)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // its status is looked at
	if got := command.ProcessState.ExitCode(); got != 5 || stderr.Len() > 0 {
		t.Errorf("status %d, want 5: the trap's, with the lab still there; %s", got, stderr.String())
	}
}

// Without a command it stays up until it is interrupted, and tells how to use
// it.
func TestRun_staysUpUntilInterrupted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	command := program(t, "-certificate-life", "1h")
	command.Env = append(command.Env, "TMPDIR="+folder)
	output := filepath.Join(folder, "output")
	file, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	command.Stdout = file
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	text := waitForText(t, output, "apply\n")
	for _, part := range []string{"until Ctrl-C", "https://127.0.0.1:", "env.sh"} {
		if !strings.Contains(text, part) {
			t.Errorf("it says %q, want %q in it", text, part)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(folder, "certificate-lab-*", "env.sh"))
	if err != nil || len(scripts) != 1 {
		t.Fatalf("%q, %v, want one script", scripts, err)
	}
	status, stdout, stderr := outcome(t, exec.Command("sh", "-c", `. "$0" && echo "$CERTIFICATE_ACME_CA_BUNDLE_PEM"`, scripts[0]))
	if status != 0 || !strings.Contains(stdout, "BEGIN CERTIFICATE") {
		t.Errorf("the script: status %d, %q, %q", status, stdout, stderr)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v, want a normal end", err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "certificate-lab-*")); err != nil || len(left) != 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

func waitFor(t *testing.T, file string) {
	t.Helper()
	poll(t, func() bool { _, err := os.Stat(file); return err == nil }, file)
}

func waitForText(t *testing.T, file, part string) (text string) {
	t.Helper()
	poll(t, func() bool {
		read, err := os.ReadFile(file)
		text = string(read)
		return err == nil && strings.Contains(text, part)
	}, part)
	return text
}

func poll(t *testing.T, done func() bool, what string) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
