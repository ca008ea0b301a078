//go:build unix

package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func open() transport.Attributes {
	return transport.Attributes{Mode: 0o600, UID: transport.Unknown, GID: transport.Unknown}
}

// ways are the two kinds of server.
func ways() map[string][]string {
	return map[string][]string{"over SFTP": nil, "by the shell": {transporttest.NoSFTP}}
}

func TestSSH_lostWhileWriting(t *testing.T) {
	for sentence, lines := range ways() {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, lines...)
			machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s)})
			directory := t.TempDir()
			path := filepath.Join(directory, "key.pem")
			if err := transport.WriteFile(t.Context(), machine, path, []byte("old"), open()); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				done <- transport.WriteFile(t.Context(), machine, path, bytes.Repeat([]byte("secret "), 2<<20), open())
			}()
			for began := false; !began; { // until something of the new file is there
				select {
				case err := <-done:
					t.Fatalf("the write was over before the connection could be cut: %v", err)
				default:
				}
				entries, err := os.ReadDir(directory)
				if err != nil {
					t.Fatal(err)
				}
				for _, entry := range entries {
					info, err := entry.Info()
					began = began || err == nil && entry.Name() != "key.pem" && entry.Type().IsRegular() && info.Size() > 0
				}
			}
			s.Kill()
			err := <-done
			if !errors.Is(err, transport.ErrConnection) || strings.Contains(err.Error(), "secret") {
				t.Errorf("write = %v, want ErrConnection", err)
			}
			// The next operation connects again and finds the old file.
			if got, _, err := machine.ReadFile(t.Context(), path); err != nil || string(got) != "old" {
				t.Errorf("read %q, %v; want the old content", got, err)
			}
			names, err := machine.List(t.Context(), directory)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				info, err := os.Stat(filepath.Join(directory, name))
				switch {
				case err != nil:
					t.Error(err)
				case name != "key.pem" && !transport.IsTemporary(name, "key.pem"):
					t.Errorf("left %s, which nobody clears away", name)
				case info.Mode().Perm() != 0o600:
					t.Errorf("%s has the mode %o", name, info.Mode())
				}
			}
			if got := s.Connections(); got != 2 {
				t.Errorf("%d connections, want 2", got)
			}
		})
	}
}

func TestSSH_unreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody takes
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	s := transporttest.StartSSHD(t)
	other := transporttest.NewGate(t, s.Address)
	other.Cut()
	for sentence, test := range map[string]struct{ address, want string }{
		"a closed port":              {"127.0.0.1:1", "refused"},
		"a name that does not exist": {"host.invalid:22", "host.invalid"},
		"a host that says nothing":   {silent.Addr().String(), "did not answer within 300ms (connect_timeout)"},
		"a host that hangs up":       {other.Address, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			hop := hopTo(s)
			hop.Address = test.address
			machine := newSSH(t, transport.SSHOptions{Hop: hop, ConnectTimeout: 300 * time.Millisecond})
			_, err := machine.List(t.Context(), "/")
			if !errors.Is(err, transport.ErrUnreachable) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), strings.Split(test.address, ":")[0]) {
				t.Errorf("list = %v, want ErrUnreachable, the address and %q", err, test.want)
			}
		})
	}
}

func TestSSH_deadConnectionIsNoticed(t *testing.T) {
	s := transporttest.StartSSHD(t)
	gate := transporttest.NewGate(t, s.Address)
	hop := hopTo(s)
	hop.Address, hop.Trust = gate.Address, transport.HostTrust{HostKey: ssh.FingerprintSHA256(s.HostKey)}
	machine := newSSH(t, transport.SSHOptions{Hop: hop, KeepAlive: 100 * time.Millisecond})
	if _, err := machine.List(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	gate.Shut()
	_, err := machine.Run(t.Context(), []string{"sleep", "60"}, nil)
	if !errors.Is(err, transport.ErrConnection) || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("run = %v, want ErrConnection", err)
	}
	gate.Open()
	if _, err := machine.List(t.Context(), "/"); err != nil {
		t.Errorf("after the network came back: %v", err)
	}
}

func TestSSH_fullDisk(t *testing.T) {
	for sentence, lines := range ways() {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, lines...)
			machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s)})
			directory := transporttest.SmallDisk(t)
			path := filepath.Join(directory, "key.pem")
			if err := transport.WriteFile(t.Context(), machine, path, []byte("old"), open()); err != nil {
				t.Fatal(err)
			}
			err := transport.WriteFile(t.Context(), machine, path, bytes.Repeat([]byte("secret "), 30000), open())
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") && !strings.Contains(err.Error(), "No space left on device") {
				t.Errorf("write = %v, want no space left", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("content in %v", err)
			}
			names, err := machine.List(t.Context(), directory)
			if err != nil || len(names) != 1 {
				t.Errorf("left %q, %v; want the old file alone", names, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
				t.Errorf("the file holds %q, %v", got, err)
			}
		})
	}
}

func TestSSH_unwritable(t *testing.T) {
	user := transporttest.AddUser(t)
	for sentence, lines := range ways() {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, append(lines, "PasswordAuthentication yes")...)
			machine := newSSH(t, transport.SSHOptions{Hop: byPassword(s, user)})
			calls := map[string]error{
				"check": machine.Check(t.Context(), "/usr/key.pem"),
				"write": transport.WriteFile(t.Context(), machine, "/usr/key.pem", nil, open()),
			}
			_, _, calls["read"] = machine.ReadFile(t.Context(), "/etc/shadow")
			_, calls["list"] = machine.List(t.Context(), "/root")
			for name, err := range calls {
				if !errors.Is(err, fs.ErrPermission) {
					t.Errorf("%s = %v, want fs.ErrPermission", name, err)
				}
			}
		})
	}
}

func TestSSH_commandThatHangs(t *testing.T) {
	s := transporttest.StartSSHD(t)
	machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s), CommandTimeout: 300 * time.Millisecond})
	_, err := machine.Run(t.Context(), []string{"sleep", "60"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no end after 300ms (command_timeout)") {
		t.Errorf("run = %v, want the timeout named", err)
	}
	if out, err := machine.Run(t.Context(), []string{"echo", "on"}, nil); err != nil || out.Text != "on\n" {
		t.Errorf("the next command: %+v, %v", out, err)
	}
}

// TestSSH_cancelledOnTheWay ends each operation while the network holds back
// what it waits for.
func TestSSH_cancelledOnTheWay(t *testing.T) {
	type operation func(context.Context, *transport.SSH, string) error
	operations := map[string]operation{
		"read": func(ctx context.Context, machine *transport.SSH, path string) error {
			_, _, err := machine.ReadFile(ctx, path)
			return err
		},
		"stage": func(ctx context.Context, machine *transport.SSH, path string) error {
			_, err := machine.Stage(ctx, path, []byte("new"), open())
			return err
		},
		"rename": func(ctx context.Context, machine *transport.SSH, path string) error {
			return machine.Rename(ctx, transport.Staged{Temporary: path + ".new", Path: path})
		},
		"remove": func(ctx context.Context, machine *transport.SSH, path string) error { return machine.Remove(ctx, path) },
		"list": func(ctx context.Context, machine *transport.SSH, path string) error {
			_, err := machine.List(ctx, filepath.Dir(path))
			return err
		},
		"check": func(ctx context.Context, machine *transport.SSH, path string) error { return machine.Check(ctx, path) },
		"run": func(ctx context.Context, machine *transport.SSH, _ string) error {
			_, err := machine.Run(ctx, []string{"true"}, nil)
			return err
		},
		"connect": func(ctx context.Context, machine *transport.SSH, path string) error {
			if err := machine.Close(); err != nil {
				return err
			}
			return machine.Check(ctx, path)
		},
	}
	for sentence, lines := range ways() {
		s := transporttest.StartSSHD(t, lines...)
		for name, run := range operations {
			t.Run(name+" "+sentence, func(t *testing.T) {
				gate := transporttest.NewGate(t, s.Address)
				hop := hopTo(s)
				hop.Address, hop.Trust = gate.Address, transport.HostTrust{HostKey: ssh.FingerprintSHA256(s.HostKey)}
				machine := newSSH(t, transport.SSHOptions{Hop: hop})
				path := filepath.Join(t.TempDir(), "file")
				if err := transport.WriteFile(t.Context(), machine, path, []byte("old"), open()); err != nil {
					t.Fatal(err)
				}
				gate.Shut()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(50*time.Millisecond, cancel)
				started := time.Now()
				if err := run(ctx, machine, path); !errors.Is(err, context.Canceled) {
					t.Errorf("%s = %v, want context.Canceled", name, err)
				}
				if took := time.Since(started); took > 20*time.Second {
					t.Errorf("%s took %v after its context ended", name, took)
				}
				gate.Open()
				if _, err := machine.List(t.Context(), filepath.Dir(path)); err != nil {
					t.Errorf("after the network came back: %v", err)
				}
			})
		}
	}
}

func TestSSH_loginShellsAreHeardOut(t *testing.T) {
	for sentence, test := range map[string]struct{ command, want string }{
		"start-up files that talk":  {`echo welcome; echo "no terminal" >&2; sh -c "$SSH_ORIGINAL_COMMAND"`, ""},
		"an account without one":    {"echo This account is currently not available.; exit 1", "currently not available"},
		"an account for files only": {"internal-sftp", "runs no commands"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := transporttest.StartSSHD(t, "ForceCommand "+test.command, transporttest.NoSFTP)
			machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s)})
			out, err := machine.Run(t.Context(), []string{"echo", "on"}, nil)
			switch {
			case test.want == "" && (err != nil || out.Text != "on\n"):
				t.Errorf("run = %+v, %v; want what echo says", out, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("run = %+v, %v; want an error with %q", out, err, test.want)
			}
		})
	}
}

// TestSSH_filesOnly is an account that has SFTP and no commands at all.
func TestSSH_filesOnly(t *testing.T) {
	s := transporttest.StartSSHD(t, "ForceCommand internal-sftp")
	machine := newSSH(t, transport.SSHOptions{Hop: hopTo(s)})
	path := filepath.Join(t.TempDir(), "file")
	if err := machine.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
	for _, data := range []string{"old", "new"} {
		if err := transport.WriteFile(t.Context(), machine, path, []byte(data), open()); err != nil {
			t.Fatal(err)
		}
		if got, _, err := machine.ReadFile(t.Context(), path); err != nil || string(got) != data {
			t.Errorf("read %q, %v; want %q", got, err, data)
		}
	}
	if err := machine.Remove(t.Context(), path); err != nil {
		t.Error(err)
	}
}

// hangingUp is a server that closes every channel in which a command was begun,
// without a status. A real sshd does not.
func hangingUp(t *testing.T) transport.Hop {
	t.Helper()
	host, err := ssh.NewSignerFromKey(transporttest.Ed25519Key(t))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // ends the loop
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			_, channels, requests, err := ssh.NewServerConn(raw, config)
			if err != nil {
				continue
			}
			go ssh.DiscardRequests(requests)
			go func() {
				for offered := range channels {
					channel, requests, err := offered.Accept()
					if err != nil {
						return
					}
					go func() {
						for request := range requests {
							_ = request.Reply(request.Type == "exec", nil) // the client may be gone
							if request.Type == "exec" {
								_ = channel.Close() // which is what the test is for
							}
						}
					}()
				}
			}()
		}
	}()
	key, _ := transporttest.LoginKey(t, "")
	return transport.Hop{
		Address: listener.Addr().String(), User: "u", Trust: transport.HostTrust{HostKey: ssh.FingerprintSHA256(host.PublicKey())},
		Credentials: transport.Credentials{PrivateKey: secret.New(string(key))},
	}
}

func TestSSH_serverThatDoesNotSayHowACommandEnded(t *testing.T) {
	machine := newSSH(t, transport.SSHOptions{Hop: hangingUp(t)})
	if out, err := machine.Run(t.Context(), []string{"true"}, nil); err == nil || !strings.Contains(err.Error(), "without saying how the command ended") {
		t.Errorf("run = %+v, %v; want an error", out, err)
	}
	if err := transport.WriteFile(t.Context(), machine, "/tmp/x", nil, open()); err == nil {
		t.Error("a write without a status succeeded")
	}
}
