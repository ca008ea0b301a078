package deploy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// found is what a configuration is to give for a name.
type found struct {
	config string
	name   string
	want   Paths
	errs   []string // words of the error instead
}

func (f found) check(t *testing.T, all []candidate, err error) {
	t.Helper()
	var got candidate
	if err == nil {
		got, err = choose(all, f.name, setPaths)
	}
	if len(f.errs) == 0 {
		if err != nil || !maps.Equal(got.paths, f.want) {
			t.Errorf("found %s, %v; want %s", got.paths, err, f.want)
		}
		return
	}
	if !errors.Is(err, ErrFind) {
		t.Fatalf("found %s, %v; want ErrFind", got.paths, err)
	}
	for _, words := range f.errs {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error = %v\nwant %q in it", err, words)
		}
	}
}

func pair(full, key string) Paths {
	return Paths{"fullchain_path": full, "private_key_path": key}
}

func TestNginxServers(t *testing.T) {
	const two = `http { server { listen 443 ssl; server_name www.example.com; ssl_certificate /a.pem; ssl_certificate_key /a.key; }
server { listen 444 ssl; server_name www.example.com; ssl_certificate /b.pem; ssl_certificate_key /b.key; } }`
	for sentence, f := range map[string]found{
		"a server by its name": {
			config: `http { server { listen 443 ssl; server_name other.example.com www.example.com; ssl_certificate /a.pem; ssl_certificate_key "/a b.key"; } }`,
			name:   "WWW.example.com", want: pair("/a.pem", "/a b.key"),
		},
		"relative paths are below the folder of the configuration": {
			config: `http { server { listen 443 ssl; server_name www.example.com; ssl_certificate tls/a.pem; ssl_certificate_key tls/a.key; } }`,
			name:   "www.example.com", want: pair("/etc/nginx/tls/a.pem", "/etc/nginx/tls/a.key"),
		},
		"the server inherits the pair": {
			config: `http { ssl_certificate /a.pem; ssl_certificate_key /a.key; server { listen 443 ssl; server_name www.example.com; } }`,
			name:   "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"includes at every level": {
			config: "http { include sites/*; }\n# configuration file /etc/nginx/sites/www:\nserver { listen 443 ssl; server_name www.example.com; include snippets/tls.conf; }\n" +
				"# configuration file /etc/nginx/snippets/tls.conf:\nssl_certificate /a.pem; ssl_certificate_key /a.key; # end\n",
			name: "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"the exact name goes before a pattern": {
			config: `http { server { listen 443 ssl; server_name *.example.com; ssl_certificate /w.pem; ssl_certificate_key /w.key; }
server { listen 443 ssl; server_name www.example.com; ssl_certificate /a.pem; ssl_certificate_key /a.key; } }`,
			name: "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"a domain and all below it": {
			config: `http { server { listen 443 ssl; server_name .example.com; ssl_certificate /w.pem; ssl_certificate_key /w.key; } }`,
			name:   "deep.www.example.com", want: pair("/w.pem", "/w.key"),
		},
		"a server without TLS has the name too": {
			config: `http { server { listen 80; server_name www.example.com; return 301 https://$host; }
server { listen 443 ssl; server_name www.example.com; ssl_certificate /a.pem; ssl_certificate_key /a.key; } }`,
			name: "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"two servers of one name with the same files": {
			config: strings.ReplaceAll(two, "/b.", "/a."), name: "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"what Lua says is passed over": {
			config: `http { init_by_lua_block { local a = { ssl_certificate = "}" } } } http { server { listen 443 ssl; server_name www.example.com; ssl_certificate /a.pem; ssl_certificate_key /a.key; } }`,
			name:   "www.example.com", errs: []string{"not the syntax"},
		},
		"balanced Lua": {
			config: `http { server { listen 443 ssl; server_name www.example.com; content_by_lua_block { local a = { b = 1 }; -- don't
 } ssl_certificate /a.pem; ssl_certificate_key /a.key; } }`,
			name: "www.example.com", want: pair("/a.pem", "/a.key"),
		},
		"two servers of one name with different files": {
			config: two, name: "www.example.com",
			errs: []string{"2 servers have the name www.example.com", "/a.pem", "/b.pem", "nginx.conf:1", "nginx.conf:2", setPaths},
		},
		"RSA and ECDSA": {
			config: `http { server { listen 443 ssl; server_name www.example.com; ssl_certificate /r.pem; ssl_certificate_key /r.key; ssl_certificate /e.pem; ssl_certificate_key /e.key; } }`,
			name:   "www.example.com", errs: []string{"2 certificates", "/r.pem and /e.pem"},
		},
		"a variable": {
			config: `http { server { listen 443 ssl; server_name www.example.com; ssl_certificate /tls/$ssl_server_name.pem; ssl_certificate_key /tls/${ssl_server_name}.key; } }`,
			name:   "www.example.com", errs: []string{"is no path that is the same for all connections"},
		},
		"no server of the name": {
			config: two, name: "shop.example.com", errs: []string{"no server with TLS has the name shop.example.com", "www.example.com at /etc/nginx/nginx.conf:1", "/b.pem"},
		},
		"no server with TLS": {config: `http { server { listen 80; } }`, name: "www.example.com", errs: []string{"it has no server with TLS"}},
		"no name":            {config: two, name: "", errs: []string{"set server_name"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			all, err := nginxServers("nginx: the configuration file is ok\n# configuration file /etc/nginx/nginx.conf:\n" + f.config)
			f.check(t, all, err)
		})
	}
}

func FuzzNginxServers(f *testing.F) {
	f.Add("# configuration file /a:\nhttp { server { listen 443 ssl; server_name 'a' \"b\\\"\"; include *; ssl_certificate ${x}; } }")
	f.Add("# configuration file /a:\ninclude a;{}{}x_by_lua_block {{ }")
	f.Fuzz(func(t *testing.T, dump string) {
		if all, err := nginxServers(dump); err == nil {
			for _, c := range all {
				if c.paths["fullchain_path"] == "" {
					t.Errorf("a candidate without a file: %s", c)
				}
			}
		}
	})
}

// The paths are read from a real nginx, on this machine and over SSH, each time.
func TestNginx_findsItsPaths(t *testing.T) {
	s := newSites(t, 3, nil)
	target, err := NewNginx(NginxOptions{ConfigPath: s.Config, Prefix: s.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	job := s.jobs[1]
	job.Target = target
	result, err := Deploy(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if want := pair(s.file(1, "pem"), s.file(1, "key")); !maps.Equal(result.Paths, want) {
		t.Errorf("paths = %s, want %s", result.Paths, want)
	}
	s.wantSite(t, 1, job.Material)
	s.wantSite(t, 0, s.olds[0])
	// A look needs the paths only, and no command.
	runs := len(s.machine.argv)
	job.Paths = result.Paths
	seen, err := Observe(t.Context(), job)
	if err != nil || len(seen.Drift)+len(seen.Warnings) > 0 || seen.FilesHash != result.FilesHash || len(s.machine.argv) > runs {
		t.Errorf("observed %+v, %v, commands %q", seen, err, s.machine.argv[runs:])
	}
	// The configuration names other files than in the plan: nothing is written.
	job.Paths = pair("/elsewhere.pem", "/elsewhere.key")
	before := state(t, s.tls())
	if _, err := Deploy(t.Context(), job); !errors.Is(err, ErrPathsMoved) || fmt.Sprint(state(t, s.tls())) != fmt.Sprint(before) {
		t.Errorf("error = %v, want ErrPathsMoved and nothing changed", err)
	}
	// Without a plan to hold it against, what it names now is taken.
	config, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(config), s.file(1, ""), filepath.Join(s.tls(), "moved."))
	if err := errors.Join(os.WriteFile(s.Config, []byte(moved), 0o600), os.Rename(s.file(1, "pem"), filepath.Join(s.tls(), "moved.pem")), os.Rename(s.file(1, "key"), filepath.Join(s.tls(), "moved.key"))); err != nil {
		t.Fatal(err)
	}
	job.Paths, job.Material = nil, s.olds[1]
	if result, err = Deploy(t.Context(), job); err != nil || result.Paths["fullchain_path"] != filepath.Join(s.tls(), "moved.pem") {
		t.Errorf("deployed to %s, %v; want the file that moved", result.Paths, err)
	}
}

func apacheFiles(t *testing.T, texts map[string]string) (*apacheConfig, string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range texts {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return &apacheConfig{machine: transport.Local{}, root: root, defined: map[string]string{"TLS": "tls", "EXTRA": ""}}, root
}

func TestApacheConfig_hosts(t *testing.T) {
	const begin, end = "# first line\n<VirtualHost *:443>\nServerName https://www.example.com:443\nServerAlias shop.example.com *.shop.example.com\nSSLEngine on\n", "</VirtualHost>\n"
	for sentence, f := range map[string]found{
		"a full chain": {config: begin + "SSLCertificateFile /a.pem\n SSLCertificateKeyFile \"/a b.key\"\n" + end, name: "www.example.com", want: pair("/a.pem", "/a b.key")},
		"an alias":     {config: begin + "SSLCertificateFile /a.pem\nSSLCertificateKeyFile /a.key\n" + end, name: "shop.example.com", want: pair("/a.pem", "/a.key")},
		"a wild alias": {config: begin + "SSLCertificateFile /a.pem\nSSLCertificateKeyFile /a.key\n" + end, name: "x.shop.example.com", want: pair("/a.pem", "/a.key")},
		"certificate and chain": {
			config: begin + "SSLCertificateFile /a.pem\nSSLCertificateChainFile /c.pem\nSSLCertificateKeyFile /a.key\n" + end, name: "www.example.com",
			want: Paths{"certificate_path": "/a.pem", "chain_path": "/c.pem", "private_key_path": "/a.key"},
		},
		"relative paths, defined variables and lines that go on": {
			config: begin + "SSLCertificateFile \\\n  ${TLS}/a.pem\nSSLCertificateKeyFile ${TLS}/a.key\n" + end, name: "www.example.com", want: pair("ROOT/tls/a.pem", "ROOT/tls/a.key"),
		},
		"includes and conditions": {
			config: begin + "<IfModule mod_ssl.c>\n<IfDefine EXTRA>\nInclude snippets/*.conf\n</IfDefine>\n</IfModule>\n<IfDefine !EXTRA>\nSSLCertificateFile /no.pem\n</IfDefine>\nIncludeOptional absent.conf\n" + end,
			name:   "www.example.com", want: pair("/s.pem", "/s.key"),
		},
		"RSA and ECDSA": {
			config: begin + "SSLCertificateFile /r.pem\nSSLCertificateFile /e.pem\nSSLCertificateKeyFile /r.key\nSSLCertificateKeyFile /e.key\n" + end,
			name:   "www.example.com", errs: []string{"2 certificates, /r.pem and /e.pem"},
		},
		"an undefined variable": {
			config: begin + "SSLCertificateFile ${NOWHERE}/a.pem\nSSLCertificateKeyFile /a.key\n" + end, name: "www.example.com", errs: []string{"${NOWHERE}/a.pem has a variable that Define does not set"},
		},
		"the key in the same file":      {config: begin + "SSLCertificateFile /a.pem\n" + end, name: "www.example.com", errs: []string{"0 keys"}},
		"nothing of its own":            {config: begin + end, name: "www.example.com", errs: []string{"no SSLCertificateFile of its own"}},
		"another name":                  {config: begin + "SSLCertificateFile /a.pem\nSSLCertificateKeyFile /a.key\n" + end, name: "x.example.com", errs: []string{"no server with TLS has the name x.example.com", "/a.pem", "site.conf:2"}},
		"a virtual host without TLS":    {config: strings.Replace(begin, "SSLEngine on", "SSLEngine off", 1) + end, name: "www.example.com", errs: []string{"it has no server with TLS"}},
		"a section that is not closed":  {config: begin, name: "www.example.com", errs: []string{"not the syntax of Apache"}},
		"files that include themselves": {config: begin + "Include site.conf\n" + end, name: "www.example.com", errs: []string{"no SSLCertificateFile of its own"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			config, root := apacheFiles(t, map[string]string{"site.conf": f.config, "snippets/tls.conf": "SSLCertificateFile /s.pem\nSSLCertificateKeyFile /s.key\n"})
			for name, file := range f.want {
				f.want[name] = strings.Replace(file, "ROOT", root, 1)
			}
			all, err := config.hosts(t.Context(), "VirtualHost configuration:\n*:443   www.example.com ("+filepath.Join(root, "site.conf")+":2)\n")
			if errors.Is(err, errApacheSyntax) {
				err = errors.Join(ErrFind, err)
			}
			f.check(t, all, err)
		})
	}
}

func FuzzReadApache(f *testing.F) {
	f.Add("<VirtualHost *:443>\nSSLCertificateFile \"a\" 'b \\\n</VirtualHost>")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = readApache("a.conf", text) })
}

// The paths are read from a real Apache with a virtual host in a file of its own.
func TestApache_findsItsPaths(t *testing.T) {
	t.Parallel()
	c := newConformance(t, members()["apache"], false)
	extra := filepath.Join(filepath.Dir(c.server.Config), "more.conf")
	other := c.issue(t)
	key, err := other.Key.PEM()
	if err == nil {
		err = errors.Join(os.WriteFile(c.server.Path("other.pem"), pki.EncodeCertificates(other.Chain...), 0o600), os.WriteFile(c.server.Path("other.key"), key, 0o600),
			os.WriteFile(extra, fmt.Appendf(nil, "Define WHERE %s\n<VirtualHost *>\nServerName other.example.com\nServerAlias second.example.com\nSSLEngine on\nSSLCertificateFile ${WHERE}/other.pem\nSSLCertificateKeyFile ${WHERE}/other.key\n</VirtualHost>\n", c.server.Files), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.server.WriteApacheConfig(t, "Include more.conf")
	for name, want := range map[string]Paths{
		name: pair(c.server.Path("fullchain.pem"), c.server.Path("key.pem")), "second.example.com": pair(c.server.Path("other.pem"), c.server.Path("other.key")),
	} {
		target, err := NewApache(ApacheOptions{Binary: "apache2", ConfigPath: c.server.Config})
		if err != nil {
			t.Fatal(err)
		}
		if _, paths, err := Locate(t.Context(), c.machine, target, name); err != nil || !maps.Equal(paths, want) {
			t.Errorf("%s: %s, %v; want %s", name, paths, err, want)
		}
		c.job.Target = target
	}
	result, err := Deploy(t.Context(), c.job)
	if err != nil || result.Paths["fullchain_path"] != c.server.Path("fullchain.pem") {
		t.Fatalf("deploy = %+v, %v", result, err)
	}
	c.wantServed(t, c.fresh)
}

func TestReadTomcat(t *testing.T) {
	wrap := func(connectors string) string { return "<Server><Service>" + connectors + "</Service></Server>" }
	const store = `certificateKeystoreFile="conf/store.p12" certificateKeystorePassword="secret"`
	for sentence, f := range map[string]found{
		"the host that all others fall back to": {
			config: `<Connector port="8443" SSLEnabled="true"><SSLHostConfig><Certificate ` + store + ` certificateKeyAlias="web"/></SSLHostConfig></Connector>`,
			name:   "www.example.com", want: Paths{"keystore_path": "/base/conf/store.p12", "keystore_alias": "web"},
		},
		"a host of the name": {
			config: `<Connector port="8443"><SSLHostConfig hostName="www.example.com"><Certificate certificateFile="${catalina.base}/a.pem" certificateKeyFile="/a.key" certificateChainFile="/c.pem"/></SSLHostConfig>
<SSLHostConfig hostName="_default_"><Certificate ` + store + `/></SSLHostConfig></Connector>`,
			name: "www.example.com", want: Paths{"certificate_path": "/base/a.pem", "private_key_path": "/a.key", "chain_path": "/c.pem"},
		},
		"an older connector": {
			config: `<Connector port="80"/><Connector port="8443" SSLEnabled="true" keystoreFile="/k.jks" keystorePass="secret" keystoreType="JKS" keyAlias="web"/>`,
			name:   "www.example.com", want: Paths{"keystore_path": "/k.jks", "keystore_type": "JKS", "keystore_alias": "web"},
		},
		"an older connector of OpenSSL": {
			config: `<Connector port="8443" SSLEnabled="true" SSLCertificateFile="/a.pem" SSLCertificateKeyFile="/a.key"/>`,
			name:   "www.example.com", want: Paths{"certificate_path": "/a.pem", "private_key_path": "/a.key"},
		},
		"two connectors with different files": {
			config: `<Connector port="8443" SSLEnabled="true" keystoreFile="/a.p12"/><Connector port="9443" SSLEnabled="true" keystoreFile="/b.p12"/>`,
			name:   "www.example.com", errs: []string{"/a.p12", "/b.p12", "port 8443", "port 9443"},
		},
		"RSA and ECDSA": {
			config: `<Connector port="8443"><SSLHostConfig><Certificate type="RSA" certificateKeystoreFile="/r"/><Certificate type="EC" certificateKeystoreFile="/e"/></SSLHostConfig></Connector>`,
			name:   "www.example.com", errs: []string{"2 certificates"},
		},
		"a password that does not stand there": {
			config: `<Connector port="8443" SSLEnabled="true" keystoreFile="/a.p12" keystorePass="${secret}"/>`, name: "www.example.com", errs: []string{"password of its keystore does not stand"},
		},
		"a variable in the path": {
			config: `<Connector port="8443" SSLEnabled="true" keystoreFile="${where}/a.p12"/>`, name: "www.example.com", errs: []string{"has a variable"},
		},
		"another kind of keystore": {
			config: `<Connector port="8443" SSLEnabled="true" keystoreFile="/a" keystoreType="PKCS11"/>`, name: "www.example.com", errs: []string{"PKCS11"},
		},
		"no TLS":      {config: `<Connector port="80"/>`, name: "www.example.com", errs: []string{"it has no server with TLS"}},
		"another XML": {config: `<Connector`, name: "www.example.com", errs: []string{"server.xml"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			all, _, err := readTomcat("/base/conf/server.xml", "/base", []byte(wrap(f.config)))
			f.check(t, all, err)
		})
	}
}

// Keystore, its kind, alias and password are read from a real Tomcat's server.xml.
func TestTomcat_findsItsKeystore(t *testing.T) {
	t.Parallel()
	for _, kind := range []pki.KeystoreKind{pki.PKCS12, pki.JKS} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			c := newConformance(t, members()["tomcat with "+string(kind)], false)
			target, err := NewTomcat(TomcatOptions{Base: filepath.Dir(c.server.Config), Manager: manager(c.server)})
			if err != nil {
				t.Fatal(err)
			}
			c.job.Target = target
			result, err := Deploy(t.Context(), c.job)
			if err != nil {
				t.Fatal(err)
			}
			c.wantServed(t, c.fresh)
			want := Paths{"keystore_path": c.server.Path("keystore"), "keystore_type": string(kind), "keystore_alias": "tomcat"}
			if !maps.Equal(result.Paths, want) {
				t.Errorf("paths = %s, want %s", result.Paths, want)
			}
			if strings.Contains(fmt.Sprint(result), deploytest.StorePassword) {
				t.Error("the password is in the result")
			}
			c.job.Paths = result.Paths // without the password, the file is passed over
			if seen, err := Observe(t.Context(), c.job); err != nil || len(seen.Drift)+len(seen.Warnings) > 0 {
				t.Errorf("observed %+v, %v", seen, err)
			}
		})
	}
}
