package provider_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const hostKeyAt = "certificate_host_key.www"

// hostKeyConfig makes a key beside that of an nginx, orders a certificate for it
// and deploys that without having the key.
func hostKeyConfig(n *deploytest.Nginx, host, more string) string {
	return fmt.Sprintf(`
resource "certificate_host_key" "www" {
  host    = %[1]s
  path    = %[2]q
  domains = ["www.example.test"]
  %[3]s
}
resource "certificate_renewal" "www" {
  csr_pem = certificate_host_key.www.csr_pem
}
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  hosts           = { web = %[1]s }
  nginx = {
    fullchain_path   = %[4]q
    private_key_path = certificate_host_key.www.private_key_path
    prefix           = %[5]q
    config_path      = %[6]q
  }
  verify = { address = %[7]q, server_name = "www.example.test" }
}
`, host, n.PrivateKeyPath, more, n.FullchainPath, n.Prefix, n.Config, n.Address)
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the apt package openssl")
	}
}

// bornKey is the key that nginx reads.
func bornKey(t *testing.T, file string) pki.Key {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// outputs are attributes of resources in Terraform's state.
func (c *cli) outputs() map[string]map[string]any {
	c.t.Helper()
	var state struct {
		Values struct {
			RootModule struct {
				Resources []struct {
					Address string
					Values  map[string]any
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(c.must(0, "show", "-json")), &state); err != nil {
		c.t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, resource := range state.Values.RootModule.Resources {
		all[resource.Address] = resource.Values
	}
	return all
}

// Born on the host, a key serves with its certificate after one apply, and so
// does the next one. No file of Terraform's, its log included, has a part of
// either.
func TestAccHostKey_bornAndRotatedOverSSH(t *testing.T) {
	t.Parallel()
	needOpenSSL(t)
	n := startNginx(t)
	user := transporttest.AddUser(t, "ALL=(ALL) NOPASSWD: ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	c := newCLI(t, lab.Options{}, "")
	host := fmt.Sprintf(`{ ssh = { address = %q, user = %q, host_key = %q, password_wo = %q, sudo = {} } }`,
		s.Address, user.Name, strings.Join(strings.Fields(s.KnownHosts())[1:3], " "), user.Password)
	c.write(hostKeyConfig(n, host, `keepers = { year = "2026" }`))
	before := bornKey(t, n.PrivateKeyPath)

	c.must(0, "apply", "-auto-approve")
	first := bornKey(t, n.PrivateKeyPath)
	wantBorn := func(key pki.Key, generation float64) {
		t.Helper()
		state := c.outputs()
		if got := state[hostKeyAt]; got["public_key_sha256"] != key.Hash() || got["generation"] != generation {
			t.Errorf("in state: %v, generation %v; want %s, %v", got["public_key_sha256"], got["generation"], key.Hash(), generation)
		}
		if got := served(t, n.Address); got != state[www]["fingerprint_sha256"] {
			t.Errorf("nginx serves %s, want %s", got, state[www]["fingerprint_sha256"])
		}
		if left, err := filepath.Glob(n.PrivateKeyPath + ".next"); err != nil || len(left) > 0 {
			t.Errorf("%q still waits (%v)", left, err)
		}
	}
	if first.Hash() == before.Hash() {
		t.Error("nginx still has the key from before")
	}
	wantBorn(first, 1)
	connections := s.Connections()
	c.must(0, "plan", "-detailed-exitcode")
	if got := s.Connections(); got != connections {
		t.Errorf("a plan with nothing due connected %d times", got-connections)
	}

	// To be reached in another way is no reason for another key or certificate.
	issued := c.CA.Issued()
	host = strings.Replace(host, "sudo = {}", `sudo = {}, keepalive = "20s"`, 1)
	c.write(hostKeyConfig(n, host, `keepers = { year = "2026" }`))
	c.must(0, "apply", "-auto-approve")
	wantBorn(first, 1)
	if got := c.CA.Issued(); got != issued {
		t.Errorf("another way to the host cost %d certificates", got-issued)
	}
	c.must(0, "plan", "-detailed-exitcode")

	c.write(hostKeyConfig(n, host, `keepers = { year = "2027" }`))
	if said := plain(c.must(0, "plan")); !strings.Contains(said, "keepers changes") {
		t.Errorf("the plan does not say why there is a new key:\n%s", said)
	}
	c.must(0, "apply", "-auto-approve")
	second := bornKey(t, n.PrivateKeyPath)
	if second.Hash() == first.Hash() {
		t.Error("the key was not rotated")
	}
	wantBorn(second, 2)
	c.must(0, "plan", "-detailed-exitcode")

	// A deployment that fails leaves the key in use, and the next apply goes on
	// with the same new key and certificate.
	n.WriteConfig(t, "no_such_directive on;")
	c.write(hostKeyConfig(n, host, `keepers = { year = "2028" }`))
	c.must(1, "apply", "-auto-approve")
	if got := bornKey(t, n.PrivateKeyPath); got.Hash() != second.Hash() {
		t.Error("the key in use was replaced")
	}
	waiting := bornKey(t, n.PrivateKeyPath+".next")
	n.WriteConfig(t, "")
	issued = c.CA.Issued()
	c.must(0, "apply", "-auto-approve")
	if got := c.CA.Issued(); got != issued {
		t.Errorf("going on cost %d more certificates", got-issued)
	}
	third := bornKey(t, n.PrivateKeyPath)
	if third.Hash() != waiting.Hash() {
		t.Error("another key than the one that waited is in use")
	}
	wantBorn(third, 3)

	var lines []string
	for _, key := range []pki.Key{before, first, second, third} {
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{}
		addForms(secrets, "born", strings.Split(strings.TrimSpace(string(text)), "\n")[1:len(strings.Split(strings.TrimSpace(string(text)), "\n"))-1])
		for _, secret := range secrets {
			lines = append(lines, string(secret))
		}
	}
	noneOf(t, c.folder, append(lines, "BEGIN PRIVATE KEY")...)
}

// By age, one apply makes a key, orders for it and deploys; a key that is gone
// is made again.
func TestAccHostKey_rotatesByAgeAndComesBack(t *testing.T) {
	t.Parallel()
	needOpenSSL(t)
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	config := hostKeyConfig(n, "{ local = {} }", "rotate_after_days = 20\n  algorithm = \"RSA_2048\"\n  mode = \"0640\"")
	first, second, third := map[string]string{}, map[string]string{}, map[string]string{}
	all := []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(hostKeyAt, plancheck.ResourceActionUpdate),
		plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
		plancheck.ExpectResourceAction(web, plancheck.ResourceActionUpdate),
	}
	w.test(t,
		resource.TestStep{Config: config, Check: grab(first, hostKeyAt, "public_key_sha256", "rotate_at")},
		resource.TestStep{PreConfig: func() { w.advance(19 * 24 * time.Hour) }, Config: config, PlanOnly: true},
		resource.TestStep{
			PreConfig: func() { w.advance(2 * 24 * time.Hour) }, Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: all},
			Check:            grab(second, hostKeyAt, "public_key_sha256"),
		},
		resource.TestStep{Config: config, PlanOnly: true},
		resource.TestStep{
			PreConfig: func() {
				if err := os.Remove(n.PrivateKeyPath); err != nil {
					t.Fatal(err)
				}
			},
			Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: all},
			Check: grab(third, hostKeyAt, "public_key_sha256", "generation"),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	if first["public_key_sha256"] == second["public_key_sha256"] || second["public_key_sha256"] == third["public_key_sha256"] {
		t.Errorf("keys %v, %v, %v; want three", first, second, third)
	}
	if got := bornKey(t, n.PrivateKeyPath); got.Hash() != third["public_key_sha256"] || third["generation"] != "3" || got.Algorithm() != pki.RSA2048 {
		t.Errorf("nginx has %s of %s, want %v", got.Hash(), got.Algorithm(), third)
	}
	if info, err := os.Stat(n.PrivateKeyPath); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v; want 0640", info.Mode(), err)
	}
}

// Other names make another request for the same key; import adopts a key; destroy
// leaves it, unless told otherwise.
func TestAccHostKey_namesImportAndDestroy(t *testing.T) {
	t.Parallel()
	needOpenSSL(t)
	w := newWorld(t, lab.Options{})
	file := filepath.Join(t.TempDir(), "www.key")
	config := func(domains string, more ...string) string {
		return fmt.Sprintf("resource \"certificate_host_key\" \"www\" {\n host = { local = {} }\n path = %q\n domains = [%s]\n %s\n}", file, domains, strings.Join(more, "\n"))
	}
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: config(`"www.example.test"`), Check: grab(first, hostKeyAt, "public_key_sha256", "csr_pem")},
		resource.TestStep{Config: config(`"www.example.test", "192.0.2.7"`), Check: grab(second, hostKeyAt, "public_key_sha256", "csr_pem", "generation")},
		resource.TestStep{Config: config(`"www.example.test", "192.0.2.7"`), PlanOnly: true},
	)
	if first["public_key_sha256"] != second["public_key_sha256"] || first["csr_pem"] == second["csr_pem"] || second["generation"] != "1" {
		t.Errorf("%v became %v; want the same key with another request", first, second)
	}
	request, err := pki.ParseRequest([]byte(second["csr_pem"]))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(pki.RequestNames(request)); got != "[www.example.test 192.0.2.7]" {
		t.Errorf("the request is for %s", got)
	}
	if got := bornKey(t, file).Hash(); got != first["public_key_sha256"] {
		t.Errorf("destroy left %s, want the key", got)
	}
	adopted := config(`"www.example.test"`, "delete_on_destroy = true")
	w.test(t,
		resource.TestStep{Config: adopted, ResourceName: hostKeyAt, ImportState: true, ImportStatePersist: true, ImportStateId: file},
		resource.TestStep{Config: adopted, Check: resource.TestCheckResourceAttr(hostKeyAt, "public_key_sha256", first["public_key_sha256"])},
		resource.TestStep{Config: adopted, PlanOnly: true},
	)
	if _, err := os.Stat(file); err == nil {
		t.Error("destroy left the key although it was told to remove it")
	}
}

func TestAccHostKey_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	needOpenSSL(t)
	w := newWorld(t, lab.Options{})
	folder := t.TempDir()
	config := func(host, path, domains, more string) string {
		return fmt.Sprintf("resource \"certificate_host_key\" \"www\" {\n host = %s\n path = %q\n domains = [%s]\n %s\n}", host, path, domains, more)
	}
	key := filepath.Join(folder, "www.key")
	const here, name = "{ local = {} }", `"www.example.test"`
	for sentence, test := range map[string]struct{ config, want string }{
		"a Windows by WinRM":       {config(`{ winrm = { address = "192.0.2.1", user = "u", password_wo = "p" } }`, key, name, ""), "certreq"},
		"a Windows over SSH":       {config(`{ ssh = { address = "192.0.2.1", user = "u", password_wo = "p", host_key = "SHA256:x", windows = true } }`, key, name, ""), "certreq"},
		"a relative path":          {config(here, "www.key", name, ""), "absolute"},
		"a folder that is missing": {config(here, "/no/such/folder/www.key", name, ""), "no such file"},
		"no way to the host":       {config("{}", key, name, ""), "One must be configured"},
		"two ways to the host":     {config(`{ local = {}, winrm = { address = "a", user = "u" } }`, key, name, ""), "Only one may be configured"},
		"a name that is none":      {config(here, key, `"no name"`, ""), "contains a space"},
		"no names":                 {config(here, key, "", ""), "domains"},
		"a mode that is none":      {config(here, key, name, `mode = "rw"`), "no permission in octal"},
		"an unknown algorithm":     {config(here, key, name, `algorithm = "DSA"`), "algorithm"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			here := &world{Lab: w.Lab, environment: w.environment}
			here.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) > 0 {
			t.Errorf("a refused plan left %q (%v)", left, err)
		}
	})
}
