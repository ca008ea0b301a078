package provider_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const endpoint = "data.certificate_endpoint.web"

// alone is a world with nothing in it: no CA, no storage, no token.
func alone() *world { return &world{environment: map[string]string{}} }

// serveTLS serves a certificate on a port of its own.
func serveTLS(t *testing.T, chain []*x509.Certificate, key pki.Key) string {
	t.Helper()
	pair := tls.Certificate{PrivateKey: key.Signer()}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, func(c net.Conn) { _ = c.(*tls.Conn).Handshake() })
	return listener.Addr().String()
}

// serve answers every connection until the test ends.
func serve(t *testing.T, listener net.Listener, answer func(net.Conn)) {
	t.Helper()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				answer(connection)
			}()
		}
	}()
}

func endpointConfig(address, more string) string {
	return fmt.Sprintf("data \"certificate_endpoint\" \"web\" {\n  address = %q\n%s\n}", address, more)
}

func TestAccEndpoint_showsWhatAServerServes(t *testing.T) {
	t.Parallel()
	w := alone()
	ca := deploytest.NewAuthority(t, time.Now())
	chain, key := ca.Issue(t, time.Now(), []string{"www.example.test", "*.example.test"})
	config := endpointConfig(serveTLS(t, chain, key), fmt.Sprintf("server_name = \"www.example.test\"\nca_bundle_pem = %q", pki.EncodeCertificates(ca.Root)))
	shows := func(want map[string]string) resource.TestCheckFunc {
		var checks []resource.TestCheckFunc
		for name, value := range want {
			checks = append(checks, resource.TestCheckResourceAttr(endpoint, name, value))
		}
		return resource.ComposeAggregateTestCheckFunc(checks...)
	}
	w.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeAggregateTestCheckFunc(
			shows(map[string]string{
				"reachable": "true", "verified": "true", "protocol": "TLS 1.3", "days_left": "89",
				"names.0": "www.example.test", "names.1": "*.example.test", "ip_addresses.#": "0",
				"issuer": "CN=Test Intermediate", "subject": "CN=www.example.test", "key_algorithm": "ECDSA_P256",
				"serial_number": pki.Serial(chain[0]), "fingerprint_sha256": pki.Fingerprint(chain[0]),
				"not_before":      chain[0].NotBefore.UTC().Format(time.RFC3339),
				"not_after":       chain[0].NotAfter.UTC().Format(time.RFC3339),
				"certificate_pem": string(pki.EncodeCertificates(chain[0])),
				"chain_pem":       string(pki.EncodeCertificates(chain[1])),
				"fullchain_pem":   string(pki.EncodeCertificates(chain...)),
			}),
			resource.TestCheckNoResourceAttr(endpoint, "verification_error"),
			resource.TestCheckNoResourceAttr(endpoint, "unreachable_reason"),
		)},
		resource.TestStep{
			PreConfig: func() { w.advance(100 * 24 * time.Hour) }, Config: config,
			Check: shows(map[string]string{"reachable": "true", "verified": "false", "days_left": "-11"}),
		},
	)
}

func TestAccEndpoint_saysWhyAClientWouldNotTrustIt(t *testing.T) {
	t.Parallel()
	w, now := alone(), time.Now()
	ca := deploytest.NewAuthority(t, now)
	names := []string{"www.example.test"}
	chain, key := ca.Issue(t, now, names)
	old, oldKey := ca.Issue(t, now, names, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.AddDate(0, 0, -91), now.AddDate(0, 0, -1)
	})
	for sentence, test := range map[string]struct {
		chain       []*x509.Certificate
		key         pki.Key
		name, roots string
		verified    bool
		why         string
	}{
		"all is well":            {chain, key, "www.example.test", string(pki.EncodeCertificates(ca.Root)), true, ""},
		"nobody knows its root":  {chain, key, "www.example.test", "", false, "unknown authority"},
		"its chain is not whole": {chain[:1], key, "www.example.test", string(pki.EncodeCertificates(ca.Root)), false, "unknown authority"},
		"it is for another name": {chain, key, "api.example.test", string(pki.EncodeCertificates(ca.Root)), false, "valid for www.example.test, not api.example.test"},
		"it is not for the host": {chain, key, "", string(pki.EncodeCertificates(ca.Root)), false, "127.0.0.1"},
		"it has expired":         {old, oldKey, "www.example.test", string(pki.EncodeCertificates(ca.Root)), false, "expired"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			more := ""
			if test.name != "" {
				more += fmt.Sprintf("server_name = %q\n", test.name)
			}
			if test.roots != "" {
				more += fmt.Sprintf("ca_bundle_pem = %q\n", test.roots)
			}
			checks := []resource.TestCheckFunc{
				resource.TestCheckResourceAttr(endpoint, "verified", strconv.FormatBool(test.verified)),
				resource.TestCheckResourceAttr(endpoint, "fingerprint_sha256", pki.Fingerprint(test.chain[0])),
			}
			if test.why != "" {
				checks = append(checks, resource.TestMatchResourceAttr(endpoint, "verification_error", anywhere(test.why)))
			}
			w.test(t, resource.TestStep{Config: endpointConfig(serveTLS(t, test.chain, test.key), more), Check: resource.ComposeAggregateTestCheckFunc(checks...)})
		})
	}
}

// The roots of the system are those of the machine that the provider runs on.
func TestEndpoint_trustsTheRootsOfTheSystem(t *testing.T) {
	t.Parallel()
	ca := deploytest.NewAuthority(t, time.Now())
	chain, key := ca.Issue(t, time.Now(), []string{"www.example.test"})
	config := endpointConfig(serveTLS(t, chain, key), `server_name = "www.example.test"`) + "\noutput \"verified\" { value = data.certificate_endpoint.web.verified }"
	c := newCLI(t, lab.Options{}, config)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pki.EncodeCertificates(ca.Root), 0o600); err != nil {
		t.Fatal(err)
	}
	c.extra = []string{"SSL_CERT_FILE=" + roots, "SSL_CERT_DIR=" + t.TempDir()}
	c.must(0, "apply", "-auto-approve")
	if got := c.must(0, "output", "-raw", "verified"); got != "true" {
		t.Errorf("verified = %s, want true", got)
	}
}

func TestAccEndpoint_reportsAnUnreachableServer(t *testing.T) {
	t.Parallel()
	w := alone()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, plain, func(c net.Conn) { _, _ = fmt.Fprint(c, "220 mail.example.test ESMTP\r\n") })
	for sentence, test := range map[string]struct{ address, why string }{
		"nobody listens":         {nobody(t), "refused"},
		"it says nothing":        {silent.Addr().String(), "deadline exceeded"},
		"it speaks no TLS":       {plain.Addr().String(), "TLS handshake"},
		"its name does not work": {"nowhere.invalid:443", "nowhere.invalid"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			config := func(more string) string { return endpointConfig(test.address, "timeout = \"500ms\"\n"+more) }
			w.test(t,
				resource.TestStep{Config: config(""), ExpectError: anywhere("allow_unreachable = true")},
				resource.TestStep{Config: config("allow_unreachable = true"), Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestCheckResourceAttr(endpoint, "reachable", "false"),
					resource.TestMatchResourceAttr(endpoint, "unreachable_reason", anywhere(test.why)),
					resource.TestCheckNoResourceAttr(endpoint, "verified"),
					resource.TestCheckNoResourceAttr(endpoint, "not_after"),
					resource.TestCheckNoResourceAttr(endpoint, "names.#"),
				)},
			)
		})
	}
}

func TestAccEndpoint_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	good := nobody(t)
	for sentence, test := range map[string]struct{ config, want string }{
		"no port":                {endpointConfig("www.example.test", ""), `address: "www.example.test" is not host:port`},
		"a URL":                  {endpointConfig("https://www.example.test", ""), `address: "https://www.example.test"`},
		"no host":                {endpointConfig(":443", ""), `address: "" names no host`},
		"port 0":                 {endpointConfig("www.example.test:0", ""), `address: "www.example.test:0" has the port "0"`},
		"a port too high":        {endpointConfig("www.example.test:65536", ""), `has the port "65536"`},
		"a port by name":         {endpointConfig("www.example.test:https", ""), `has the port "https"`},
		"a path":                 {endpointConfig("www.example.test/x:443", ""), `contains '/'`},
		"a space in the name":    {endpointConfig(good, `server_name = "www example"`), `server_name: "www example" is no name of a host`},
		"an empty name":          {endpointConfig(good, `server_name = ""`), `server_name: "" names no host`},
		"a wildcard as the name": {endpointConfig(good, `server_name = "*.example.test"`), `server_name: "*.example.test"`},
		"no duration":            {endpointConfig(good, `timeout = "5"`), `timeout = "5"`},
		"no certificates":        {endpointConfig(good, `ca_bundle_pem = "x"`), `ca_bundle_pem: no certificate`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			alone().test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}
