package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"golang.org/x/crypto/ssh"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What a keystore or a chain would make fail is said in the plan.
func TestAccCheck_materialInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	folder := t.TempDir()
	leaf := issue(t)
	write := func(name string, text []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := leaf.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []pki.KeystoreKind{pki.PKCS12, pki.JKS} {
		data, err := pki.WriteKeystore(kind, nil, "right", pki.KeystoreEntry{Alias: "server", Key: leaf.Key, Chain: leaf.Chain})
		if err != nil {
			t.Fatal(err)
		}
		write("store."+string(kind), data)
	}
	chain := write("chain.pem", pki.EncodeCertificates(leaf.Chain...))
	upside := write("upside.pem", pki.EncodeCertificates(leaf.Chain[1], leaf.Chain[0]))
	keyFile := write("key.pem", key)
	config := func(certificate, target string) string {
		return fmt.Sprintf("resource \"certificate_deployment\" \"web\" {\n certificate_pem = file(%q)\n private_key_pem_wo = file(%q)\n %s\n}", certificate, keyFile, target)
	}
	store := func(kind, more string) string {
		return fmt.Sprintf("jetty = { keystore = { path = %q, type = %q, %s } }", filepath.Join(folder, "store."+kind), kind, more)
	}
	for sentence, test := range map[string]struct{ config, want string }{
		"the wrong password of a PKCS#12":     {config(chain, store("PKCS12", `password_wo = "wrong"`)), "another password: set password_wo to the one that the server uses"},
		"the wrong password of a JKS":         {config(chain, store("JKS", `password_wo = "wrong"`)), "another password: set password_wo to the one that the server uses"},
		"an alias that a PKCS#12 has not":     {config(chain, store("PKCS12", `alias = "other", password_wo = "right"`)), `no private key under the alias "other"; it has ["server"]: set alias`},
		"an alias that a JKS has not":         {config(chain, store("JKS", `alias = "other", password_wo = "right"`)), `no private key under the alias "other"; it has ["server"]: set alias`},
		"a file that is no keystore":          {config(chain, fmt.Sprintf(`jetty = { keystore = { path = %q, password_wo = "right" } }`, keyFile)), "not a keystore that can be read"},
		"a chain in the wrong order":          {config(upside, fmt.Sprintf(`files = { fullchain_path = "%s/out.pem" }`, folder)), "order"},
		"a keystore's directory that is none": {config(chain, `jetty = { keystore = { path = "/no/such/folder/store", password_wo = "right" } }`), "no such file or directory"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			here := &world{Lab: w.Lab, environment: w.environment}
			here.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}

// What is wrong with a host is said in the plan, and the host is left alone.
func TestAccCheck_hostsInThePlan(t *testing.T) {
	t.Parallel()
	n := startNginx(t)
	user := transporttest.AddUser(t)
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	gate := transporttest.NewGate(t, s.Address)
	gate.Shut()
	known := strings.Join(strings.Fields(s.KnownHosts())[1:3], " ")
	signer, err := ssh.NewSignerFromKey(transporttest.Ed25519Key(t))
	if err != nil {
		t.Fatal(err)
	}
	other := transporttest.AuthorizedKey(signer.PublicKey())
	login := func(address, hostKey, more string) string {
		return fmt.Sprintf(`address = %q, user = %q, password_wo = var.password, host_key = %q%s`, address, user.Name, hostKey, more)
	}
	c := newCLI(t, lab.Options{}, "")
	c.extra = append(c.extra, "TF_VAR_password="+user.Password)
	before := read(t, n)
	for sentence, test := range map[string]struct {
		host   string
		status int
		want   []string
	}{
		"another host key, with both fingerprints": {login(s.Address, other, ""), 1, []string{"not trusted", ssh.FingerprintSHA256(s.HostKey), ssh.FingerprintSHA256(signer.PublicKey()), "set up anew", "Nothing was changed"}},
		"a bastion that does not answer":           {login(s.Address, known, `, bastions = [{ `+login(gate.Address, known, "")+` }], connect_timeout = "1s"`), 1, []string{"bastion 1 of 1", gate.Address, "Check the bastion's address", "Nothing was changed"}},
		"a user whom sudo does not know":           {login(s.Address, known, `, sudo = { password_wo = var.password }`), 1, []string{"sudo did not run", "Allow the commands in sudoers", "Nothing was changed"}},
		"sudo without the password that it wants":  {login(s.Address, known, `, sudo = {}`), 1, []string{"it wants a password", "sudo.password_wo", "Nothing was changed"}},
		"a user who may not write":                 {login(s.Address, known, ""), 1, []string{"ermission denied", "Nothing was changed"}},
		"a wrong password":                         {strings.Replace(login(s.Address, known, ""), "var.password", `"wrong"`, 1), 1, []string{"the login was refused", "Check user, key and password", "Nothing was changed"}},
		"a host that does not answer now":          {login(gate.Address, known, `, connect_timeout = "1s"`), 0, []string{"A host could not be looked at", "answers before the apply"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			for resource, config := range map[string]string{
				"certificate_deployment": wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  hosts           = { web1 = { ssh = { %s } } }
  nginx           = { fullchain_path = %q, private_key_path = %q }
}
`, test.host, n.FullchainPath, n.PrivateKeyPath),
				"certificate_host_key": fmt.Sprintf(`
resource "certificate_host_key" "www" {
  host    = { ssh = { %s } }
  path    = %q
  domains = ["www.example.test"]
}
`, test.host, n.PrivateKeyPath),
			} {
				c.write("variable \"password\" { ephemeral = true }\n" + config)
				said := plain(c.must(test.status, "plan"))
				for _, want := range test.want {
					if !strings.Contains(said, want) {
						t.Errorf("the plan of %s does not say %q:\n%s", resource, want, said)
					}
				}
				if strings.Contains(said, user.Password) {
					t.Error("the plan shows the password")
				}
			}
		})
	}
	if after := read(t, n); string(after[0]) != string(before[0]) || string(after[1]) != string(before[1]) {
		t.Error("a plan changed files")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(n.PrivateKeyPath), "*")); err != nil || len(left) != 2 {
		t.Errorf("left %q (%v)", left, err)
	}
}
