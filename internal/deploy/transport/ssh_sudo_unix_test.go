//go:build unix

package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// byPassword logs in as a user of the system.
func byPassword(s *transporttest.SSHD, user transporttest.User) transport.Hop {
	hop := hopTo(s)
	hop.User, hop.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	return hop
}

func sudoWith(password string) *transport.Become {
	return &transport.Become{Password: secret.New(password)}
}

func TestSSH_sudo(t *testing.T) {
	user := transporttest.AddUser(t, "ALL=(ALL) NOPASSWD: ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, user), Become: &transport.Become{}})
	transporttest.Run(t, machine, t.TempDir()) // which only root can enter
}

// TestSSH_sudoWithPassword is for what a password on stdin could spoil.
func TestSSH_sudoWithPassword(t *testing.T) {
	for sentence, sudoers := range map[string][]string{
		"for every command":         {"ALL=(ALL) ALL"},
		"but not for dd and cat":    {"ALL=(ALL) ALL", "ALL=(ALL) NOPASSWD: /usr/bin/dd, /usr/bin/cat, /bin/dd, /bin/cat"},
		"but only for dd and mv":    {"ALL=(ALL) NOPASSWD: ALL", "ALL=(ALL) PASSWD: /usr/bin/dd, /usr/bin/mv, /bin/dd, /bin/mv"},
		"but not for certain files": {"ALL=(ALL) ALL", "ALL=(ALL) NOPASSWD: /usr/bin/dd of=*-free-*, /bin/dd of=*-free-*"},
	} {
		t.Run(sentence, func(t *testing.T) {
			user := transporttest.AddUser(t, sudoers...)
			s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
			machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, user), Become: sudoWith(user.Password)})
			directory := t.TempDir()
			for _, name := range []string{"first", "a-free-one", "last"} {
				path := filepath.Join(directory, name)
				for _, data := range []string{"content", "more\n"} {
					if err := transport.WriteFile(t.Context(), machine, path, []byte(data), transport.Attributes{Mode: 0o640, UID: 12, GID: 34}); err != nil {
						t.Fatal(err)
					}
					got, info, err := machine.ReadFile(t.Context(), path)
					if want := (transport.Attributes{Mode: 0o640, UID: 12, GID: 34}); err != nil || string(got) != data || info.Attributes != want {
						t.Errorf("read %q, %+v, %v; want %q, %+v", got, info.Attributes, err, data, want)
					}
				}
			}
			for range 2 {
				out, err := machine.Run(t.Context(), []string{"cat"}, []byte("stdin\n"))
				if want := (transport.Output{Text: "stdin\n"}); err != nil || out != want {
					t.Errorf("run = %+v, %v; want %+v", out, err, want)
				}
			}
			if names, err := machine.List(t.Context(), directory); err != nil || len(names) != 3 {
				t.Errorf("left %q, %v", names, err)
			}
			if strings.Contains(s.Log(), user.Password) {
				t.Error("the password is in sshd's log")
			}
		})
	}
}

func TestSSH_sudoAsAnother(t *testing.T) {
	other := transporttest.AddUser(t)
	user := transporttest.AddUser(t, "ALL=("+other.Name+") NOPASSWD: ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, user), Become: &transport.Become{User: other.Name}})
	out, err := machine.Run(t.Context(), []string{"id", "-un"}, nil)
	if got := strings.TrimSpace(out.Text); err != nil || got != other.Name {
		t.Errorf("runs as %q, %v; want %s", got, err, other.Name)
	}
}

func TestSSH_sudoRefuses(t *testing.T) {
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	allowed := transporttest.AddUser(t, "ALL=(ALL) ALL")
	forbidden := transporttest.AddUser(t)
	for sentence, test := range map[string]struct {
		user     transporttest.User
		password string
		want     string
	}{
		"a wrong password":              {allowed, "hunter2", "the password is wrong"},
		"no password where it wants it": {allowed, "", "wants a password, and none is set"},
		"a user who may not":            {forbidden, forbidden.Password, "not in the sudoers file"},
	} {
		t.Run(sentence, func(t *testing.T) {
			machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, test.user), Become: sudoWith(test.password)})
			file := filepath.Join(t.TempDir(), "file")
			err := transport.WriteFile(t.Context(), machine, file, []byte("content"), transport.Attributes{Mode: 0o600, UID: -1, GID: -1})
			if !errors.Is(err, transport.ErrSudo) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("write = %v, want ErrSudo and %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), test.user.Password)) {
				t.Errorf("the password shows in %v", err)
			}
			// Nor may stdin be taken for a password.
			_, err = machine.Run(t.Context(), []string{"cat"}, []byte("first\nsecond\nthird\n"))
			if test.want != "not in the sudoers file" && !errors.Is(err, transport.ErrSudo) {
				t.Errorf("run = %v, want ErrSudo", err)
			}
		})
	}
}

// TestSSH_nothingSecretInArgv looks at every process of the machine while a key
// is written with a password.
func TestSSH_nothingSecretInArgv(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("needs Linux's /proc")
	}
	user := transporttest.AddUser(t, "ALL=(ALL) ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("c2VjcmV0IGtleSBieXRlcw\n", 100000)
	file := filepath.Join(t.TempDir(), "key.pem")
	for sentence, options := range map[string]transport.SSHOptions{
		"over SFTP": {Hop: byPassword(s, user)},
		"by sudo":   {Hop: byPassword(s, user), Become: sudoWith(user.Password)},
	} {
		t.Run(sentence, func(t *testing.T) {
			path := file
			if options.Become == nil { // a directory of the user's own
				path = filepath.Join("/tmp", user.Name+".pem")
				t.Cleanup(func() { _ = os.Remove(path) }) // it may not have been made
			}
			seen, stop := watchProcesses(t, key[28:60], user.Password)
			machine := newSSH(t, options)
			for range 5 {
				if err := transport.WriteFile(t.Context(), machine, path, []byte(key), transport.Attributes{Mode: 0o600, UID: -1, GID: -1}); err != nil {
					t.Fatal(err)
				}
			}
			stop()
			if options.Become != nil && !seen["dd"] && !seen["sudo"] {
				t.Error("the watch saw neither dd nor sudo, so it proves nothing")
			}
		})
	}
}

// watchProcesses complains about a process with one of the secrets among its
// arguments or in its environment, until stop is called.
func watchProcesses(t *testing.T, secrets ...string) (seen map[string]bool, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	seen = map[string]bool{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
			for _, file := range files {
				text, err := os.ReadFile(file)
				environment, other := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
				if err != nil && other != nil {
					continue // it has ended
				}
				name, _, _ := bytes.Cut(text, []byte{0})
				seen[filepath.Base(string(name))] = true
				for _, secret := range secrets {
					if bytes.Contains(text, []byte(secret)) || bytes.Contains(environment, []byte(secret)) {
						t.Errorf("a secret is in %s or its environment", file)
					}
				}
			}
		}
	}()
	return seen, func() { cancel(); <-done }
}

// TestSSH_cancelKillsWhatSudoStarted needs sudo's own way to kill, because the
// user who logs in may not signal another's process.
func TestSSH_cancelKillsWhatSudoStarted(t *testing.T) {
	user := transporttest.AddUser(t, "ALL=(ALL) ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, user), Become: sudoWith(user.Password)})
	mark := fmt.Sprint("60.", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := machine.Run(ctx, []string{"sleep", mark}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run = %v, want context.DeadlineExceeded", err)
	}
	deadline := time.After(10 * time.Second)
	for running(t, "sleep\x00"+mark) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("the command still runs")
		}
	}
}

func running(t *testing.T, arguments string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.HasPrefix(text, []byte(arguments)) {
			return true
		}
	}
	return false
}
