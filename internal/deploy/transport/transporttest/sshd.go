//go:build unix

package transporttest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHD is a real sshd with keys of its own. One process serves each connection,
// as inetd would start it, so that the port is the kernel's choice and a test
// can end one connection.
type SSHD struct {
	Address   string
	Directory string        // of its keys and log
	HostKey   ssh.PublicKey // what it shows
	User      string        // who may log in: this process's user
	Key       []byte        // private key of that user, PEM

	binary      string
	connections atomic.Int64
	mu          sync.Mutex
	running     map[*exec.Cmd]net.Conn
}

// StartSSHD starts an sshd with more lines for its configuration; the first
// value of a keyword counts. Without one installed it skips the test.
func StartSSHD(t testing.TB, lines ...string) *SSHD {
	t.Helper()
	binary := lookPath("sshd")
	if binary == "" {
		t.Skip("needs the apt package openssh-server")
	}
	if os.Getuid() == 0 { // sshd's empty directory; the package's service makes it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &SSHD{Directory: openDirectory(t), User: who.Username, binary: binary, running: map[*exec.Cmd]net.Conn{}}
	s.HostKey = s.AddHostKey(t, "host_ed25519", Ed25519Key(t))
	var public ssh.PublicKey
	s.Key, public = LoginKey(t, "")
	s.Authorize(t, public)
	s.Configure(t, lines...)
	s.listen(t)
	return s
}

// Configure writes the configuration for the connections to come.
func (s *SSHD) Configure(t testing.TB, lines ...string) {
	t.Helper()
	lines = append(lines,
		"HostKey "+filepath.Join(s.Directory, "host_ed25519"),
		"AuthorizedKeysFile "+filepath.Join(s.Directory, "authorized_keys"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin yes", "PidFile none", "UseDNS no", "LogLevel VERBOSE",
		// So that bash does not read its start-up file for every command.
		"SetEnv SHLVL=9",
		"MaxStartups 100", "PerSourcePenalties no",
	)
	if !s.knows("PerSourcePenalties no") {
		lines = lines[:len(lines)-1]
	}
	if !slices.Contains(lines, NoSFTP) {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	s.Write(t, "sshd_config", []byte(strings.Join(lines, "\n")+"\n"))
	out, err := exec.Command(s.binary, "-t", "-f", filepath.Join(s.Directory, "sshd_config")).CombinedOutput()
	if err != nil {
		t.Fatalf("sshd -t: %v: %s", err, out)
	}
}

// knows reports whether this version of sshd takes a line.
func (s *SSHD) knows(line string) bool {
	return exec.Command(s.binary, "-t", "-f", "/dev/null", "-h", filepath.Join(s.Directory, "host_ed25519"), "-o", line).Run() == nil
}

// Authorize lets the owners of keys in, and nobody else.
func (s *SSHD) Authorize(t testing.TB, keys ...ssh.PublicKey) {
	t.Helper()
	var text []byte
	for _, key := range keys {
		text = append(text, ssh.MarshalAuthorizedKey(key)...)
	}
	if err := os.Chmod(s.Write(t, "authorized_keys", text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// NoSFTP stands for the line that is missing in a server without the subsystem.
const NoSFTP = "# no SFTP"

// AddHostKey writes a host key beside the configuration, for a HostKey line.
func (s *SSHD) AddHostKey(t testing.TB, name string, key any) ssh.PublicKey {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, name, pem.EncodeToMemory(block))
	return signer.PublicKey()
}

// Write puts a file into the server's directory and returns its path.
func (s *SSHD) Write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(s.Directory, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *SSHD) listen(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			all.Go(func() { s.serve(connection) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // ends the loop
		s.Kill()
		all.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", s.Log())
		}
	})
}

// serve hands a connection to an sshd of its own.
func (s *SSHD) serve(connection net.Conn) {
	defer func() { _ = connection.Close() }() // sshd has a copy
	file, err := connection.(*net.TCPConn).File()
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // as above
	command := exec.Command(s.binary, "-i", "-f", filepath.Join(s.Directory, "sshd_config"), "-E", filepath.Join(s.Directory, "log"))
	command.Stdin, command.Stdout = file, file
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.mu.Lock()
	err = command.Start()
	if err == nil {
		s.running[command] = connection
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	_ = file.Close() // so that the connection ends with sshd
	_ = command.Wait()
	s.mu.Lock()
	delete(s.running, command)
	s.mu.Unlock()
}

// Kill ends the sshd processes of all connections at once, as a crash of the
// machine would.
func (s *SSHD) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for command, connection := range s.running {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // it may have ended already
		_ = connection.Close()
	}
}

// Connections counts those that were made so far.
func (s *SSHD) Connections() int { return int(s.connections.Load()) }

// Log is what sshd wrote.
func (s *SSHD) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Directory, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// openDirectory is one that other users can enter: sshd reads a user's keys as
// that user.
func openDirectory(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	for _, path := range []string{filepath.Dir(directory), directory} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// KnownHosts is the line for this server in known_hosts.
func (s *SSHD) KnownHosts() string { return KnownHosts(s.Address, s.HostKey) }

// KnownHosts is a line of known_hosts.
func KnownHosts(address string, key ssh.PublicKey) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		address = "[" + host + "]:" + port
	}
	return address + " " + string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))) + "\n"
}

// AuthorizedKey is a line of authorized_keys.
func AuthorizedKey(key ssh.PublicKey) string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
}

// Ed25519Key makes a private key.
func Ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// RSAKey makes a private key.
func RSAKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// LoginKey makes a private key, encrypted where a passphrase is given.
func LoginKey(t testing.TB, passphrase string) ([]byte, ssh.PublicKey) {
	t.Helper()
	key := Ed25519Key(t)
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), public
}

// lookPath finds servers in folders that are not on everybody's PATH.
func lookPath(name string) string {
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return path
		}
	}
	return ""
}

// SignUser makes a user certificate as in id_ed25519-cert.pub.
func SignUser(t testing.TB, authority any, key ssh.PublicKey, principal string) string {
	t.Helper()
	return string(ssh.MarshalAuthorizedKey(sign(t, authority, key, ssh.UserCert, principal)))
}

// SignHost makes a host certificate as in ssh_host_ed25519_key-cert.pub.
func SignHost(t testing.TB, authority any, key ssh.PublicKey, principal string) string {
	t.Helper()
	return string(ssh.MarshalAuthorizedKey(sign(t, authority, key, ssh.HostCert, principal)))
}

func sign(t testing.TB, authority any, key ssh.PublicKey, kind uint32, principal string) *ssh.Certificate {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(authority)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{
		Key: key, CertType: kind, KeyId: fmt.Sprintf("test of %s", principal), ValidPrincipals: []string{principal},
		ValidBefore: ssh.CertTimeInfinity,
	}
	if kind == ssh.UserCert {
		certificate.Extensions = map[string]string{"permit-port-forwarding": "", "permit-pty": ""}
	}
	if err := certificate.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	return certificate
}
