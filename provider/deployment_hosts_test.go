package provider_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// fleet is an nginx that several hosts lead to, each by an sshd of its own; the
// second one can be cut off.
type fleet struct {
	*cli
	nginx *deploytest.Nginx
	hosts map[string]*transporttest.SSHD
	gate  *transporttest.Gate
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{nginx: startNginx(t), hosts: map[string]*transporttest.SSHD{}}
	for _, name := range []string{"web1", "web2", "web3"} {
		f.hosts[name] = transporttest.StartSSHD(t)
	}
	f.gate = transporttest.NewGate(t, f.hosts["web2"].Address)
	f.cli = newCLI(t, lab.Options{}, "")
	f.write(f.config("web1", "web2", "web3"))
	return f
}

// config deploys to the named hosts.
func (f *fleet) config(names ...string) string {
	var hosts strings.Builder
	for _, name := range names {
		s, address := f.hosts[name], f.hosts[name].Address
		if name == "web2" {
			address = f.gate.Address
		}
		fmt.Fprintf(&hosts, "    %s = { ssh = { address = %q, user = %q, host_key = %q, private_key_wo = file(%q), connect_timeout = \"5s\" } }\n",
			name, address, s.User, strings.Join(strings.Fields(s.KnownHosts())[1:3], " "), f.keyFile(name))
	}
	return wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  hosts = {
%s  }
  nginx  = { fullchain_path = %q, private_key_path = %q, prefix = %q, config_path = %q }
  verify = { address = %q, server_name = "www.example.test" }
}
`, hosts.String(), f.nginx.FullchainPath, f.nginx.PrivateKeyPath, f.nginx.Prefix, f.nginx.Config, f.nginx.Address)
}

func (f *fleet) keyFile(name string) string {
	f.t.Helper()
	file := filepath.Join(f.Directory, name+".key") // beside what Terraform writes
	if err := os.WriteFile(file, f.hosts[name].Key, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return file
}

// states are those of the hosts in Terraform's state.
func (f *fleet) states() map[string]string {
	f.t.Helper()
	var state struct {
		Values struct {
			RootModule struct {
				Resources []struct {
					Address string
					Values  struct {
						HostResults map[string]struct{ State, Error string } `json:"host_results"`
					}
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(f.must(0, "show", "-json")), &state); err != nil {
		f.t.Fatal(err)
	}
	states := map[string]string{}
	for _, resource := range state.Values.RootModule.Resources {
		for name, result := range resource.Values.HostResults {
			states[name] = result.State
		}
	}
	return states
}

func (f *fleet) wantStates(want map[string]string) {
	f.t.Helper()
	if got := f.states(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("the hosts are %v, want %v", got, want)
	}
}

// Fault 32: a host in the middle of a fleet fails. The rollout stops there, the
// state says what became of each host, and the next apply touches only those
// that are left.
func TestAccHosts_rolloutStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web2": "done", "web3": "done"})
	f.must(0, "plan", "-detailed-exitcode")
	before := served(t, f.nginx.Address)

	f.gate.Shut()
	f.write(f.config("web1", "web2", "web3") + "\n")
	f.renew()
	said := plain(f.must(1, "apply", "-auto-approve"))
	for _, want := range []string{"not deployed to every host", "web2:", "not tried, and as before: web3", "goes on with the hosts that are left"} {
		if !strings.Contains(said, want) {
			t.Errorf("the error does not say %q:\n%s", want, said)
		}
	}
	f.wantStates(map[string]string{"web1": "done", "web2": "failed", "web3": "waiting"})
	if after := served(t, f.nginx.Address); after == before {
		t.Error("the host before the failure does not serve the new certificate")
	}

	f.gate.Open()
	first := f.hosts["web1"].Connections()
	if planned := plain(f.must(0, "plan")); !strings.Contains(planned, `"web2", "web3"`) {
		t.Errorf("the plan does not name the hosts that are left:\n%s", planned)
	}
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web2": "done", "web3": "done"})
	if got := f.hosts["web1"].Connections(); got != first {
		t.Errorf("the host that was done was connected to %d more times", got-first)
	}
	f.must(0, "plan", "-detailed-exitcode")
}

// renew asks for a new certificate.
func (f *fleet) renew() {
	f.t.Helper()
	file := filepath.Join(f.folder, "main.tf")
	text, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	changed := strings.Replace(string(text), wwwOnly, renewal(`renewal = { force_token = "now" }`)+"\n", 1)
	if changed == string(text) {
		f.t.Fatal("the configuration has no domains to change")
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// Hosts that are added or removed touch only themselves.
func TestAccHosts_addedAndRemoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.write(f.config("web1", "web3"))
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web3": "done"})
	connections := func() string {
		return fmt.Sprint(f.hosts["web1"].Connections(), f.hosts["web3"].Connections())
	}
	before := connections()
	f.write(f.config("web1", "web2", "web3"))
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web2": "done", "web3": "done"})
	f.write(f.config("web1", "web2"))
	f.must(0, "apply", "-auto-approve")
	f.wantStates(map[string]string{"web1": "done", "web2": "done"})
	f.must(0, "plan", "-detailed-exitcode")
	if after := connections(); after != before {
		t.Errorf("connections to the other hosts: %s, before %s", after, before)
	}
}

func TestAccHosts_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	good := f.config("web1")
	for sentence, test := range map[string]struct{ old, new, want string }{
		"no trust in the host":  {"host_key", "# host_key", "known_hosts"},
		"no hosts":              {good[strings.Index(good, "    web1 ="):strings.Index(good, "  nginx")], "  }\n", "hosts"},
		"no way to a host":      {good[strings.Index(good, "ssh = {"):strings.Index(good, "  nginx")], "}\n  }\n", "Set one of local, ssh, winrm"},
		"a canary of none":      {"  verify =", "  rollout = { canary = 0 }\n  verify =", "rollout.canary"},
		"an address without it": {"verify = { address = ", "verify = { address = \"nowhere\" # ", "Not an address"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if !strings.Contains(good, test.old) {
				t.Fatalf("the configuration has no %q", test.old)
			}
			config := strings.Replace(good, test.old, test.new, 1)
			if sentence == "no trust in the host" {
				config = strings.Replace(good, good[strings.Index(good, "host_key"):strings.Index(good, "private_key_wo")], "", 1)
			}
			if sentence == "an address without it" {
				config = strings.Replace(good, f.nginx.Address+`", server_name`, `nowhere", server_name`, 1)
			}
			f.write(config)
			if said := plain(f.must(1, "plan")); !strings.Contains(said, test.want) {
				t.Errorf("the plan does not say %q:\n%s", test.want, said)
			}
		})
	}
}
