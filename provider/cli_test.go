package provider_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// buildProvider builds the executable once for all tests of the package.
var buildProvider = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "provider-test-")
	if err != nil {
		return "", err
	}
	target := filepath.Join(folder, "terraform-provider-certificate")
	output, err := exec.Command("go", "build", "-o", target, "..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the provider: %w\n%s", err, output)
	}
	return target, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if target, err := buildProvider(); err == nil {
		_ = os.RemoveAll(filepath.Dir(target))
	}
	os.Exit(status)
}

// cli runs the real terraform with the real provider executable in a lab, with
// TF_LOG=trace. At the end it searches everything Terraform wrote for keys.
type cli struct {
	*lab.Lab
	t      testing.TB
	folder string
	extra  []string // more environment
	many   bool     // so many keys that to search for them takes minutes
}

// header is the start of every configuration: where the provider is from.
const header = `terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
  }
}
`

// newCLI starts a lab and initializes a configuration in it.
func newCLI(t testing.TB, options lab.Options, config string) *cli {
	t.Helper()
	var err error
	if options.Provider, err = buildProvider(); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{Lab: l, t: t, folder: t.TempDir()}
	t.Cleanup(func() {
		if _, ok := t.(*testing.T); ok && !c.many {
			c.scan()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c.write(config)
	if output, status := c.run("init"); status != 0 {
		t.Fatal(output)
	}
	return c
}

func (c *cli) write(config string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, "main.tf"), []byte(header+config), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// command prepares terraform in a process group of its own.
func (c *cli) command(arguments ...string) *exec.Cmd {
	c.t.Helper()
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	command := exec.Command(program, append(arguments, "-no-color")...)
	command.Dir = c.folder
	command.Env = append(os.Environ(), c.Environment()...)
	command.Env = append(command.Env, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CI=",
		"TF_LOG=trace", "TF_LOG_PATH="+filepath.Join(c.folder, "trace.log"))
	command.Env = append(command.Env, c.extra...) // the last one counts
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// run runs terraform and returns what it printed and its exit status.
func (c *cli) run(arguments ...string) (string, int) {
	c.t.Helper()
	output, err := c.command(arguments...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return string(output), exit.ExitCode()
	case err != nil:
		c.t.Fatal(err)
	}
	return string(output), 0
}

// must runs terraform and fails the test unless it exits with the status.
func (c *cli) must(status int, arguments ...string) string {
	c.t.Helper()
	output, got := c.run(arguments...)
	if got != status {
		c.t.Fatalf("terraform %s: exit status %d, want %d\n%s", strings.Join(arguments, " "), got, status, output)
	}
	return output
}

// providers lists the provider processes that this lab's terraform started.
func (c *cli) providers() []int {
	c.t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		c.t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(target, c.Directory) {
			continue // gone, or somebody else's
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends the provider processes as a crash would.
func (c *cli) kill() {
	c.t.Helper()
	for _, pid := range c.providers() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// scan fails the test when a private key of the storage is in any file that
// Terraform wrote.
func (c *cli) scan() {
	c.t.Helper()
	secrets := c.secrets()
	err := filepath.WalkDir(c.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".plan") {
			text = append(text, c.planJSON(path)...)
		}
		for name, secret := range secrets {
			if bytes.Contains(text, secret) {
				c.t.Errorf("%s contains %s", filepath.Base(path), name)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
}

func (c *cli) planJSON(path string) []byte {
	c.t.Helper()
	return []byte(c.must(0, "show", "-json", path))
}

// secrets are the forms in which the stored keys would show: the lines of their
// PEM, and what they encode in other alphabets.
func (c *cli) secrets() map[string][]byte {
	c.t.Helper()
	secrets := map[string][]byte{"the responder's token": []byte(c.ResponderToken)}
	if c.CommercialKey != "" {
		secrets["the commercial CA's secret key"] = []byte(c.CommercialKey)
	}
	files, err := filepath.Glob(filepath.Join(c.StorageDirectory(), "*", "*"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		// Accounts hold their PEM in JSON, with escaped line ends.
		lines := strings.Split(strings.ReplaceAll(string(text), `\n`, "\n"), "\n")
		start := -1
		for n, line := range lines {
			switch {
			case strings.Contains(line, "BEGIN PRIVATE KEY"):
				start = n + 1
			case strings.Contains(line, "END PRIVATE KEY") && start >= 0:
				addForms(secrets, filepath.Base(file), lines[start:n])
				start = -1
			}
		}
	}
	return secrets
}

func addForms(secrets map[string][]byte, name string, lines []string) {
	for n, line := range lines {
		if n > 0 { // the first line is the header that all keys of a type share
			secrets[fmt.Sprintf("line %d of key %s", n+1, name)] = []byte(line)
		}
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(lines, ""))
	if err != nil || len(der) < 72 {
		return
	}
	// Of a P-256 key in PKCS#8, bytes 36-67 are the secret number.
	secret := der[36:68]
	secrets["key "+name+" in hex"] = []byte(hex.EncodeToString(secret))
	secrets["key "+name+" in binary"] = secret
	secrets["key "+name+" in base64"] = []byte(base64.StdEncoding.EncodeToString(secret)[:40])
	secrets["key "+name+" in base64url"] = []byte(base64.RawURLEncoding.EncodeToString(secret)[:40])
	secrets["key "+name+" as numbers"] = []byte(strings.Trim(strings.ReplaceAll(fmt.Sprintf("%d", secret), " ", ", "), "[]"))
}
