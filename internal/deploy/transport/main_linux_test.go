package transport_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
)

// TestMain lets the test binary stand in for tools that this system does not
// have: those that only work with SELinux in the kernel, which set and show the
// real attribute, and those of Windows.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "selinuxenabled":
		os.Exit(0)
	case "chcon":
		if err := unix.Setxattr(os.Args[2], "security.selinux", []byte(os.Args[1]+"\x00"), 0); err != nil {
			fmt.Fprintln(os.Stderr, "chcon:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case "stat":
		value := make([]byte, 256)
		n, err := unix.Getxattr(os.Args[3], "security.selinux", value)
		if err != nil {
			fmt.Fprintln(os.Stderr, "stat: failed to get security context of", os.Args[3])
			os.Exit(1)
		}
		fmt.Println(strings.TrimRight(string(value[:n]), "\x00"))
		os.Exit(0)
	case "powershell.exe", "taskkill":
		line := strings.Join(append([]string{name}, os.Args[1:]...), " ")
		os.Exit(transporttest.PowerShell{Root: os.Getenv("FAKE_DRIVE_C")}.Run(line, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// standIns is a directory in which the test binary has other names.
func standIns(t *testing.T, names ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	return tools
}

// withTools is the environment in which the tools are found. Under the race
// detector they would stay for a second after their work.
func withTools(directory string) string {
	return "SHLVL=9 GORACE=atexit_sleep_ms=0 PATH=" + directory + ":/usr/bin:/bin"
}
