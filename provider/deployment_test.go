package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const web = "certificate_deployment.web"

// served asks a server for its certificate's fingerprint.
func served(t *testing.T, address string) string {
	t.Helper()
	found, err := deploy.Probe(t.Context(), deploy.Endpoint{Address: address, ServerName: "www.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	return found.Fingerprint
}

// startNginx starts nginx with a certificate that is to be replaced.
func startNginx(t *testing.T) *deploytest.Nginx {
	t.Helper()
	leaf := issue(t)
	return deploytest.StartNginx(t, leaf.Chain, leaf.Key, "")
}

// issue makes a certificate for www.example.test by a CA of its own.
func issue(t *testing.T) deploy.Material {
	t.Helper()
	chain, key := deploytest.NewAuthority(t, time.Now()).Issue(t, time.Now(), []string{"www.example.test"})
	return deploy.Material{Chain: chain, Key: key}
}

// nginxConfig renews www.example.test and deploys it to an nginx.
func nginxConfig(n *deploytest.Nginx) string {
	return wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  nginx = {
    fullchain_path   = %q
    private_key_path = %q
    prefix           = %q
    config_path      = %q
  }
  verify = {
    address     = %q
    server_name = "www.example.test"
    timeout     = "10s"
  }
}`, n.FullchainPath, n.PrivateKeyPath, n.Prefix, n.Config, n.Address)
}

// openWindow has the CA ask for the renewal of the certificate in a state.
func (w *world) openWindow(t *testing.T, state map[string]string) func() {
	return func() {
		t.Helper()
		if err := w.CA.SetWindow([]byte(state["certificate_pem"]), time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAccDeployment_oneApplyRenewsAndReplaces(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{PollSuggestions: true}), startNginx(t)
	config := nginxConfig(n)
	first, second := map[string]string{}, map[string]string{}
	w.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(
			grab(first, www, "certificate_pem", "fingerprint_sha256"),
			resource.TestCheckResourceAttr(web, "proven_by", "handshake"),
			func(*terraform.State) error {
				if got := served(t, n.Address); got != first["fingerprint_sha256"] {
					return fmt.Errorf("nginx serves %s, want %s", got, first["fingerprint_sha256"])
				}
				// What follows must need no key.
				return os.Rename(filepath.Join(w.StorageDirectory(), "keys"), filepath.Join(w.StorageDirectory(), "hidden"))
			},
		)},
		resource.TestStep{
			Config:           config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			Check: func(*terraform.State) error {
				return os.Rename(filepath.Join(w.StorageDirectory(), "hidden"), filepath.Join(w.StorageDirectory(), "keys"))
			},
		},
		resource.TestStep{
			PreConfig: w.openWindow(t, first),
			Config:    config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectResourceAction(web, plancheck.ResourceActionUpdate),
			}},
			Check: grab(second, web, "fingerprint_sha256", "served_fingerprint_sha256"),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
	if got := second["served_fingerprint_sha256"]; got != second["fingerprint_sha256"] || got == first["fingerprint_sha256"] {
		t.Errorf("served %s, deployed %s, before %s; want a new one served", got, second["fingerprint_sha256"], first["fingerprint_sha256"])
	}
}

func TestAccDeployment_wrongNginxConfigurationKeepsTheOldCertificateServed(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{PollSuggestions: true}), startNginx(t)
	config := nginxConfig(n)
	first := map[string]string{}
	var files [2][]byte
	w.test(t,
		resource.TestStep{Config: config, Check: grab(first, www, "certificate_pem", "fingerprint_sha256")},
		resource.TestStep{
			PreConfig: func() {
				w.openWindow(t, first)()
				n.WriteConfig(t, "no_such_directive on;")
				files = read(t, n)
			},
			Config:      config,
			ExpectError: anywhere(`unknown directive "no_such_directive"`),
		},
		resource.TestStep{
			PreConfig: func() {
				if got := served(t, n.Address); got != first["fingerprint_sha256"] {
					t.Errorf("nginx serves %s, want the old %s", got, first["fingerprint_sha256"])
				}
				if got := read(t, n); string(got[0]) != string(files[0]) || string(got[1]) != string(files[1]) {
					t.Error("the old files were not put back")
				}
				n.WriteConfig(t, "")
			},
			Config: config,
			Check: func(s *terraform.State) error {
				want := s.RootModule().Resources[www].Primary.Attributes["fingerprint_sha256"]
				if got := served(t, n.Address); got != want || got == first["fingerprint_sha256"] {
					return fmt.Errorf("nginx serves %s after the mend, want %s", got, want)
				}
				return nil
			},
		},
	)
	if got := w.CA.Issued(); got != 2 {
		t.Errorf("the CA issued %d certificates, want 2: the failed deployment must not cost another", got)
	}
}

func read(t *testing.T, n *deploytest.Nginx) (files [2][]byte) {
	t.Helper()
	for i, path := range []string{n.FullchainPath, n.PrivateKeyPath} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = text
	}
	return files
}

func TestAccDeployment_putsBackWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	other := issue(t)
	config := nginxConfig(n)
	state := map[string]string{}
	w.test(t,
		resource.TestStep{Config: config, Check: grab(state, web, "fingerprint_sha256")},
		resource.TestStep{
			PreConfig:        func() { n.WritePair(t, other.Chain, other.Key); n.Reload(t) },
			Config:           config,
			ConfigPlanChecks: expect(web, plancheck.ResourceActionUpdate),
			Check:            resource.TestCheckResourceAttrWith(web, "served_fingerprint_sha256", equals(state, "fingerprint_sha256")),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

func TestAccDeployment_keepsStateWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	w.test(t,
		resource.TestStep{Config: nginxConfig(n)},
		resource.TestStep{PreConfig: func() { n.Stop(t) }, Config: nginxConfig(n), PlanOnly: true},
	)
}

func TestAccDeployment_takesAWriteOnlyKey(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	leaf := issue(t)
	key, err := leaf.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string][]byte{"chain.pem": pki.EncodeCertificates(leaf.Chain...), "key.pem": key} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem    = file("%[1]s/chain.pem")
  private_key_pem_wo = file("%[1]s/key.pem")
  nginx = {
    fullchain_path   = %[2]q
    private_key_path = %[3]q
    prefix           = %[4]q
    config_path      = %[5]q
  }
  verify = { address = %[6]q }
}`, folder, n.FullchainPath, n.PrivateKeyPath, n.Prefix, n.Config, n.Address)
	w.test(t,
		resource.TestStep{
			Config: config,
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckNoResourceAttr(web, "private_key_pem_wo"),
				resource.TestCheckResourceAttr(web, "served_fingerprint_sha256", pki.Fingerprint(leaf.Chain[0])),
			),
		},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

func TestAccDeployment_importsWhatAServerHas(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	config := fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = file(%[1]q)
  nginx = {
    fullchain_path   = %[1]q
    private_key_path = %[2]q
    prefix           = %[3]q
    config_path      = %[4]q
  }
  verify = { address = %[5]q }
}`, n.FullchainPath, n.PrivateKeyPath, n.Prefix, n.Config, n.Address)
	before := served(t, n.Address)
	w.test(t,
		resource.TestStep{
			Config: config, ResourceName: web, ImportState: true, ImportStatePersist: true,
			ImportStateId: "nginx:" + n.FullchainPath + "," + n.PrivateKeyPath,
		},
		resource.TestStep{Config: config, Check: resource.TestCheckResourceAttr(web, "served_fingerprint_sha256", before)},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

func TestAccDeployment_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	folder := t.TempDir()
	leaf, other := issue(t), issue(t)
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
	otherKey, err := other.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	chain := write("chain.pem", pki.EncodeCertificates(leaf.Chain...))
	alone := write("alone.pem", pki.EncodeCertificates(leaf.Chain[0]))
	keyFile, otherFile := write("key.pem", key), write("other.pem", otherKey)
	files := fmt.Sprintf(`files = { fullchain_path = "%[1]s/out.pem", private_key_path = "%[1]s/out.key" }`, folder)
	config := func(lines ...string) string {
		return "resource \"certificate_deployment\" \"web\" {\n" + strings.Join(lines, "\n") + "\n}"
	}
	certificate := fmt.Sprintf("certificate_pem = file(%q)", chain)
	withKey := fmt.Sprintf("private_key_pem_wo = file(%q)", keyFile)
	for sentence, test := range map[string]struct {
		config, want string
		ahead        time.Duration
	}{
		"both key sources":                 {config: config(certificate, withKey, `private_key_id = "x"`, files), want: "Two sources for the key"},
		"no certificate":                   {config: config(`certificate_pem = "x"`, files), want: "Not a certificate"},
		"no private key":                   {config: config(certificate, `private_key_pem_wo = "x"`, files), want: "Not a private key"},
		"a key of another":                 {config: config(certificate, fmt.Sprintf("private_key_pem_wo = file(%q)", otherFile), files), want: "does not belong to the certificate"},
		"a missing intermediate":           {config: config(fmt.Sprintf("certificate_pem = file(%q)", alone), withKey, files), want: "is missing"},
		"an expired certificate":           {config: config(certificate, withKey, files), want: "is not valid now", ahead: 50 * 365 * 24 * time.Hour},
		"a name that is not there":         {config: config(certificate, withKey, files, `verify = { address = "127.0.0.1:443", server_name = "other.example.test" }`), want: "does not cover"},
		"no target":                        {config: config(certificate, withKey), want: "No target"},
		"two targets":                      {config: config(certificate, withKey, files, `nginx = { fullchain_path = "/a", private_key_path = "/b" }`), want: "Two targets"},
		"an unwritable path":               {config: config(certificate, withKey, `files = { fullchain_path = "/etc/passwd/x.pem", private_key_path = "/etc/passwd/x.key" }`), want: "cannot be written"},
		"a folder that is missing":         {config: config(certificate, withKey, `files = { fullchain_path = "/no/such/folder/x.pem" }`), want: "cannot be written"},
		"a relative path":                  {config: config(certificate, withKey, `files = { fullchain_path = "x.pem" }`), want: "absolute"},
		"the same path twice":              {config: config(certificate, withKey, `files = { fullchain_path = "/tmp/x.pem", private_key_path = "/tmp/x.pem" }`), want: "The target cannot be used"},
		"apache without a certificate":     {config: config(certificate, withKey, `apache = { private_key_path = "/tmp/x.key" }`), want: "apache needs the path"},
		"apache with two chains":           {config: config(certificate, withKey, `apache = { private_key_path = "/tmp/x.key", fullchain_path = "/tmp/x.pem", chain_path = "/tmp/y.pem" }`), want: "in the full chain already"},
		"a keystore without its password":  {config: config(certificate, withKey, `jetty = { keystore = { path = "/tmp/x.p12" } }`), want: "set password_wo"},
		"an unknown kind of keystore":      {config: config(certificate, withKey, `jetty = { keystore = { path = "/tmp/x.p12", type = "BKS", password_wo = "x" } }`), want: "jetty.keystore.type"},
		"tomcat with keystore and files":   {config: config(certificate, withKey, `tomcat = { keystore = { path = "/tmp/x", password_wo = "x" }, certificate_path = "/tmp/y" }`), want: "tomcat needs a keystore, or"},
		"a manager that is no URL":         {config: config(certificate, withKey, `tomcat = { keystore = { path = "/tmp/x", password_wo = "x" }, manager = { url = "localhost:8080" } }`), want: "no http or https URL"},
		"a socket that is a relative path": {config: config(certificate, withKey, `haproxy = { combined_path = "/tmp/x.pem", socket = "admin.sock" }`), want: "is not absolute"},
		"no file mode":                     {config: config(certificate, withKey, `files = { fullchain_path = "/tmp/x.pem", certificate_mode = "rw" }`), want: "Not a file mode"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			here := &world{Lab: w.Lab, environment: w.environment, ahead: test.ahead}
			here.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(folder, "out*")); err != nil || len(left) > 0 {
			t.Errorf("a refused plan left %v (%v)", left, err)
		}
	})
}

// A Tomcat with a keystore, renewed and replaced by terraform; its passwords are
// in nothing that Terraform wrote.
func TestAccDeployment_tomcatWithAKeystore(t *testing.T) {
	t.Parallel()
	old := issue(t)
	tomcat := deploytest.StartTomcat(t, pki.PKCS12, old.Chain, old.Key)
	c := newCLI(t, lab.Options{}, wwwOnly+fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  tomcat = {
    keystore = { path = %q, password_wo = var.store_password }
    manager  = { url = %q, username = %q, password_wo = var.manager_password }
  }
  verify = { address = %q, server_name = "www.example.test" }
}
variable "store_password" { ephemeral = true }
variable "manager_password" { ephemeral = true }
`, tomcat.Path("keystore"), tomcat.Manager, deploytest.ManagerUser, tomcat.Address))
	c.extra = append(c.extra, "TF_VAR_store_password="+deploytest.StorePassword, "TF_VAR_manager_password="+deploytest.ManagerPassword)
	before := served(t, tomcat.Address)
	c.must(0, "apply", "-auto-approve")
	after := served(t, tomcat.Address)
	if after == before || !strings.Contains(c.must(0, "state", "show", web), after) {
		t.Errorf("it serves %s, before %s; want the one in state", after, before)
	}
	c.must(0, "plan", "-detailed-exitcode")
	noneOf(t, c.folder, deploytest.StorePassword, deploytest.ManagerPassword)
}

// A site of a (fake) BT panel, renewed and replaced by terraform.
func TestAccDeployment_panelSite(t *testing.T) {
	t.Parallel()
	old := issue(t)
	panel := deploytest.StartFakePanel(t, old.Chain, old.Key)
	c := newCLI(t, lab.Options{}, wwwOnly+fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  bt_panel        = { url = %q, site = %q, api_key_wo = %q }
  verify          = { address = %q, server_name = "www.example.test" }
}
`, panel.URL, deploytest.PanelSite, deploytest.PanelKey, panel.Address))
	before := served(t, panel.Address)
	c.must(0, "apply", "-auto-approve")
	if after := served(t, panel.Address); after == before || !strings.Contains(c.must(0, "state", "show", web), after) {
		t.Errorf("it serves %s, before %s; want the one in state", after, before)
	}
	c.must(0, "plan", "-detailed-exitcode")
	state, err := os.ReadFile(filepath.Join(c.folder, "terraform.tfstate"))
	if err != nil || strings.Contains(string(state), deploytest.PanelKey) {
		t.Errorf("the API key is in the state (%v)", err)
	}
}
