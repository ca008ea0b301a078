package transport_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
)

const labelled = "system_u:object_r:cert_t:s0"

// TestMain lets the test binary stand in for tools that only work with SELinux
// in the kernel; they set and show the real attribute.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
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
	}
	os.Exit(m.Run())
}

func TestSSH_selinuxLabelKept(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to label a file")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	for _, name := range []string{"selinuxenabled", "chcon", "stat"} {
		if err := os.Symlink(self, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	for sentence, lines := range ways() {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, append(lines, "SetEnv SHLVL=9 PATH="+tools+":/usr/bin:/bin")...)
			machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s)})
			path := filepath.Join(t.TempDir(), "file")
			if err := transport.WriteFile(t.Context(), machine, path, []byte("old"), open()); err != nil {
				t.Fatal(err)
			}
			if _, info, err := machine.ReadFile(t.Context(), path); err != nil || info.Label != "" {
				t.Errorf("label = %q, %v; want none", info.Label, err)
			}
			if err := unix.Setxattr(path, "security.selinux", []byte(labelled+"\x00"), 0); err != nil {
				t.Fatal(err)
			}
			_, info, err := machine.ReadFile(t.Context(), path)
			if err != nil || info.Label != labelled {
				t.Fatalf("label = %q, %v; want %q", info.Label, err, labelled)
			}
			if err := transport.WriteFile(t.Context(), machine, path, []byte("new"), info.Attributes); err != nil {
				t.Fatal(err)
			}
			if _, again, err := machine.ReadFile(t.Context(), path); err != nil || again.Attributes != info.Attributes {
				t.Errorf("attributes = %+v, %v; want %+v", again.Attributes, err, info.Attributes)
			}
		})
	}
}
