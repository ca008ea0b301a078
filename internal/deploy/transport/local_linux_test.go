package transport_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

func TestLocal_selinuxLabelKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Without SELinux in the kernel the attribute can be set by root all the same.
	const want = "system_u:object_r:cert_t:s0"
	if err := unix.Setxattr(path, "security.selinux", []byte(want+"\x00"), 0); err != nil {
		if os.Getuid() != 0 {
			t.Skip("needs root to label a file")
		}
		t.Fatal(err)
	}
	_, info, err := transport.Local{}.ReadFile(t.Context(), path)
	if err != nil || info.Label != want {
		t.Fatalf("label = %q, %v; want %q", info.Label, err, want)
	}
	if err := transport.WriteFile(t.Context(), transport.Local{}, path, []byte("new"), info.Attributes); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 256)
	n, err := unix.Getxattr(path, "security.selinux", value)
	if got := strings.TrimRight(string(value[:max(n, 0)]), "\x00"); err != nil || got != want {
		t.Errorf("label = %q, %v; want %q", got, err, want)
	}
}
