//go:build unix

package transport_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
)

func TestLocal(t *testing.T) {
	transporttest.Run(t, transport.Local{}, t.TempDir())
}

func TestLocal_ownerKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	want := transport.Attributes{Mode: 0o640, UID: os.Getuid(), GID: os.Getgid()}
	if want.UID == 0 { // only root can give files away
		want.UID, want.GID = 12, 34
	}
	if err := transport.WriteFile(t.Context(), transport.Local{}, path, []byte("x"), want); err != nil {
		t.Fatal(err)
	}
	_, info, err := transport.Local{}.ReadFile(t.Context(), path)
	if err != nil || info.Attributes != want {
		t.Errorf("attributes = %+v, %v; want %+v", info.Attributes, err, want)
	}
}

func TestLocal_pipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (transport.Local{}).ReadFile(t.Context(), path); err == nil {
		t.Error("read a pipe")
	}
	if err := (transport.Local{}).Check(t.Context(), path); err == nil {
		t.Error("check of a pipe passed")
	}
}

func TestLocal_relativePathIsRefused(t *testing.T) {
	if _, _, err := (transport.Local{}).ReadFile(t.Context(), "local_test.go"); err == nil {
		t.Error("read a relative path")
	}
}

func TestWriteFile_failedRenameLeavesNothing(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "file")
	// A directory that is not empty cannot be replaced by a file.
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := transport.WriteFile(t.Context(), transport.Local{}, path, []byte("x"), transport.Attributes{Mode: 0o600, UID: -1, GID: -1})
	if err == nil {
		t.Fatal("replaced a directory")
	}
	var pathError *os.LinkError
	if !errors.As(err, &pathError) {
		t.Errorf("error = %T, want *os.LinkError", err)
	}
	if names, err := (transport.Local{}).List(t.Context(), directory); err != nil || len(names) != 1 {
		t.Errorf("left %q, %v", names, err)
	}
}
