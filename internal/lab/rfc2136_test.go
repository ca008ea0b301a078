package lab

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/providers/dns/rfc2136"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// updatable is a responder that takes dynamic updates of TXT below www.test.
func updatable(t *testing.T) (server *dnsserver.Server, secret string) {
	t.Helper()
	secret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 64)))
	server, err := dnsserver.New(dnsserver.Config{
		Zones: []dnsserver.Zone{{Name: Zone, NameServers: []string{"ns1." + Zone}, Records: "ns1 A 127.0.0.1\n* A 127.0.0.1\n"}},
		Keys:  []dnsserver.TSIGKey{{Name: "acme", Algorithm: "hmac-sha512", Secret: tsig.NewSecret(secret), Updates: []string{"_acme-challenge.www." + Zone}}},
	}, dnsserver.NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(server.Shutdown); err != nil {
			t.Error(err)
		}
	})
	return server, secret
}

// values are those at the name that is to be proven.
func values(t *testing.T, server *dnsserver.Server) []string {
	t.Helper()
	all, err := server.TXT("_acme-challenge.www." + Zone)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// certbot proves the name by its rfc2136 plugin; its SOA question is signed.
func TestUpdates_certbot(t *testing.T) {
	certbot, err := exec.LookPath("certbot")
	if err != nil {
		t.Skip("certbot is not installed: apt-get install -y --no-install-recommends certbot python3-certbot-dns-rfc2136")
	}
	server, secret := updatable(t)
	l := startLab(t, Options{Resolver: server.Addr().String()})
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	credentials := write("credentials.ini", fmt.Sprintf(
		"dns_rfc2136_server = 127.0.0.1\ndns_rfc2136_port = %d\ndns_rfc2136_name = acme\ndns_rfc2136_secret = %s\ndns_rfc2136_algorithm = HMAC-SHA512\ndns_rfc2136_sign_query = true\n",
		server.Addr().Port(), secret))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, certbot, "certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email",
		"--config-dir", filepath.Join(folder, "config"), "--work-dir", filepath.Join(folder, "work"), "--logs-dir", filepath.Join(folder, "logs"),
		"--server", l.DirectoryURL, "--preferred-challenges", "dns", "--authenticator", "dns-rfc2136",
		"--dns-rfc2136-credentials", credentials, "--dns-rfc2136-propagation-seconds", "0", "-d", "www."+Zone)
	command.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+write("ca.pem", string(l.CABundle)))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("certbot: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(folder, "config", "live", "www."+Zone, "fullchain.pem")); err != nil {
		t.Error(err)
	}
	if left := values(t, server); len(left) > 0 {
		t.Errorf("certbot left %q behind", left)
	}
}

func TestUpdates_lego(t *testing.T) {
	server, secret := updatable(t)
	config := rfc2136.NewDefaultConfig()
	config.Nameserver, config.TSIGAlgorithm, config.TSIGKey, config.TSIGSecret = server.Addr().String(), "hmac-sha512.", "acme.", secret
	provider, err := rfc2136.NewDNSProviderConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dns01.ClearFqdnCache()
	if err := dns01.AddRecursiveNameservers([]string{server.Addr().String()})(nil); err != nil {
		t.Fatal(err)
	}
	if err := provider.Present("www."+Zone, "token", "token.thumbprint"); err != nil {
		t.Fatal(err)
	}
	want := dns01.GetChallengeInfo("www."+Zone, "token.thumbprint").Value
	if got := values(t, server); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := provider.CleanUp("www."+Zone, "token", "token.thumbprint"); err != nil {
		t.Fatal(err)
	}
	if left := values(t, server); len(left) > 0 {
		t.Errorf("lego left %q behind", left)
	}
	if err := provider.Present("other."+Zone, "token", "token.thumbprint"); err == nil || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("another name: %v, want REFUSED", err)
	}
}
