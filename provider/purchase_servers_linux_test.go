package provider_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// place is a server with a certificate that is to be replaced: where it answers,
// and what a deployment to it says besides the certificate.
type place struct{ address, block string }

// result is where the outputs of a deployment to one host are.
func (p place) result() string {
	if strings.HasPrefix(p.block, "hosts") {
		return "host_results.win."
	}
	return ""
}

func keystoreOf(s *deploytest.Server, more string) string {
	return fmt.Sprintf("keystore = { path = %q, password_wo = %q%s }", s.Path("keystore"), deploytest.StorePassword, more)
}

func adminOf(name string, s *deploytest.Server) string {
	return fmt.Sprintf("%s = { url = %q, username = %q, password_wo = %q }", name, s.Manager, deploytest.ManagerUser, deploytest.ManagerPassword)
}

func winrm(w *transporttest.WinRM) string {
	return fmt.Sprintf("hosts = { win = { winrm = { address = %q, user = %q, password_wo = %q, server_name = \"example.com\", ca_bundle_pem = %q } } }",
		w.Address, w.User, w.Password, w.CABundle)
}

// sitesOnLinux has one of each kind of server in the source (R22), and one that
// the source does not know (R25).
func sitesOnLinux(t *testing.T) map[string]place {
	t.Helper()
	old := issue(t)
	nginx := deploytest.StartNginx(t, old.Chain, old.Key, "")
	apache := deploytest.StartApache(t, old.Chain, old.Key)
	tomcat := deploytest.StartTomcat(t, pki.PKCS12, old.Chain, old.Key)
	jetty := deploytest.StartJetty(t, pki.PKCS12, old.Chain, old.Key)
	jboss := deploytest.StartFakeWildFly(t, old.Chain, old.Key)
	glassfish := deploytest.StartFakeGlassFish(t, old.Chain, old.Key)
	panel := deploytest.StartFakePanel(t, old.Chain, old.Key)
	haproxy := deploytest.StartHAProxy(t, old.Chain, old.Key)
	return map[string]place{
		"nginx": {nginx.Address, fmt.Sprintf("nginx = { fullchain_path = %q, private_key_path = %q, prefix = %q, config_path = %q }",
			nginx.FullchainPath, nginx.PrivateKeyPath, nginx.Prefix, nginx.Config)},
		"apache": {apache.Address, fmt.Sprintf("apache = { fullchain_path = %q, private_key_path = %q, binary = \"apache2\", config_path = %q }",
			apache.Path("fullchain.pem"), apache.Path("key.pem"), apache.Config)},
		"tomcat":    {tomcat.Address, "tomcat = { " + keystoreOf(tomcat, "") + "\n" + adminOf("manager", tomcat) + " }"},
		"jetty":     {jetty.Address, "jetty = { " + keystoreOf(jetty, "") + " }"},
		"jboss":     {jboss.Address, "jboss = { key_store = \"web\"\nkey_manager = \"webKM\"\n" + keystoreOf(jboss, "") + "\n" + adminOf("management", jboss) + " }"},
		"glassfish": {glassfish.Address, "glassfish = { " + keystoreOf(glassfish, "") + "\n" + adminOf("admin", glassfish) + " }"},
		"bt_panel":  {panel.Address, fmt.Sprintf("bt_panel = { url = %q, site = %q, api_key_wo = %q }", panel.URL, deploytest.PanelSite, deploytest.PanelKey)},
		"anything_else": {haproxy.Address, fmt.Sprintf("files = { combined_path = %q, reload_command = [\"sh\", \"-c\", \"kill -USR2 $(cat %s)\"] }",
			haproxy.Path("combined.pem"), haproxy.PIDFile)},
	}
}

// sitesOnWindows has one of each kind of server of R23, all of them fakes that
// are reached by WinRM.
func sitesOnWindows(t *testing.T) map[string]place {
	t.Helper()
	old := issue(t)
	apache := deploytest.StartWindows(t, "Apache2.4", pki.KeystoreEntry{Chain: old.Chain, Key: old.Key})
	iis := deploytest.StartFakeIIS(t, old.Chain, old.Key)
	iisHost := transporttest.StartWinRM(t, true)
	iisHost.Programs = func(argv []string, stdin []byte) (string, int) {
		said, err := iis.Run(context.Background(), argv, stdin)
		if err != nil {
			return err.Error(), 1
		}
		return said.Text, said.ExitCode
	}
	weblogic := deploytest.StartFakeWebLogic(t, old.Chain, old.Key)
	weblogicHost := transporttest.StartWinRM(t, true)
	weblogicHost.Root = weblogic.Files
	store := strings.ReplaceAll(keystoreOf(weblogic, ", alias = \"server\""), fmt.Sprintf("%q", weblogic.Path("keystore")), `"C:\\`+filepath.Base(weblogic.Path("keystore"))+`"`)
	return map[string]place{
		"apache_on_windows": {apache.Site, winrm(apache.WinRM) + "\n" +
			`apache = { fullchain_path = "C:\\web\\full.pem", private_key_path = "C:\\web\\key.pem", server_root = "C:\\web", service = "Apache2.4" }`},
		"iis":      {iis.Address, winrm(iisHost) + "\n" + fmt.Sprintf("iis = { site = %q }", deploytest.IISSite)},
		"weblogic": {weblogic.Address, winrm(weblogicHost) + "\nweblogic = { " + store + "\n" + adminOf("management", weblogic) + " }"},
	}
}

// A certificate that is bought reaches every server of the source, and so does
// the one that is bought half a year later; until a new one is issued, each
// serves what it had.
func TestAccPurchase_reachesEveryServer(t *testing.T) {
	t.Parallel()
	for sentence, start := range map[string]func(*testing.T) map[string]place{
		"Linux":   sitesOnLinux,
		"Windows": sitesOnWindows,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s, sites := newShop(t), start(t)
			id := s.old(tencentsim.Seed{PID: 1013949, Names: []string{"www.paid.test"}}, 20)
			config := bought("www.paid.test", "product = \"dnspod-dv\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
			for name, at := range sites {
				config += fmt.Sprintf(`
resource "certificate_deployment" %q {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  verify          = { address = %q, server_name = "www.paid.test", timeout = "30s" }
  %s
}
output "by_hand_%[1]s" { value = nonsensitive(provider::certificate::manual_instructions(certificate_deployment.%[1]s, "en")) }
`, name, at.address, at.block)
			}
			before := servedBy(t, sites)
			s.test(t,
				resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("issuing"), serveStill(t, sites, before))},
				resource.TestStep{PreConfig: s.later(time.Hour), Config: config, Check: resource.ComposeTestCheckFunc(stands("issued"), serveTheNew(t, sites))},
				resource.TestStep{Config: config, PlanOnly: true},
				resource.TestStep{
					PreConfig: s.later(175 * wholeDay), Config: config, ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
					Check: resource.ComposeTestCheckFunc(stands("issuing"), serveTheNew(t, sites)),
				},
				resource.TestStep{
					PreConfig: s.later(time.Hour), Config: config,
					Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"), serveTheNew(t, sites)),
				},
				resource.TestStep{Config: config, PlanOnly: true},
			)
			s.charged(2)
			for name, fingerprint := range servedBy(t, sites) {
				if fingerprint == before[name] {
					t.Errorf("%s serves what it served in the beginning", name)
				}
			}
		})
	}
}

// servedBy is the fingerprint of what each site serves.
func servedBy(t *testing.T, sites map[string]place) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, at := range sites {
		found, err := deploy.Probe(t.Context(), deploy.Endpoint{Address: at.address, ServerName: "www.paid.test"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = found.Fingerprint
	}
	return all
}

func serveStill(t *testing.T, sites map[string]place, want map[string]string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		for name, fingerprint := range servedBy(t, sites) {
			if fingerprint != want[name] {
				return fmt.Errorf("%s serves %s before a certificate was issued, want %s", name, fingerprint, want[name])
			}
		}
		return nil
	}
}

// serveTheNew checks that each site serves the certificate of the renewal, and
// that the words for people have it too.
func serveTheNew(t *testing.T, sites map[string]place) resource.TestCheckFunc {
	return func(state *terraform.State) error {
		want := state.RootModule().Resources[www].Primary.Attributes
		for name, fingerprint := range servedBy(t, sites) {
			address := "certificate_deployment." + name
			if fingerprint != want["fingerprint_sha256"] {
				return fmt.Errorf("%s serves %s, want %s", name, fingerprint, want["fingerprint_sha256"])
			}
			block, _, _ := strings.Cut(want["certificate_pem"][len("-----BEGIN CERTIFICATE-----\n"):], "\n")
			for _, check := range []resource.TestCheckFunc{
				resource.TestCheckResourceAttr(address, "proven_by", "handshake"),
				resource.TestCheckResourceAttr(address, sites[name].result()+"served_fingerprint_sha256", fingerprint),
				resource.TestMatchOutput("by_hand_"+name, regexp.MustCompile(regexp.QuoteMeta(block))),
			} {
				if err := check(state); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		return nil
	}
}
