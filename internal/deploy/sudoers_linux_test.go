package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// guideSudoers is the sudoers of a target's page, without the user.
func guideSudoers(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../templates/guides", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rule, _ := strings.Cut(string(text), "```\ndeploy ")
	rule, _, ok := strings.Cut(rule, "\n```")
	if !ok {
		t.Fatalf("%s has no sudoers", page)
	}
	return rule
}

// sudoHost is a host on which a user may do what a rule says.
func sudoHost(t *testing.T, rule string) transport.Transport {
	t.Helper()
	user := transporttest.AddUser(t, rule)
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	options := transport.SSHOptions{Hop: hopTo(s), Become: &transport.Become{}}
	options.User, options.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	return overSSH(t, options)
}

// The sudoers of the page is enough for all that a deployment does: paths found,
// a new pair, the way back, and a server that has to be started.
func TestNginx_sudoersOfTheGuideIsEnough(t *testing.T) {
	f := newFixture(t)
	f.WriteConfig(t, "server_name "+name+";")
	rule := strings.NewReplacer(
		"/etc/nginx/tls", f.tls(), "/run/nginx.pid", filepath.Join(f.Prefix, "nginx.pid"),
		`/usr/sbin/nginx ""`, "/usr/sbin/nginx -p "+f.Prefix+" -c "+f.Config, "/usr/sbin/nginx -", "/usr/sbin/nginx -p "+f.Prefix+" -c "+f.Config+" -",
	).Replace(guideSudoers(t, "target-nginx.md.tmpl"))
	f.machine.Transport = sudoHost(t, rule)
	target, err := NewNginx(NginxOptions{ConfigPath: f.Config, Prefix: f.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	f.job.Target = target
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.wantServed(t, f.fresh)
	if err := CheckPaths(t.Context(), f.machine, f.jobFor(t, f.options()).Target, ""); err != nil {
		t.Error(err)
	}
	f.WriteConfig(t, "no_such_directive on;")
	refused := f.jobFor(t, f.options())
	refused.Material = f.issue(t)
	_, err = Deploy(t.Context(), refused)
	_ = wantRollback(t, err, true)
	f.WriteConfig(t, "server_name "+name+";")
	f.Stop(t)
	f.job.Material = f.issue(t)
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.wantServed(t, f.job.Material)
	// And it is not enough for anything else.
	for _, argv := range [][]string{{"cat", "/etc/shadow"}, {"cat", f.tls() + "/../../x"}, {"mv", "-f", f.FullchainPath, f.tls() + "/.."}, {"nginx", "-c", "/tmp/x"}} {
		if out, err := f.machine.Run(t.Context(), argv, nil); err == nil && out.ExitCode == 0 {
			t.Errorf("sudo allows %q", argv)
		}
	}
}

func TestApache_sudoersOfTheGuideIsEnough(t *testing.T) {
	c := newConformance(t, members()["apache"], false)
	root := filepath.Dir(c.server.Config)
	rule := strings.NewReplacer(
		"/etc/apache2/tls", c.server.Files, "/run/apache2/apache2.pid", c.server.PIDFile, "/etc/apache2/", root+"/",
		"/usr/sbin/apachectl -", "/usr/sbin/apache2 -f "+c.server.Config+" -", "/usr/sbin/apachectl ^-f", "/usr/sbin/apache2 ^-f",
		"/usr/sbin/apachectl ^-", "/usr/sbin/apache2 ^-f "+c.server.Config+" -",
	).Replace(guideSudoers(t, "target-apache.md.tmpl"))
	c.machine.Transport = sudoHost(t, rule)
	for sentence, options := range map[string]ApacheOptions{
		"paths found":      {Binary: "apache2", ConfigPath: c.server.Config},
		"with a dry start": {Binary: "apache2", ConfigPath: c.server.Config, DryStart: true, FullchainPath: c.server.Path("fullchain.pem"), PrivateKeyPath: c.server.Path("key.pem")},
	} {
		var err error
		if c.job.Target, err = NewApache(options); err != nil {
			t.Fatal(err)
		}
		c.job.Material = c.issue(t)
		if _, err := Deploy(t.Context(), c.job); err != nil {
			t.Errorf("%s: %v", sentence, err)
			continue
		}
		c.wantServed(t, c.job.Material)
	}
}
