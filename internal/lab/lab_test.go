package lab

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func startLab(t *testing.T, options Options) *Lab {
	t.Helper()
	l, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestLab_leavesNothingBehind(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	l, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{host(t, l.DirectoryURL), host(t, l.ResponderURL), host(t, l.ControlURL), l.DNS, l.Web.Address}
	for _, address := range addresses {
		if !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("it listens on %s, want loopback only", address)
		}
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			t.Errorf("nobody listens on %s: %v", address, err)
			continue
		}
		_ = c.Close()
	}
	if err := os.MkdirAll(l.StorageDirectory(), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is no error
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, address := range addresses {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close()
			t.Errorf("somebody still listens on %s", address)
		}
	}
	if _, err := os.Stat(l.Directory); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder: %v, want %v", err, fs.ErrNotExist)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// What was started before a part that cannot be is ended again.
func TestStart_failsCleanly(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	_, err := Start(t.Context(), Options{Provider: filepath.Join(temporary, "no-such-program")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLab_answersForItsZone(t *testing.T) {
	l := startLab(t, Options{})
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion("any.name.test.", dns.TypeA), l.DNS)
	if err != nil || len(answer.Answer) != 1 || !strings.Contains(answer.Answer[0].String(), "127.0.0.1") {
		t.Errorf("%v, %v", answer, err)
	}
}

func served(t *testing.T, l *Lab) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", l.Web.Address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0]
}

func TestWeb_takesFilesOverWhenToldTo(t *testing.T) {
	l := startLab(t, Options{})
	first := served(t, l)
	second, err := newIdentity("new." + Zone)
	if err != nil {
		t.Fatal(err)
	}
	write := func(certificate, key []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(l.Web.Fullchain, certificate, 0o600), os.WriteFile(l.Web.PrivateKey, key, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(second.certPEM, second.keyPEM)
	if !served(t, l).Equal(first) {
		t.Error("it serves the new pair without being told")
	}
	if err := Reload(t.Context(), l.ControlURL); err != nil {
		t.Fatal(err)
	}
	if got := served(t, l).DNSNames; !slices.Equal(got, []string{"new." + Zone}) {
		t.Errorf("it serves %q after the reload", got)
	}
	other, err := newIdentity("other." + Zone)
	if err != nil {
		t.Fatal(err)
	}
	write(second.certPEM, other.keyPEM)
	if err := Reload(t.Context(), l.ControlURL); err == nil || !strings.Contains(err.Error(), "reload the web server") {
		t.Errorf("%v, want why the pair cannot be used", err)
	}
	if got := served(t, l).DNSNames; !slices.Equal(got, []string{"new." + Zone}) {
		t.Errorf("it serves %q after a reload that failed", got)
	}
}

func TestOpenWindow_refusesWhatTheCADidNotIssue(t *testing.T) {
	l := startLab(t, Options{})
	if err := OpenWindow(t.Context(), l.ControlURL, l.Web.Fullchain); err == nil || !strings.Contains(err.Error(), "does not take the window") {
		t.Errorf("%v, want the CA's refusal", err)
	}
	if err := OpenWindow(t.Context(), l.ControlURL, filepath.Join(l.Directory, "nothing.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
}

func TestEnvironment(t *testing.T) {
	program := filepath.Join(t.TempDir(), "provider")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := startLab(t, Options{Provider: program})
	variables := map[string]string{}
	for _, variable := range l.Environment() {
		name, value, ok := strings.Cut(variable, "=")
		if _, twice := variables[name]; !ok || value == "" || twice {
			t.Errorf("%q is empty or set twice", name)
		}
		variables[name] = value
	}
	config, err := os.ReadFile(variables["TF_CLI_CONFIG_FILE"])
	if err != nil || !bytes.Contains(config, []byte("filesystem_mirror")) {
		t.Errorf("Terraform's configuration: %s, %v", config, err)
	}
	copies := 0
	err = filepath.WalkDir(filepath.Join(l.Directory, "terraform", "mirror"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		copies++
		text, err := os.ReadFile(path)
		if string(text) != "program" {
			t.Errorf("%s holds %q", path, text)
		}
		return err
	})
	if err != nil || copies != 2 {
		t.Errorf("%d copies of the provider, %v, want one for each registry", copies, err)
	}
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(variables["CERTIFICATE_LAB_ROOTS"]); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Errorf("the roots: %v", err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM([]byte(variables["CERTIFICATE_ACME_CA_BUNDLE_PEM"]))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	defer client.CloseIdleConnections()
	response, err := client.Get(variables["CERTIFICATE_ACME_DIRECTORY_URL"])
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the directory answers %s", response.Status)
	}
}

func TestStart_refusesALifeNoCertificateHas(t *testing.T) {
	for _, life := range []time.Duration{-time.Hour, time.Millisecond} {
		if l, err := Start(t.Context(), Options{CertificateLife: life}); err == nil {
			_ = l.Close()
			t.Errorf("%s: no error", life)
		}
	}
}
