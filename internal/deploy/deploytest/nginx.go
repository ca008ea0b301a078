package deploytest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Nginx is a running nginx with one TLS server on loopback.
type Nginx struct {
	Prefix         string // for -p
	Config         string // for -c
	FullchainPath  string
	PrivateKeyPath string
	Address        string // host:port

	backend string
}

// StartNginx writes a certificate and starts an nginx with it that passes every
// request on to backend, a host:port. Without an nginx on PATH it skips the test.
func StartNginx(t testing.TB, chain []*x509.Certificate, key pki.Key, backend string) *Nginx {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("needs the apt package nginx")
	}
	prefix := t.TempDir()
	// A private directory, but nginx's workers may be another user.
	if err := os.Chmod(prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	n := &Nginx{
		Prefix: prefix, Config: filepath.Join(prefix, "nginx.conf"), backend: backend,
		FullchainPath: filepath.Join(prefix, "tls", "fullchain.pem"), PrivateKeyPath: filepath.Join(prefix, "tls", "key.pem"),
	}
	if err := os.Mkdir(filepath.Dir(n.FullchainPath), 0o700); err != nil {
		t.Fatal(err)
	}
	n.WritePair(t, chain, key)
	n.Address = port.Address(t)
	n.WriteConfig(t, "")
	if err := n.run(); err != nil {
		t.Fatalf("start nginx: %v", err)
	}
	t.Cleanup(func() { n.Stop(t) })
	n.await(t)
	return n
}

// WritePair writes the certificate files, past any deployment.
func (n *Nginx) WritePair(t testing.TB, chain []*x509.Certificate, key pki.Key) {
	t.Helper()
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, n.PrivateKeyPath, text, 0o600)
	write(t, n.FullchainPath, pki.EncodeCertificates(chain...), 0o644)
}

// WriteConfig writes the configuration with more directives for its server.
func (n *Nginx) WriteConfig(t testing.TB, more string) {
	t.Helper()
	proxy := "return 200 ok;"
	if n.backend != "" {
		proxy = "proxy_pass http://" + n.backend + ";"
	}
	text := fmt.Sprintf(`worker_processes 1;
pid nginx.pid;
error_log error.log notice;
events {}
http {
	access_log off;
	client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
	server {
		listen %s ssl;
		ssl_certificate %s;
		ssl_certificate_key %s;
		location / { %s }
		%s
	}
}
`, n.Address, n.FullchainPath, n.PrivateKeyPath, proxy, more)
	write(t, n.Config, []byte(text), 0o644)
}

// Stop ends nginx if it runs, whatever its configuration is by now, and waits
// for that.
func (n *Nginx) Stop(t testing.TB) {
	t.Helper()
	file := filepath.Join(n.Prefix, "nginx.pid")
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 { // a test of the configuration leaves it empty
		return // it does not run
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatalf("stop nginx: %v", err)
	}
	for range 500 {
		if _, err := os.Stat(file); err != nil {
			return
		}
		wait()
	}
	t.Error("nginx does not stop")
}

// Reloads counts how often nginx has loaded its configuration again.
func (n *Nginx) Reloads(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.Prefix, "error.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), ": reconfiguring")
}

// Reload makes nginx load its files.
func (n *Nginx) Reload(t testing.TB) {
	t.Helper()
	if err := n.run("-s", "reload"); err != nil {
		t.Fatal(err)
	}
}

func (n *Nginx) run(arguments ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "nginx", append([]string{"-p", n.Prefix, "-c", n.Config}, arguments...)...)
	command.WaitDelay = time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nginx %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// await waits until nginx answers and its pid file is there.
func (n *Nginx) await(t testing.TB) {
	t.Helper()
	for range 500 {
		_, err := os.Stat(filepath.Join(n.Prefix, "nginx.pid"))
		connection, dialed := net.Dial("tcp", n.Address)
		if dialed == nil {
			_ = connection.Close()
			if err == nil {
				return
			}
		}
		wait()
	}
	t.Fatal("nginx does not answer")
}

func wait() { <-time.After(10 * time.Millisecond) }

func write(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}
