package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const password = "kößel-changeit"

// keyAndChain makes a key with a leaf, an intermediate and a root.
func keyAndChain(t testing.TB, algorithm Algorithm, name string) KeystoreEntry {
	t.Helper()
	entry := KeystoreEntry{Alias: name}
	var parent *x509.Certificate
	var parentKey Key
	for n, common := range []string{"Root of " + name, "Intermediate of " + name, name} {
		key, err := GenerateKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: common},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: n < 2, BasicConstraintsValid: true,
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), parentKey.Signer())
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
		entry.Key, entry.Chain = key, append([]*x509.Certificate{parent}, entry.Chain...)
	}
	return entry
}

func sameEntry(t *testing.T, got, want KeystoreEntry) {
	t.Helper()
	if !strings.EqualFold(got.Alias, want.Alias) || got.Key.Hash() != want.Key.Hash() || !slices.EqualFunc(got.Chain, want.Chain, (*x509.Certificate).Equal) {
		t.Errorf("read %q with %d certificates, key %s; want %q with %d, key %s", got.Alias, len(got.Chain), got.Key.Hash(), want.Alias, len(want.Chain), want.Key.Hash())
	}
}

func kinds() []KeystoreKind { return []KeystoreKind{PKCS12, PKCS12Legacy, JKS} }

func TestKeystore_keepsOtherEntries(t *testing.T) {
	for _, kind := range kinds() {
		for _, algorithm := range []Algorithm{ECDSAP256, RSA2048, Ed25519} {
			t.Run(fmt.Sprintf("%s with %s", kind, algorithm), func(t *testing.T) {
				t.Parallel()
				one, two, renewed := keyAndChain(t, algorithm, "one"), keyAndChain(t, algorithm, "two"), keyAndChain(t, algorithm, "one")
				var held []byte
				var sizes []int
				for _, entry := range []KeystoreEntry{one, two, renewed, one, renewed} {
					var err error
					if held, err = WriteKeystore(kind, held, password, entry); err != nil {
						t.Fatal(err)
					}
					sizes = append(sizes, len(held))
				}
				if grown := sizes[4] - sizes[1]; grown > 200 {
					t.Errorf("the file grows with each renewal: %v bytes", sizes)
				}
				for alias, want := range map[string]KeystoreEntry{"one": renewed, "ONE": renewed, "two": two} {
					got, err := ReadKeystore(kind, held, password, alias)
					if err != nil {
						t.Fatal(err)
					}
					sameEntry(t, got, want)
				}
				for _, alias := range []string{"three", ""} {
					if _, err := ReadKeystore(kind, held, password, alias); !errors.Is(err, ErrNoEntry) || !strings.Contains(err.Error(), `["one" "two"]`) {
						t.Errorf("alias %q: %v, want ErrNoEntry with the aliases there are", alias, err)
					}
				}
			})
		}
	}
}

func TestKeystore_refusesWhatItCannotRead(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			entry := keyAndChain(t, ECDSAP256, "one")
			data, err := WriteKeystore(kind, nil, password, entry)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ReadKeystore(kind, data, "another", ""); !errors.Is(err, ErrKeystorePassword) {
				t.Errorf("another password: %v, want ErrKeystorePassword", err)
			}
			if _, err := WriteKeystore(kind, data, "another", entry); !errors.Is(err, ErrKeystorePassword) {
				t.Errorf("writing with another password: %v, want ErrKeystorePassword", err)
			}
			for _, broken := range [][]byte{{}, []byte("nonsense"), data[:len(data)/2], bytes.Repeat([]byte{0x30}, 100)} {
				if _, err := ReadKeystore(kind, broken, password, ""); err == nil {
					t.Errorf("%d broken bytes are read", len(broken))
				}
			}
			if _, err := WriteKeystore(kind, nil, password, KeystoreEntry{Alias: "x", Chain: entry.Chain}); !errors.Is(err, ErrNoKey) {
				t.Errorf("without a key: %v, want ErrNoKey", err)
			}
			if _, err := WriteKeystore(kind, nil, password, KeystoreEntry{Alias: "x", Key: entry.Key}); !errors.Is(err, ErrNoCertificate) {
				t.Errorf("without a certificate: %v, want ErrNoCertificate", err)
			}
		})
	}
}

// run runs a tool of the machine and returns what it printed.
func run(t *testing.T, tool string, arguments ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
	out, err := exec.Command(tool, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", tool, err, out)
	}
	return string(out)
}

// Java reads what is written here, finds the key by its alias and the whole
// chain; and what Java wrote keeps its other entries.
func TestKeystore_asJavaReadsAndWritesIt(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			file, storetype := filepath.Join(t.TempDir(), "keystore"), strings.TrimSuffix(string(kind), "_LEGACY")
			keytool := func(arguments ...string) string {
				return run(t, "keytool", append(arguments, "-keystore", file, "-storetype", storetype, "-storepass", "changeit")...)
			}
			for _, alias := range []string{"java-one", "java-two"} {
				keytool("-genkeypair", "-alias", alias, "-keyalg", "RSA", "-dname", "CN="+alias, "-keypass", "changeit")
			}
			trusted := filepath.Join(t.TempDir(), "root.pem")
			other := keyAndChain(t, ECDSAP256, "trusted")
			if err := os.WriteFile(trusted, EncodeCertificates(other.Chain[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			keytool("-importcert", "-noprompt", "-alias", "a-root", "-file", trusted)

			fresh := keyAndChain(t, RSA2048, "tomcat")
			for _, entry := range []KeystoreEntry{fresh, {Alias: "java-one", Key: fresh.Key, Chain: fresh.Chain}} {
				held, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				written, err := WriteKeystore(kind, held, "changeit", entry)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, written, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			listed := keytool("-list", "-v")
			for _, want := range []string{"contains 4 entries", "Alias name: tomcat", "Alias name: java-one", "Alias name: java-two", "Alias name: a-root", "Certificate chain length: 3", "Owner: CN=java-two"} {
				if !strings.Contains(listed, want) {
					t.Errorf("keytool does not say %q:\n%s", want, listed)
				}
			}
			if strings.Contains(listed, "Owner: CN=java-one") {
				t.Error("the certificate that was replaced is still there")
			}
			if got := strings.Count(listed, "Owner: CN=tomcat"); got != 2 {
				t.Errorf("the new certificate is there %d times, want under 2 aliases", got)
			}
		})
	}
}

func TestKeystore_asOpenSSLReadsIt(t *testing.T) {
	for _, kind := range []KeystoreKind{PKCS12, PKCS12Legacy} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			entry := keyAndChain(t, ECDSAP256, "web")
			data, err := WriteKeystore(kind, nil, "changeit", entry)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "keystore")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			said := run(t, "openssl", "pkcs12", "-in", file, "-passin", "pass:changeit", "-nodes")
			if strings.Count(said, "BEGIN CERTIFICATE") != 3 || !strings.Contains(said, "friendlyName: web") || !strings.Contains(said, "BEGIN PRIVATE KEY") {
				t.Errorf("openssl finds:\n%s", withoutKey(said))
			}
		})
	}
}

// withoutKey cuts the key out of what a tool printed.
func withoutKey(text string) string {
	before, _, _ := strings.Cut(text, "-----BEGIN PRIVATE KEY")
	return before
}

func FuzzReadKeystore(f *testing.F) {
	entry := keyAndChain(f, ECDSAP256, "one")
	for _, kind := range kinds() {
		data, err := WriteKeystore(kind, nil, password, entry)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range kinds() {
			if got, err := ReadKeystore(kind, data, password, ""); err == nil && (got.Key.Empty() || len(got.Chain) == 0) {
				t.Error("an entry without a key or certificate")
			}
		}
	})
}
