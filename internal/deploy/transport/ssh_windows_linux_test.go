package transport_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
)

// startWindows is a real sshd behind which powershell.exe is a fake.
func startWindows(t *testing.T) *transporttest.SSHD {
	t.Helper()
	root := t.TempDir()
	tools := standIns(t, "powershell.exe", "taskkill")
	return transporttest.StartSSHD(t, "SetEnv FAKE_DRIVE_C="+root+" "+withTools(tools))
}

func newWindows(t *testing.T, options transport.SSHOptions) *transport.Windows {
	t.Helper()
	machine, err := transport.NewWindowsOverSSH(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := machine.Close(); err != nil {
			t.Error(err)
		}
	})
	return machine
}

func TestSSH_windows(t *testing.T) {
	s := startWindows(t)
	transporttest.Run(t, newWindows(t, transport.SSHOptions{Hop: hopTo(s)}), "C:")
	if got := s.Connections(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestSSH_windowsWithoutPowerShell(t *testing.T) {
	s := transporttest.StartSSHD(t)
	_, err := newWindows(t, transport.SSHOptions{Hop: hopTo(s)}).List(t.Context(), `C:\`)
	if err == nil || !strings.Contains(err.Error(), "powershell.exe") {
		t.Errorf("list = %v, want an error with the shell's words", err)
	}
}

func TestSSH_windowsCommandThatHangs(t *testing.T) {
	s := startWindows(t)
	machine := newWindows(t, transport.SSHOptions{Hop: hopTo(s), CommandTimeout: time.Second})
	_, err := machine.Run(t.Context(), []string{"sleep", "60"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "command_timeout") {
		t.Errorf("run = %v, want the timeout named", err)
	}
}

func TestNewWindowsOverSSH_knowsNoSudo(t *testing.T) {
	if _, err := transport.NewWindowsOverSSH(transport.SSHOptions{Become: &transport.Become{}}); err == nil || !strings.Contains(err.Error(), "no sudo on Windows") {
		t.Errorf("error = %v", err)
	}
}
