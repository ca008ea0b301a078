package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// secretWord is given wherever a target takes a password.
const secretWord = "never-to-be-shown"

// manuals are targets as they are configured, each with what its block says.
func manuals(t *testing.T) map[string]Manual {
	t.Helper()
	made := func(target Target, err error) Target {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	password := secret.New(secretWord)
	admin := func(url string) Admin { return Admin{URL: url, Username: "deployer", Password: password} }
	block := func(url string) map[string]any { return map[string]any{"url": url, "username": "deployer"} }
	keystore := func(path string, kind pki.KeystoreKind, alias string) StoreOptions {
		return StoreOptions{Path: path, Kind: kind, Alias: alias, Password: password}
	}
	onWeb := Endpoint{"10.0.0.1:443", name}
	paired := func(target PairTarget, err error) Target {
		return made(target, err).(PairTarget).WithPair(newSM2Authority(t).pair(t, name).encryption)
	}
	return map[string]Manual{
		"nginx": {
			Target: made(NewNginx(NginxOptions{FullchainPath: "/etc/nginx/tls/www.pem", PrivateKeyPath: "/etc/nginx/tls/it's www.key", ConfigPath: "/etc/nginx/nginx.conf"})),
			KeyID:  "4ecd77be9e189047c398", Hosts: []string{"web1: deploy@10.0.0.1", "web2: deploy@10.0.0.2"}, Proof: onWeb,
		},
		"nginx_windows": {
			Target:   made(NewNginx(NginxOptions{FullchainPath: `C:\nginx\conf\www.pem`, PrivateKeyPath: `C:\nginx\conf\www.key`, Binary: `C:\nginx\nginx.exe`, Prefix: `C:\nginx`})),
			KeyGiven: true, Proof: onWeb,
		},
		"nginx_key_on_host": {Target: made(NewNginx(NginxOptions{FullchainPath: "/etc/nginx/tls/www.pem", PrivateKeyPath: "/etc/nginx/tls/www.key"})), Proof: onWeb},
		"apache": {
			Target:   made(NewApache(ApacheOptions{CertificatePath: "/etc/apache2/tls/www.pem", ChainPath: "/etc/apache2/tls/chain.pem", PrivateKeyPath: "/etc/apache2/tls/www.key"})),
			KeyGiven: true, Proof: onWeb,
		},
		"apache_windows": {
			Target:   made(NewApache(ApacheOptions{FullchainPath: `C:\Apache24\conf\www.pem`, PrivateKeyPath: `C:\Apache24\conf\www.key`, Service: "Apache2.4"})),
			KeyGiven: true, Proof: onWeb,
		},
		"nginx_sm2": {
			Target: paired(NewNginx(NginxOptions{FullchainPath: "/etc/nginx/tls/sign.pem", PrivateKeyPath: "/etc/nginx/tls/sign.key", Encryption: PairFiles{FullchainPath: "/etc/nginx/tls/enc.pem", PrivateKeyPath: "/etc/nginx/tls/enc.key"}})),
			KeyID:  "4ecd77be9e189047c398", PairID: "71f0c4c23b60a1d3f9aa", Proof: onWeb,
		},
		"nginx_sm2_windows": {
			Target: paired(NewNginx(NginxOptions{
				FullchainPath: `C:\nginx\conf\sign.pem`, PrivateKeyPath: `C:\nginx\conf\sign.key`, Prefix: `C:\nginx`,
				Encryption: PairFiles{FullchainPath: `C:\nginx\conf\enc.pem`, PrivateKeyPath: `C:\nginx\conf\enc.key`},
			})),
			KeyGiven: true, Proof: onWeb,
		},
		"haproxy": {
			Target:   made(NewHAProxy(HAProxyOptions{CombinedPath: "/etc/haproxy/www.pem", Socket: "/run/haproxy/admin.sock"})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"socket": "/run/haproxy/admin.sock"},
		},
		"tomcat": {
			Target:   made(NewTomcat(TomcatOptions{Store: keystore("/var/lib/tomcat10/conf/keystore.p12", "", ""), Manager: admin("http://127.0.0.1:8080")})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"manager": block("http://127.0.0.1:8080"), "tls_host_name": name},
		},
		"tomcat_windows": {
			Target:   made(NewTomcat(TomcatOptions{Store: keystore(`C:\Tomcat\conf\keystore.jks`, pki.JKS, "www"), Restart: []string{"Restart-Service", "Tomcat10"}})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"restart_command": []any{"Restart-Service", "Tomcat10"}},
		},
		"jetty_key_on_host": {Target: made(NewJetty(JettyOptions{Store: keystore("/var/lib/jetty9/etc/keystore", "", "")})), Proof: onWeb},
		"jetty":             {Target: made(NewJetty(JettyOptions{Store: keystore("/var/lib/jetty9/etc/keystore", "", "")})), KeyGiven: true, Proof: onWeb},
		"jboss": {
			Target:   made(NewJBoss(JBossOptions{Store: keystore("/opt/wildfly/standalone/configuration/www.p12", "", ""), Management: admin("http://127.0.0.1:9990"), KeyStore: "web", KeyManager: "webKM"})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"key_store": "web", "key_manager": "webKM", "management": block("http://127.0.0.1:9990")},
		},
		"glassfish": {
			Target:   made(NewGlassFish(GlassFishOptions{Store: keystore("/opt/glassfish/domains/domain1/config/keystore.p12", "", ""), Restart: []string{"asadmin", "restart-domain"}})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"restart_command": []any{"asadmin", "restart-domain"}},
		},
		"weblogic": {
			Target:   made(NewWebLogic(WebLogicOptions{Store: keystore("/u01/domain/identity.jks", pki.JKS, "server"), Management: admin("https://127.0.0.1:7002")})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"management": block("https://127.0.0.1:7002")},
		},
		"iis": {
			Target:   made(NewIIS(IISOptions{Site: "Default Web Site", Host: name, Port: 8443})),
			KeyGiven: true, Windows: true, Proof: onWeb, Options: map[string]any{"site": "Default Web Site", "host": name, "port": "8443"},
		},
		"bt_panel": {
			Target:   made(NewBTPanel(BTPanelOptions{URL: "https://127.0.0.1:8888", APIKey: password, Site: name})),
			KeyGiven: true, Proof: onWeb, Options: map[string]any{"url": "https://127.0.0.1:8888", "site": name},
		},
		"files": {
			Target:   made(NewFiles(FilesOptions{CertificatePath: "/etc/ssl/www.pem", ChainPath: "/etc/ssl/chain.pem", PrivateKeyPath: "/etc/ssl/www.key", TestCommand: []string{"postfix", "check"}, ReloadCommand: []string{"systemctl", "reload", "postfix"}})),
			KeyGiven: true,
		},
	}
}

// The pages are written out below testdata/manual. To write them anew, run with
// UPDATE_GOLDEN=1 and read the difference.
func TestManual_pages(t *testing.T) {
	now := time.Now()
	chain, key := deploytest.NewAuthority(t, now).Issue(t, now, []string{name})
	seen := map[string]bool{}
	for page, m := range manuals(t) {
		seen[m.Target.Name()] = true
		m.Material = Material{Chain: chain, Key: key}
		for _, language := range ManualLanguages() {
			t.Run(language+"/"+page, func(t *testing.T) {
				text, err := m.Markdown(t.Context(), language)
				if err != nil {
					t.Fatal(err)
				}
				noKeys(t, text, key)
				if strings.Contains(text, secretWord) || strings.Contains(text, "<no value>") || strings.Contains(text, "%!") {
					t.Errorf("the page shows a secret, or what is missing:\n%s", text)
				}
				// What differs from run to run.
				if pair := pairOf(m.Target); len(pair.Chain) > 0 {
					text = strings.NewReplacer(string(pki.EncodeCertificates(pair.Chain...)), "ENCRYPTION CERTIFICATES\n", pki.Fingerprint(pair.Chain[0]), "ENCRYPTION FINGERPRINT").Replace(text)
					noKeys(t, text, pair.Key)
				}
				text = strings.NewReplacer(string(pki.EncodeCertificates(chain...)), "CERTIFICATES\n", pki.Fingerprint(chain[0]), "FINGERPRINT",
					chain[0].NotAfter.UTC().Format(time.DateOnly), "DATE").Replace(text)
				golden := filepath.Join("testdata", "manual", language, page+".md")
				if os.Getenv("UPDATE_GOLDEN") != "" {
					if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil || text != string(want) {
					t.Errorf("the page differs from %s (%v):\n%s", golden, err, text)
				}
			})
		}
	}
	for _, kind := range []string{"nginx", "apache", "haproxy", "tomcat", "jetty", "jboss", "glassfish", "weblogic", "iis", "bt_panel", "files"} {
		if !seen[kind] {
			t.Errorf("no page for %s", kind)
		}
	}
}

func TestManual_noSuchLanguage(t *testing.T) {
	m := manuals(t)["files"]
	if _, err := m.Markdown(t.Context(), "fr"); err == nil || !strings.Contains(err.Error(), "en and zh") {
		t.Errorf("error = %v, want one that names the languages", err)
	}
}

// steps are the commands of a page for a POSIX shell: up to the proof, the proof
// and the way back.
func steps(t *testing.T, page string) (forward, proof, back string) {
	t.Helper()
	var forwards []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatchIndex(page, -1) {
		script := page[block[2]:block[3]]
		switch before := page[:block[0]]; {
		case strings.Contains(before, "## If it fails") || strings.Contains(before, "## 如果失败"):
			back += script
		case strings.Contains(before, "## 4."):
			proof += script
		default:
			forwards = append(forwards, script)
		}
	}
	return strings.Join(forwards, "\n"), proof, back
}
