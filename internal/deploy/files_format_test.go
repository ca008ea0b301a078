package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

const storePassword = "Store-Secret"

// say runs a tool that reads what was written, or skips the test.
func say(t *testing.T, tool string, arguments ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
	out, err := exec.CommandContext(t.Context(), tool, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, arguments, err, out)
	}
	return string(out)
}

// What others read in the files that are no PEM.
func TestFiles_formatsAsOthersReadThem(t *testing.T) {
	f := newApp(t)
	fingerprint := strings.ToUpper(pki.Fingerprint(f.fresh.Chain[0]))
	plain := func(text string) string { return strings.ToUpper(strings.ReplaceAll(text, ":", "")) }
	opensslStore := func(t *testing.T, file string) string {
		t.Helper()
		return say(t, "openssl", "pkcs12", "-in", file, "-passin", "pass:"+storePassword, "-nodes", "-clcerts")
	}
	keytool := func(kind string) func(*testing.T, string) string {
		return func(t *testing.T, file string) string {
			t.Helper()
			return say(t, "keytool", "-list", "-v", "-keystore", file, "-storetype", kind, "-storepass", storePassword)
		}
	}
	store := func(file string, kind pki.KeystoreKind) StoreOptions {
		return StoreOptions{Path: file, Kind: kind, Password: secret.New(storePassword), Alias: "web"}
	}
	tests := map[string]struct {
		options func(file string) FilesOptions
		read    func(t *testing.T, file string) string
		want    []string // in what the tool says, in capitals without colons
	}{
		"DER is the leaf": {
			func(file string) FilesOptions { return FilesOptions{DERPath: file} },
			func(t *testing.T, file string) string {
				return say(t, "openssl", "x509", "-inform", "DER", "-in", file, "-noout", "-fingerprint", "-sha256")
			},
			[]string{fingerprint},
		},
		"PKCS#7 is the whole chain": {
			func(file string) FilesOptions { return FilesOptions{PKCS7Path: file} },
			func(t *testing.T, file string) string {
				return say(t, "openssl", "pkcs7", "-in", file, "-print_certs", "-noout")
			},
			[]string{strings.ToUpper(f.fresh.Chain[0].Subject.CommonName), strings.ToUpper(f.fresh.Chain[1].Subject.CommonName)},
		},
		"PKCS#12 has the alias, for OpenSSL": {
			func(file string) FilesOptions { return FilesOptions{Store: store(file, pki.PKCS12)} }, opensslStore,
			[]string{"FRIENDLYNAME WEB", "PRIVATE KEY"},
		},
		"PKCS#12 has the alias, for Java": {
			func(file string) FilesOptions { return FilesOptions{Store: store(file, pki.PKCS12)} }, keytool("PKCS12"),
			[]string{"ALIAS NAME WEB", "PRIVATEKEYENTRY", fingerprint},
		},
		"JKS": {
			func(file string) FilesOptions { return FilesOptions{Store: store(file, pki.JKS)} }, keytool("JKS"),
			[]string{"ALIAS NAME WEB", "PRIVATEKEYENTRY", fingerprint, "CERTIFICATE CHAIN LENGTH 2"},
		},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			options := test.options(file)
			options.ReloadCommand = []string{"true"}
			job := f.job(t, options)
			job.Proof = Proof{}
			result, err := Deploy(t.Context(), job)
			if err != nil || !result.Changed {
				t.Fatalf("deploy = %+v, %v", result, err)
			}
			said := plain(test.read(t, file))
			for _, want := range test.want {
				if !strings.Contains(said, want) {
					t.Errorf("the tool says %s\nwant %s in it", said, want)
				}
			}
			if again, err := Deploy(t.Context(), job); err != nil || again.Changed {
				t.Errorf("again = %+v, %v; want nothing done", again, err)
			}
			job.Material = f.old
			if again, err := Deploy(t.Context(), job); err != nil || !again.Changed {
				t.Errorf("the next certificate = %+v, %v; want it written", again, err)
			}
		})
	}
}

// A keystore of another password is refused in the plan, with nothing changed;
// one without the alias is not.
func TestCheckPaths_keystores(t *testing.T) {
	f := newApp(t)
	file := filepath.Join(t.TempDir(), "keystore.p12")
	data, err := pki.WriteKeystore(pki.PKCS12, nil, storePassword, pki.KeystoreEntry{Alias: "other", Key: f.old.Key, Chain: f.old.Chain})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]error{"wrong": pki.ErrKeystorePassword, storePassword: nil} {
		target, err := NewFiles(FilesOptions{Store: StoreOptions{Path: file, Password: secret.New(password), Alias: "web"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckHost(t.Context(), transport.Local{}, target); !errors.Is(err, want) {
			t.Errorf("password %q: %v, want %v", password, err, want)
		}
	}
	// What was there stays, beside the new key.
	target, err := NewFiles(FilesOptions{Store: StoreOptions{Path: file, Password: secret.New(storePassword), Alias: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Deploy(t.Context(), Job{Host: "app", Machine: transport.Local{}, Target: target, Material: f.fresh, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]Material{"other": f.old, "web": f.fresh} {
		entry, err := pki.ReadKeystore(pki.PKCS12, data, storePassword, alias)
		if err != nil || entry.Key.Matches(want.Chain[0]) != nil {
			t.Errorf("the entry %s: %v", alias, err)
		}
	}
}
