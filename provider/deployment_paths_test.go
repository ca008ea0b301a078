package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// withoutPaths leaves the paths of a configuration's nginx out.
func withoutPaths(config string, n *deploytest.Nginx) string {
	for attribute, value := range map[string]string{"fullchain_path": n.FullchainPath, "private_key_path": n.PrivateKeyPath} {
		for _, spaces := range []string{" = ", "   = "} {
			config = strings.ReplaceAll(config, fmt.Sprintf("%s%s%q", attribute, spaces, value), "")
		}
	}
	return strings.NewReplacer("nginx  = { , , ", "nginx  = { ").Replace(config)
}

// Only the server's name is needed: the plan shows the paths, the apply writes
// there, and later plans ask nobody for them.
func TestAccDeployment_readsThePathsFromTheServer(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	n.WriteConfig(t, "server_name www.example.test;")
	config := withoutPaths(nginxConfig(n), n)
	if strings.Contains(config, "fullchain_path") || strings.Contains(config, "private_key_path ") {
		t.Fatal("the configuration still has the paths")
	}
	at := "discovered_paths.this machine."
	first := map[string]string{}
	changed := strings.Replace(config, "verify = {", "keep_backups = 2\n  verify = {", 1)
	w.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(
			grab(first, www, "fingerprint_sha256"),
			resource.TestCheckResourceAttr(web, at+"fullchain_path", n.FullchainPath),
			resource.TestCheckResourceAttr(web, at+"private_key_path", n.PrivateKeyPath),
			func(*terraform.State) error {
				if got := served(t, n.Address); got != first["fingerprint_sha256"] {
					return fmt.Errorf("nginx serves %s, want %s", got, first["fingerprint_sha256"])
				}
				return nil
			},
		)},
		resource.TestStep{
			PreConfig:        func() { n.WriteConfig(t, "no_such_directive on;") }, // nobody asks nginx
			Config:           config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		resource.TestStep{Config: changed, ExpectError: anywhere(`unknown directive "no_such_directive"`)},
		resource.TestStep{
			PreConfig: func() {
				if err := os.CopyFS(n.Prefix+"/other", os.DirFS(filepath.Dir(n.FullchainPath))); err != nil { // nginx shows no configuration without them
					t.Error(err)
				}
				n.WriteConfig(t, fmt.Sprintf("server_name www.example.test; }\nserver { listen %s ssl; server_name www.example.test; ssl_certificate other/fullchain.pem; ssl_certificate_key other/key.pem;", n.Address))
			},
			Config: changed, ExpectError: anywhere("2 servers have the name www.example.test and different files"),
		},
	)
}

// A host is asked over its own connection, in the plan; where that is not to be
// had, by the apply.
func TestAccHosts_readsThePathsFromTheServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.nginx.WriteConfig(t, "server_name www.example.test;")
	config := withoutPaths(f.config("web1", "web2"), f.nginx)
	f.write(config)
	plan := f.must(0, "plan")
	if strings.Count(plan, f.nginx.FullchainPath) != 2 {
		t.Errorf("the plan shows the path %d times, want once a host:\n%s", strings.Count(plan, f.nginx.FullchainPath), plan)
	}
	f.gate.Shut()
	if plan = f.must(0, "plan"); !strings.Contains(plan, "web2 could not be asked for them now") {
		t.Errorf("plan without web2:\n%s", plan)
	}
	f.gate.Open()
	f.nginx.WriteConfig(t, "server_name other.example.test;")
	if plan = f.must(1, "plan"); !anywhere("no server with TLS has the name www.example.test").MatchString(plan) {
		t.Errorf("plan without a server of the name:\n%s", plan)
	}
	f.nginx.WriteConfig(t, "server_name www.example.test;")
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web2": "done"})
	f.must(0, "plan", "-detailed-exitcode")
	if err := os.Rename(f.nginx.Config, f.nginx.Config+".away"); err != nil {
		t.Fatal(err)
	}
	f.must(0, "plan", "-detailed-exitcode")
}

// Several deployments to one nginx in one apply: fewer reloads than deployments,
// and each is proven.
func TestAccDeployment_severalSitesShareReloads(t *testing.T) {
	t.Parallel()
	for _, count := range []int{5, 10} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			t.Parallel()
			w, n := newWorld(t, lab.Options{}), startNginx(t)
			var servers, names strings.Builder
			for site := range count {
				if err := os.CopyFS(fmt.Sprintf("%s/site%d", n.Prefix, site), os.DirFS(filepath.Dir(n.FullchainPath))); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&servers, "}\nserver { listen %s ssl; server_name site%d.example.test; ssl_certificate site%[2]d/fullchain.pem; ssl_certificate_key site%[2]d/key.pem;\n", n.Address, site)
				fmt.Fprintf(&names, "%q, ", fmt.Sprintf("site%d.example.test", site))
			}
			n.WriteConfig(t, servers.String())
			n.Reload(t)
			before := 1 // the reload above, done or not
			config := fmt.Sprintf(`
resource "certificate_renewal" "www" { domains = [%s] }
resource "certificate_deployment" "site" {
  count           = %d
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  nginx  = { server_name = "site${count.index}.example.test", prefix = %q, config_path = %q }
  verify = { address = %q, server_name = "site${count.index}.example.test" }
}`, names.String(), count, n.Prefix, n.Config, n.Address)
			w.test(t, resource.TestStep{Config: config, Check: func(s *terraform.State) error {
				reloads := n.Reloads(t) - before
				t.Logf("%d deployments, %d reloads", count, reloads)
				if reloads > count/2 {
					return fmt.Errorf("%d reloads for %d deployments", reloads, count)
				}
				for site := range count {
					found, err := deploy.Probe(t.Context(), deploy.Endpoint{Address: n.Address, ServerName: fmt.Sprintf("site%d.example.test", site)})
					if err != nil {
						return err
					}
					if want := s.RootModule().Resources[www].Primary.Attributes["fingerprint_sha256"]; found.Fingerprint != want {
						return fmt.Errorf("site %d serves %s, want %s", site, found.Fingerprint, want)
					}
				}
				return nil
			}})
		})
	}
}
