//go:build unix

package transporttest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// User is an account of this system that lives as long as a test.
type User struct{ Name, Password string }

// AddUser makes an account that is allowed what the lines say, in sudoers'
// manner behind the name of the user, as in "ALL=(ALL) ALL". It skips the test
// unless it runs as root.
func AddUser(t testing.TB, sudoers ...string) User {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make an account")
	}
	if lookPath("sudo") == "" {
		t.Skip("needs the apt package sudo")
	}
	random := make([]byte, 12)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	u := User{"certtest" + hex.EncodeToString(random[:4]), "pass-" + hex.EncodeToString(random)}
	system(t, "", "useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", u.Name)
	t.Cleanup(func() { system(t, "", "userdel", "--force", u.Name) })
	system(t, u.Name+":"+u.Password+"\n", "chpasswd")
	if len(sudoers) == 0 {
		return u
	}
	file := filepath.Join("/etc/sudoers.d", u.Name)
	text := u.Name + " " + strings.Join(sudoers, "\n"+u.Name+" ") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	})
	system(t, "", "visudo", "-c", "-q", "-f", file)
	return u
}

// system runs a command on this machine.
func system(t testing.TB, stdin, name string, arguments ...string) {
	t.Helper()
	if path := lookPath(name); path != "" {
		name = path
	}
	command := exec.Command(name, arguments...)
	command.Stdin = strings.NewReader(stdin)
	if out, err := command.CombinedOutput(); err != nil {
		t.Error(fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, out))
	}
}

// SmallDisk mounts a filesystem of a few pages, which is full soon. It skips the
// test unless it runs as root.
func SmallDisk(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small filesystem")
	}
	directory := t.TempDir()
	system(t, "", "mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", directory)
	t.Cleanup(func() { system(t, "", "umount", "--lazy", directory) })
	return directory
}
