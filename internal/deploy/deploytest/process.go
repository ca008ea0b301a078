package deploytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// need skips the test where a program or folder of a package is missing.
func need(t testing.TB, apt string, places ...string) {
	t.Helper()
	for _, place := range places {
		if _, err := exec.LookPath(place); err == nil {
			continue
		}
		if _, err := os.Stat(place); err != nil {
			t.Skipf("needs the apt package %s", apt)
		}
	}
}

// folder is a temporary folder that other users may enter.
func folder(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	return directory
}

// execute runs a command to its end.
func execute(argv ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.WaitDelay = time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// launch starts a command that stays, and ends it with the test.
func launch(t testing.TB, directory string, environment []string, argv ...string) *bytes.Buffer {
	t.Helper()
	var log bytes.Buffer
	command := exec.Command(argv[0], argv[1:]...)
	command.Dir, command.Stdout, command.Stderr = directory, &log, &log
	command.Env = append(os.Environ(), environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(argv[0]), log.String())
		}
	})
	return &log
}

// answers waits until something listens at an address.
func answers(t testing.TB, address string) {
	t.Helper()
	for range 6000 { // Java takes its time on a busy machine
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		wait()
	}
	t.Fatalf("nothing answers at %s", address)
}

// serves waits until TLS handshakes complete at an address: the first ones of a
// server in Java take seconds.
func serves(t testing.TB, address string) {
	t.Helper()
	answers(t, address)
	for range 600 {
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		connection, err := dialer.DialContext(ctx, "tcp", address)
		cancel()
		if err == nil {
			_ = connection.Close()
			return
		}
		wait()
	}
	t.Fatalf("no TLS handshake completes at %s", address)
}

// stop ends the process whose number is in a file and waits for that.
func stop(t testing.TB, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return // it does not run
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for range 1000 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		wait()
	}
	t.Errorf("process %d does not end", pid)
}
