package deploytest

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Server is a running server of a kind, with one certificate on loopback.
type Server struct {
	Address string // host:port
	Files   string // the folder with the files of certificate and key
	Config  string
	PIDFile string
	Socket  string // HAProxy's
	Manager string // URL of the administration, for the user below

	deafen func() // of a fake
}

// Deafen has a fake say yes to everything and load nothing.
func (s *Server) Deafen() { s.deafen() }

// The user of Tomcat's manager, and the password of the keystores.
const (
	ManagerUser     = "deployer"
	ManagerPassword = "Reload-Secret"
	StorePassword   = "Store-Secret"
)

// Path of a file of the server.
func (s *Server) Path(name string) string { return filepath.Join(s.Files, name) }

// Stop ends the server, if it runs.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	stop(t, s.PIDFile)
}

func (s *Server) writePair(t testing.TB, chain []*x509.Certificate, key pki.Key) {
	t.Helper()
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Path("key.pem"), text, 0o600)
	write(t, s.Path("fullchain.pem"), pki.EncodeCertificates(chain...), 0o644)
	write(t, s.Path("combined.pem"), append(pki.EncodeCertificates(chain...), text...), 0o600)
}

// WriteKeystore writes the keystore, past any deployment.
func (s *Server) WriteKeystore(t testing.TB, kind pki.KeystoreKind, entries ...pki.KeystoreEntry) {
	t.Helper()
	var data []byte
	for _, entry := range entries {
		var err error
		if data, err = pki.WriteKeystore(kind, data, StorePassword, entry); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.Path("keystore"), data, 0o600)
}

func newServer(t testing.TB) *Server {
	t.Helper()
	directory := folder(t)
	s := &Server{Files: filepath.Join(directory, "tls"), Config: filepath.Join(directory, "server.conf"), PIDFile: filepath.Join(directory, "server.pid")}
	if err := os.Mkdir(s.Files, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// StartApache starts an Apache httpd, or skips the test where there is none.
func StartApache(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	need(t, "apache2", "apache2")
	s := newServer(t)
	s.writePair(t, chain, key)
	s.Address = port.Address(t)
	s.WriteApacheConfig(t, "")
	if err := execute("apache2", "-f", s.Config, "-k", "start"); err != nil {
		t.Fatal(err)
	}
	serves(t, s.Address)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// WriteApacheConfig writes the configuration with more directives.
func (s *Server) WriteApacheConfig(t testing.TB, more string) {
	t.Helper()
	directory := filepath.Dir(s.Config)
	write(t, s.Config, fmt.Appendf(nil, `ServerRoot %[1]s
ServerName www.example.com
PidFile %[2]s
ErrorLog %[1]s/error.log
Mutex posixsem
Listen %[3]s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User nobody
Group nogroup
<VirtualHost *>
	SSLEngine on
	SSLCertificateFile %[4]s/fullchain.pem
	SSLCertificateKeyFile %[4]s/key.pem
</VirtualHost>
%[5]s
`, directory, s.PIDFile, s.Address, s.Files, more), 0o644)
}

// StartHAProxy starts a HAProxy with a runtime API, or skips the test.
func StartHAProxy(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	need(t, "haproxy", "haproxy")
	need(t, "socat", "socat")
	s := newServer(t)
	s.Socket = filepath.Join(filepath.Dir(s.Config), "admin.sock")
	s.writePair(t, chain, key)
	s.Address = port.Address(t)
	s.WriteHAProxyConfig(t, "")
	if err := execute("haproxy", "-W", "-D", "-f", s.Config, "-p", s.PIDFile); err != nil {
		t.Fatal(err)
	}
	serves(t, s.Address)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// WriteHAProxyConfig writes the configuration with more directives.
func (s *Server) WriteHAProxyConfig(t testing.TB, more string) {
	t.Helper()
	write(t, s.Config, fmt.Appendf(nil, `global
	stats socket %s mode 600 level admin expose-fd listeners
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend tls
	bind %s ssl crt %s
	http-request return status 200
%s
`, s.Socket, s.Address, s.Path("combined.pem"), more), 0o644)
}

// StartTomcat starts a Tomcat with its manager, or skips the test. The TLS
// configuration is that of the keystore, or of PEM files where kind is empty.
func StartTomcat(t testing.TB, kind pki.KeystoreKind, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	const home = "/usr/share/tomcat10"
	need(t, "tomcat10 and tomcat10-admin", home+"/bin/bootstrap.jar", "/usr/share/tomcat10-admin/manager", "java")
	s := newServer(t)
	base := filepath.Dir(s.Config)
	for _, name := range []string{"conf", "conf/Catalina", "conf/Catalina/localhost", "logs", "temp", "webapps", "work"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	certificate := fmt.Sprintf(`certificateFile="%s" certificateKeyFile="%s"`, s.Path("fullchain.pem"), s.Path("key.pem"))
	if kind != "" {
		s.WriteKeystore(t, kind, pki.KeystoreEntry{Alias: "tomcat", Key: key, Chain: chain})
		certificate = fmt.Sprintf(`certificateKeystoreFile="%s" certificateKeystorePassword="%s" certificateKeystoreType="%s" certificateKeyAlias="tomcat"`, s.Path("keystore"), StorePassword, kind)
	} else {
		s.writePair(t, chain, key)
	}
	s.Address, s.Manager = port.Address(t), "http://"+port.Address(t)
	_, port, _ := net.SplitHostPort(s.Address)
	_, managerPort, _ := net.SplitHostPort(s.Manager[len("http://"):])
	write(t, filepath.Join(base, "conf", "server.xml"), fmt.Appendf(nil, `<Server port="-1">
  <GlobalNamingResources>
    <Resource name="UserDatabase" auth="Container" type="org.apache.catalina.UserDatabase" factory="org.apache.catalina.users.MemoryUserDatabaseFactory" pathname="conf/tomcat-users.xml"/>
  </GlobalNamingResources>
  <Service name="Catalina">
    <Connector port="%s" address="127.0.0.1" protocol="HTTP/1.1"/>
    <Connector port="%s" address="127.0.0.1" protocol="org.apache.coyote.http11.Http11NioProtocol" SSLEnabled="true">
      <SSLHostConfig><Certificate %s/></SSLHostConfig>
    </Connector>
    <Engine name="Catalina" defaultHost="localhost">
      <Realm className="org.apache.catalina.realm.UserDatabaseRealm" resourceName="UserDatabase"/>
      <Host name="localhost" appBase="webapps"/>
    </Engine>
  </Service>
</Server>
`, managerPort, port, certificate), 0o600)
	write(t, filepath.Join(base, "conf", "tomcat-users.xml"), fmt.Appendf(nil, `<tomcat-users><role rolename="manager-script"/><user username="%s" password="%s" roles="manager-script"/></tomcat-users>`, ManagerUser, ManagerPassword), 0o600)
	write(t, filepath.Join(base, "conf", "web.xml"), []byte(`<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"/>`), 0o644)
	write(t, filepath.Join(base, "conf", "Catalina", "localhost", "manager.xml"), []byte(`<Context docBase="/usr/share/tomcat10-admin/manager" privileged="true"/>`), 0o644)
	launch(t, base, nil, "java", "-Dcatalina.home="+home, "-Dcatalina.base="+base, "-Djava.io.tmpdir="+filepath.Join(base, "temp"),
		"-cp", home+"/bin/bootstrap.jar:"+home+"/bin/tomcat-juli.jar", "org.apache.catalina.startup.Bootstrap", "start")
	serves(t, s.Address)
	answers(t, s.Manager[len("http://"):])
	return s
}

// StartJetty starts a Jetty that looks at its keystore every second, or skips
// the test.
func StartJetty(t testing.TB, kind pki.KeystoreKind, chain []*x509.Certificate, key pki.Key) *Server {
	t.Helper()
	const home = "/usr/share/jetty9"
	need(t, "jetty9", home+"/start.jar", "java")
	s := newServer(t)
	base := filepath.Dir(s.Config)
	s.WriteKeystore(t, kind, pki.KeystoreEntry{Alias: "jetty", Key: key, Chain: chain})
	s.Address = port.Address(t)
	host, port, _ := net.SplitHostPort(s.Address)
	if err := os.Mkdir(filepath.Join(base, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "start.ini"), fmt.Appendf(nil, `--module=https
--module=ssl-reload
jetty.ssl.host=%s
jetty.ssl.port=%s
jetty.sslContext.keyStoreAbsolutePath=%[3]s
jetty.sslContext.trustStoreAbsolutePath=%[3]s
jetty.sslContext.keyStoreType=%[4]s
jetty.sslContext.trustStoreType=%[4]s
jetty.sslContext.keyStorePassword=%[5]s
jetty.sslContext.trustStorePassword=%[5]s
jetty.sslContext.keyManagerPassword=%[5]s
jetty.sslContext.reload.scanInterval=1
`, host, port, s.Path("keystore"), kind, StorePassword), 0o600)
	launch(t, base, nil, "java", "-Djava.io.tmpdir="+base, "-jar", home+"/start.jar", "jetty.home="+home, "jetty.base="+base)
	serves(t, s.Address)
	return s
}
