package provider_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// site is an nginx that hosts over SSH lead to, as one configuration has them. All
// of them log in with a key file, which is at hand without the configuration too.
type site struct {
	*cli
	nginx *deploytest.Nginx
	hosts map[string]*transporttest.SSHD
	gate  *transporttest.Gate // before the last host
}

func newSite(t *testing.T, hosts int, lines ...string) *site {
	t.Helper()
	s := &site{nginx: startNginx(t), hosts: map[string]*transporttest.SSHD{}, cli: newCLI(t, lab.Options{}, "")}
	for n := range hosts {
		server := transporttest.StartSSHD(t, lines...)
		s.hosts[fmt.Sprintf("web%d", n+1)] = server
		s.gate = transporttest.NewGate(t, server.Address)
	}
	return s
}

// deploy writes a configuration with more arguments.
func (s *site) deploy(more string) {
	s.t.Helper()
	var hosts strings.Builder
	for n := range len(s.hosts) {
		name := fmt.Sprintf("web%d", n+1)
		server, address := s.hosts[name], s.hosts[name].Address
		if n == len(s.hosts)-1 {
			address = s.gate.Address
		}
		file := filepath.Join(s.Directory, name+".key") // beside what Terraform writes
		if err := os.WriteFile(file, server.Key, 0o600); err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&hosts, "    %s = { ssh = { address = %q, user = %q, host_key = %q, private_key_path = %q, connect_timeout = \"5s\" }, verify_address = %q }\n",
			name, address, server.User, strings.Join(strings.Fields(server.KnownHosts())[1:3], " "), file, s.nginx.Address)
	}
	s.write(wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  hosts = {
%s  }
  nginx = { fullchain_path = %q, private_key_path = %q, prefix = %q, config_path = %q }
  %s
}
`, hosts.String(), s.nginx.FullchainPath, s.nginx.PrivateKeyPath, s.nginx.Prefix, s.nginx.Config, more))
}

func (s *site) connections() (all int) {
	for _, server := range s.hosts {
		all += server.Connections()
	}
	return all
}

// wantSaid runs terraform and looks for words in what it says.
func (c *cli) wantSaid(status int, want string, arguments ...string) {
	c.t.Helper()
	if said := plain(c.must(status, arguments...)); !strings.Contains(strings.Join(strings.Fields(said), " "), want) {
		c.t.Errorf("terraform %s does not say %q:\n%s", strings.Join(arguments, " "), want, said)
	}
}

// A mail server's certificate is replaced and proven in its own protocol, and
// shown by the data source.
func TestAccVerify_mailServer(t *testing.T) {
	t.Parallel()
	old := issue(t)
	postfix := deploytest.StartPostfix(t, old.Chain, old.Key)
	w := newWorld(t, lab.Options{})
	config := wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  files = { fullchain_path = %q, private_key_path = %q, reload_command = ["sh", "-c", "kill -HUP $(cat %s)"] }
  verify = { address = %q, starttls = "smtp", server_name = "www.example.test" }
}
data "certificate_endpoint" "mail" {
  address    = %[4]q
  starttls   = "smtp"
  depends_on = [certificate_deployment.web]
}
`, postfix.Path("fullchain.pem"), postfix.Path("key.pem"), postfix.PIDFile, postfix.Address)
	w.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(
			resource.TestCheckResourceAttr(web, "proven_by", "handshake"),
			resource.TestCheckResourceAttrPair(web, "served_fingerprint_sha256", www, "fingerprint_sha256"),
			resource.TestCheckResourceAttrPair("data.certificate_endpoint.mail", "fingerprint_sha256", www, "fingerprint_sha256"),
		)},
		resource.TestStep{Config: config, PlanOnly: true},
	)
}

// Handshakes go through the connection to the host where they are to; a refresh
// does not log in for them unless it is to look inside.
func TestAccVerify_fromTheHost(t *testing.T) {
	t.Parallel()
	closed := newSite(t, 1, "AllowTcpForwarding no")
	const verify = `verify = { from = "host", server_name = "www.example.test", timeout = "2s" }`
	closed.deploy(verify)
	closed.wantSaid(1, "connect from the machine to", "apply", "-auto-approve")

	s := newSite(t, 1)
	s.deploy(verify)
	s.must(0, "apply", "-auto-approve")
	after := s.connections()
	s.must(0, "plan", "-detailed-exitcode")
	if got := s.connections(); got != after {
		t.Errorf("a refresh logged in %d times", got-after)
	}
	s.deploy(verify + "\n" + `refresh = "host"`)
	s.must(0, "apply", "-auto-approve")
	other, reached := issue(t), s.connections()
	s.nginx.WritePair(t, other.Chain, other.Key)
	s.nginx.Reload(t)
	s.wantSaid(2, "serves another certificate", "plan", "-detailed-exitcode")
	if got := s.connections(); got != reached+2 { // the refresh, and the plan that will deploy
		t.Errorf("%d connections to the host, want 2", got-reached)
	}
}

// A refresh looks where it is told to.
func TestAccRefresh_looksWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	verify := `verify = { server_name = "www.example.test" }` + "\n"
	s.deploy(verify)
	s.must(0, "apply", "-auto-approve")
	other := issue(t)
	s.nginx.WritePair(t, other.Chain, other.Key) // and nginx goes on with what it has
	before := s.connections()
	s.must(0, "plan", "-detailed-exitcode")
	if got := s.connections(); got != before {
		t.Errorf("a refresh of the endpoints logged in %d times", got-before)
	}
	s.deploy(verify + `refresh = "host"`)
	s.must(0, "apply", "-auto-approve", "-refresh=false")
	if got := s.connections(); got != before {
		t.Errorf("another refresh deployed something: %d connections", got-before)
	}
	s.wantSaid(2, s.nginx.FullchainPath+" holds another certificate", "plan", "-detailed-exitcode")
	if got := s.connections(); got != before+4 { // the refresh, and the plan that will deploy
		t.Errorf("%d connections to two hosts, want 4", got-before)
	}
	s.gate.Shut()
	s.wantSaid(2, "What was known stays in state", "plan", "-detailed-exitcode")
	s.gate.Open()
	s.must(0, "apply", "-auto-approve")

	s.deploy(verify + `refresh = "none"`)
	s.must(0, "apply", "-auto-approve")
	s.nginx.WritePair(t, other.Chain, other.Key)
	s.nginx.Stop(t)
	before = s.connections()
	said := plain(s.must(0, "plan", "-detailed-exitcode"))
	if got := s.connections(); got != before || strings.Contains(said, "Warning") {
		t.Errorf("without a refresh there are %d connections and:\n%s", got-before, said)
	}
	s.deploy(verify)
	s.must(0, "apply", "-auto-approve", "-refresh=false")
	s.wantSaid(0, "The server could not be asked what it serves", "plan", "-detailed-exitcode")
}

// otherMember is the address of a server with another certificate.
func otherMember(t *testing.T) string {
	t.Helper()
	other := issue(t)
	return serveTLS(t, other.Chain, other.Key)
}

// Every address has to serve the certificate: the error names the one that does
// not. Of a fleet that is found out after the last host.
func TestAccVerify_everyAddress(t *testing.T) {
	t.Parallel()
	other := otherMember(t)
	s := newSite(t, 2)
	addresses := func(list ...string) string {
		return fmt.Sprintf("verify = { addresses = [\"%s\"], server_name = \"www.example.test\", timeout = \"2s\" }", strings.Join(list, `", "`))
	}
	s.deploy(addresses(s.nginx.Address, other))
	s.wantSaid(1, "prove what "+other+" serves", "apply", "-auto-approve")
	if state := s.must(0, "state", "show", web); strings.Count(state, `"done"`) != 2 {
		t.Errorf("the hosts are not done:\n%s", state)
	}
	s.wantSaid(2, "at "+other, "plan", "-detailed-exitcode")
	s.deploy(addresses(s.nginx.Address))
	s.must(0, "apply", "-auto-approve")
	s.must(0, "plan", "-detailed-exitcode")
	_, port, err := net.SplitHostPort(s.nginx.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.deploy(fmt.Sprintf(`verify = { address = "127.0.0.1:%s", all_addresses = true, server_name = "www.example.test" }`, port))
	s.must(0, "apply", "-auto-approve")
	s.must(0, "plan", "-detailed-exitcode")
}

// A command proves what no handshake can.
func TestAccVerify_command(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	w := newWorld(t, lab.Options{})
	config := func(command string) string {
		return wwwOnly + fmt.Sprintf(`
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  files  = { fullchain_path = "%[1]s/full.pem", private_key_path = "%[1]s/key.pem" }
  verify = { command = ["%[2]s", "-e", "%[1]s/full.pem"], timeout = "1s" }
}`, folder, command)
	}
	w.test(t,
		resource.TestStep{Config: config("/bin/false"), ExpectError: anywhere("prove by a command: /bin/false")},
		resource.TestStep{ // the default address is that of the protocol
			Config:      strings.ReplaceAll(config(""), fmt.Sprintf(`command = ["", "-e", "%s/full.pem"]`, folder), `starttls = "lmtp"`),
			ExpectError: anywhere("prove what 127.0.0.1:24 serves"),
		},
		resource.TestStep{Config: config("test"), Check: resource.TestCheckResourceAttr(web, "proven_by", "command")},
		resource.TestStep{Config: config("test"), PlanOnly: true},
	)
}

// On destroy a host gets back what it had before the first deployment, over SSH.
func TestAccDestroy_restoresOverSSH(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	before, files := served(t, s.nginx.Address), read(t, s.nginx)
	s.deploy(`on_destroy = "restore"` + "\n  keep_backups = 0")
	s.must(0, "apply", "-auto-approve")
	first := served(t, s.nginx.Address)
	f := &fleet{cli: s.cli}
	f.renew()
	s.must(0, "apply", "-auto-approve")
	second := served(t, s.nginx.Address)
	if first == before || second == first {
		t.Fatalf("it served %s, %s, %s; want three certificates", before, first, second)
	}
	s.gate.Shut()
	s.wantSaid(1, "apply with on_destroy = \"keep\" first", "destroy", "-auto-approve", "-target="+web)
	if got := served(t, s.nginx.Address); got != second {
		t.Errorf("after a destroy that failed it serves %s, want %s", got, second)
	}
	s.gate.Open()
	s.must(0, "destroy", "-auto-approve", "-target="+web)
	if got := served(t, s.nginx.Address); got != before {
		t.Errorf("it serves %s, want %s from before", got, before)
	}
	if got := read(t, s.nginx); string(got[0]) != string(files[0]) || string(got[1]) != string(files[1]) {
		t.Error("the files are not what they were")
	}
	if left, err := os.ReadDir(filepath.Dir(s.nginx.FullchainPath)); err != nil || len(left) != 2 {
		t.Errorf("beside the files there is %v (%v)", left, err)
	}
}

// Files that the server's configuration still names are not removed.
func TestAccDestroy_removes(t *testing.T) {
	t.Parallel()
	n := startNginx(t)
	c := newCLI(t, lab.Options{}, strings.Replace(nginxConfig(n), "  verify = {", "  on_destroy = \"remove\"\n  verify = {", 1))
	c.must(0, "apply", "-auto-approve")
	deployed := served(t, n.Address)
	c.wantSaid(1, "cannot load certificate", "destroy", "-auto-approve", "-target="+web)
	if got := served(t, n.Address); got != deployed {
		t.Errorf("it serves %s, want %s", got, deployed)
	}
	other := issue(t)
	moved := *n
	moved.FullchainPath, moved.PrivateKeyPath = filepath.Join(n.Prefix, "other.pem"), filepath.Join(n.Prefix, "other.key")
	moved.WritePair(t, other.Chain, other.Key)
	moved.WriteConfig(t, "")
	c.must(0, "destroy", "-auto-approve", "-target="+web)
	for _, path := range []string{n.FullchainPath, n.PrivateKeyPath} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestAccVerify_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	leaf := issue(t)
	folder := t.TempDir()
	chain, keyFile := filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem")
	(&deploytest.Nginx{FullchainPath: chain, PrivateKeyPath: keyFile}).WritePair(t, leaf.Chain, leaf.Key)
	w := newWorld(t, lab.Options{})
	const panel = `bt_panel = { url = "http://127.0.0.1:1", site = "x", api_key_wo = "x" }`
	const winrm = `hosts = { win = { winrm = { address = "127.0.0.1", user = "x", password_wo = "x" } } }`
	const ssh = `hosts = { web = { ssh = { address = "127.0.0.1", user = "x", host_key = "SHA256:AAAA", password_wo = "x" } } }`
	files := fmt.Sprintf(`files = { fullchain_path = "%[1]s/out.pem", private_key_path = "%[1]s/out.key" }`, folder)
	for sentence, test := range map[string]struct {
		lines []string
		want  string
	}{
		"a protocol that is not spoken":   {[]string{files, `verify = { address = "127.0.0.1:1", starttls = "gopher" }`}, "verify.starttls"},
		"an address and addresses":        {[]string{files, `verify = { address = "127.0.0.1:1", addresses = ["127.0.0.1:2"] }`}, "verify.address"},
		"an address without a port":       {[]string{files, `verify = { addresses = ["nowhere"] }`}, "Not an address"},
		"a command and handshakes":        {[]string{files, `verify = { command = ["true"], address = "127.0.0.1:1" }`}, "verify.command"},
		"handshakes from a host by WinRM": {[]string{files, winrm, `verify = { from = "host" }`}, "no connection can be made from there"},
		"shared addresses from the hosts": {[]string{
			files, `verify = { from = "host", addresses = ["127.0.0.1:1"] }`,
			`hosts = { one = { local = {} }, two = { local = {} } }`,
		}, "addresses that several hosts share"},
		"a refresh by a password":        {[]string{files, ssh, `refresh = "host"`}, "password_wo is there in an apply alone"},
		"an undoing by a password":       {[]string{files, ssh, `on_destroy = "restore"`}, "on_destroy has to log in without it"},
		"an undoing of a service":        {[]string{panel, `on_destroy = "restore"`}, "keeps the certificate itself"},
		"an undoing that does not exist": {[]string{files, `on_destroy = "explode"`}, "on_destroy"},
		"a removal without a test":       {[]string{strings.Replace(files, " }", `, reload_command = ["true"] }`, 1), `on_destroy = "remove"`}, "has no test of its configuration"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			config := fmt.Sprintf("resource \"certificate_deployment\" \"web\" {\ncertificate_pem = file(%q)\nprivate_key_pem_wo = file(%q)\n%s\n}", chain, keyFile, strings.Join(test.lines, "\n"))
			here := &world{Lab: w.Lab, environment: w.environment}
			here.test(t, resource.TestStep{Config: config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}
