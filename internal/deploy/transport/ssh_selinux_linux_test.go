package transport_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
)

const labelled = "system_u:object_r:cert_t:s0"

func TestSSH_selinuxLabelKept(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to label a file")
	}
	tools := standIns(t, "selinuxenabled", "chcon", "stat")
	for sentence, lines := range ways() {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, append(lines, "SetEnv "+withTools(tools))...)
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
