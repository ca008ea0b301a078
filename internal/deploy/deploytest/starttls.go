package deploytest

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Servers that begin TLS when they are asked to. Each is on loopback, in a
// temporary folder, and knows no user.

// rooted skips the test where it does not run as root: the server's own processes
// become other users.
func rooted(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// plain starts a server that answers in clear text, and sets its address.
func (s *Server) plain(t testing.TB, argv func(address string) []string) {
	t.Helper()
	s.Address = port.Address(t)
	launch(t, filepath.Dir(s.Config), nil, argv(s.Address)...)
	answers(t, s.Address)
}

// StartPostfix starts a Postfix that takes mail (SMTP). It loads its files when
// its master is told to by SIGHUP.
func StartPostfix(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	const master = "/usr/lib/postfix/sbin/master"
	need(t, "postfix", master)
	rooted(t)
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	s.writePair(t, chain, key)
	directory := filepath.Dir(s.Config)
	// Its processes are another user's, who has to come past what the test's folder is in.
	if err := os.Chmod(filepath.Dir(directory), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data", "queue/pid", "queue/public", "queue/private", "queue/incoming", "queue/active", "queue/maildrop"} {
		if err := os.MkdirAll(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "queue/pid" {
			continue // root's
		}
		if err := os.Chown(filepath.Join(directory, name), uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	s.PIDFile = filepath.Join(directory, "queue/pid/master.pid")
	write(t, filepath.Join(directory, "main.cf"), fmt.Appendf(nil, `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = /usr/lib/postfix/sbin
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = www.example.com
alias_maps =
alias_database =
local_recipient_maps =
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
smtpd_tls_chain_files = %[2]s, %[3]s
smtpd_tls_security_level = may
`, directory, s.Path("key.pem"), s.Path("fullchain.pem")), 0o644)
	s.plain(t, func(address string) []string {
		write(t, filepath.Join(directory, "master.cf"), fmt.Appendf(nil, `%s inet n - n - - smtpd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`, address), 0o644)
		return []string{master, "-c", directory, "-d"}
	})
	return s
}

// StartDovecot starts a Dovecot, and returns its address for each protocol:
// imap, pop3, lmtp and sieve.
func StartDovecot(t testing.TB, chain []*x509.Certificate, key pki.Key) (*Server, map[string]string) {
	t.Helper()
	need(t, "dovecot-imapd, dovecot-pop3d, dovecot-lmtpd and dovecot-managesieved", "dovecot",
		"/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3", "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/managesieve")
	rooted(t)
	s := newServer(t)
	s.writePair(t, chain, key)
	directory := filepath.Dir(s.Config)
	addresses := map[string]string{}
	text := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
mail_location = maildir:%[1]s/mail
protocols = imap pop3 lmtp sieve
listen = 127.0.0.1
ssl = yes
ssl_cert = <%[2]s
ssl_key = <%[3]s
passdb {
  driver = static
  args = nopassword=y
}
`, directory, s.Path("fullchain.pem"), s.Path("key.pem"))
	for protocol, service := range map[string]string{"imap": "imap-login", "pop3": "pop3-login", "lmtp": "lmtp", "sieve": "managesieve-login"} {
		addresses[protocol] = port.Address(t)
		_, port, err := net.SplitHostPort(addresses[protocol])
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("service %s {\n  chroot =\n  inet_listener %s {\n    address = 127.0.0.1\n    port = %s\n  }\n", service, protocol, port)
		if protocol == "imap" || protocol == "pop3" {
			text += fmt.Sprintf("  inet_listener %ss {\n    port = 0\n  }\n", protocol)
		}
		text += "}\n"
	}
	write(t, s.Config, []byte(text), 0o644)
	launch(t, directory, nil, "dovecot", "-F", "-c", s.Config)
	for _, address := range addresses {
		answers(t, address)
	}
	s.Address = addresses["imap"]
	return s, addresses
}

// StartVsftpd starts an FTP server.
func StartVsftpd(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	need(t, "vsftpd", "vsftpd")
	s := newServer(t)
	s.writePair(t, chain, key)
	directory := filepath.Dir(s.Config)
	if err := os.Mkdir(filepath.Join(directory, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.plain(t, func(address string) []string {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s.Config, fmt.Appendf(nil, `listen=YES
listen_address=127.0.0.1
listen_port=%s
background=NO
anonymous_enable=NO
local_enable=YES
ssl_enable=YES
ssl_ciphers=HIGH
rsa_cert_file=%s
rsa_private_key_file=%s
secure_chroot_dir=%s/empty
vsftpd_log_file=%[4]s/vsftpd.log
run_as_launching_user=YES
seccomp_sandbox=NO
`, port, s.Path("fullchain.pem"), s.Path("key.pem"), directory), 0o600)
		return []string{"vsftpd", s.Config}
	})
	return s
}

// StartSlapd starts an LDAP server without a directory.
func StartSlapd(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	need(t, "slapd", "slapd")
	s := newServer(t)
	s.writePair(t, chain, key)
	write(t, s.Config, fmt.Appendf(nil, "TLSCertificateFile %s\nTLSCertificateKeyFile %s\nTLSCACertificateFile %[1]s\n", s.Path("fullchain.pem"), s.Path("key.pem")), 0o644)
	s.plain(t, func(address string) []string {
		return []string{"slapd", "-h", "ldap://" + address, "-f", s.Config, "-d", "0"}
	})
	return s
}
