package provider_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// validated is the configuration of a renewal with a way of validation.
func validated(validation string, domains ...string) string {
	return fmt.Sprintf("provider \"certificate\" {\n  validation = {\n    %s\n  }\n}\n%s", validation, renewalOf(domains...))
}

func renewalOf(domains ...string) string {
	return fmt.Sprintf("resource \"certificate_renewal\" \"www\" { domains = [%s] }\n", `"`+strings.Join(domains, `", "`)+`"`)
}

// newWebroot is a folder whose files a web server shows at an address.
func newWebroot(t *testing.T, address string) string {
	t.Helper()
	root := t.TempDir()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(root))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return root
}

// quiet reports whether nobody listens at an address.
func quiet(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// coversExactly checks what the certificate in state is for.
func coversExactly(want ...string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		chain, err := pki.ParseCertificates([]byte(s.RootModule().Resources[www].Primary.Attributes["certificate_pem"]))
		if err != nil {
			return err
		}
		if got := pki.NameSet(pki.Names(chain[0])); !slices.Equal(got, pki.NameSet(want)) {
			return fmt.Errorf("the certificate is for %q, want %q", got, want)
		}
		return nil
	}
}

// Names and addresses are validated without DNS; a plan binds nothing, and after
// the apply nothing listens and nothing is left.
func TestAccValidation_withoutDNS(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		validation func(t *testing.T, w *world) (block, root string)
	}{
		"http_01 that listens": {func(_ *testing.T, w *world) (string, string) {
			return fmt.Sprintf("http_01 = { listen = %q }", w.HTTPAddress()), ""
		}},
		"http_01 with a webroot": {func(t *testing.T, w *world) (string, string) {
			root := newWebroot(t, w.HTTPAddress())
			return fmt.Sprintf("http_01 = { webroot = %q }", root), root
		}},
		"tls_alpn_01": {func(_ *testing.T, w *world) (string, string) {
			return fmt.Sprintf("tls_alpn_01 = { listen = %q }", w.TLSAddress()), ""
		}},
		"http_01 of the environment": {func(_ *testing.T, w *world) (string, string) {
			w.environment["CERTIFICATE_HTTP_01_LISTEN"] = w.HTTPAddress()
			return "http_01 = {}", ""
		}},
		"a webroot of the environment": {func(t *testing.T, w *world) (string, string) {
			root := newWebroot(t, w.HTTPAddress())
			w.environment["CERTIFICATE_HTTP_01_WEBROOT"] = root
			return "http_01 = {}", root
		}},
		"tls_alpn_01 of the environment alone": {func(_ *testing.T, w *world) (string, string) {
			delete(w.environment, "CERTIFICATE_RESPONDER_URL")
			w.environment["CERTIFICATE_TLS_ALPN_01_LISTEN"] = w.TLSAddress()
			return "", ""
		}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			block, root := test.validation(t, w)
			names := []string{"www.example.test", "shop.example.test", "127.0.0.1"}
			config := validated(block, names...)
			w.test(t,
				resource.TestStep{Config: config, PlanOnly: true, ExpectNonEmptyPlan: true},
				resource.TestStep{Config: config, Check: coversExactly(names...)},
				resource.TestStep{Config: config, PlanOnly: true},
			)
			if root == "" && (!quiet(w.HTTPAddress()) || !quiet(w.TLSAddress())) {
				t.Error("somebody still listens")
			}
			if root != "" {
				if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
					t.Errorf("left in the webroot: %v, %v", left, err)
				}
			}
			if got := w.CA.Issued(); got != 1 {
				t.Errorf("the CA issued %d certificates, want 1", got)
			}
		})
	}
}

// Several resources share what listens, for a name that is in two certificates
// too.
func TestAccValidation_manyResourcesShareOneListener(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http_01", "tls_alpn_01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			address := map[string]string{"http_01": w.HTTPAddress(), "tls_alpn_01": w.TLSAddress()}[kind]
			w.test(t, resource.TestStep{Config: fmt.Sprintf(`
provider "certificate" {
  validation = { %s = { listen = %q } }
}
resource "certificate_renewal" "www" {
  count   = 5
  domains = ["n${count.index}.example.test", "shared.example.test"]
}`, kind, address)})
			if got := w.CA.Issued(); got != 5 {
				t.Errorf("the CA issued %d certificates, want 5", got)
			}
			if !quiet(address) {
				t.Error("somebody still listens")
			}
		})
	}
}

// An address is the same certificate however it is written.
func TestAccRenewal_addressesAreNormalized(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	block := fmt.Sprintf("http_01 = { listen = %q }", w.HTTPAddress())
	w.test(t,
		resource.TestStep{
			Config: validated(block, "::FFFF:127.0.0.1", "www.example.test"),
			Check:  coversExactly("127.0.0.1", "www.example.test"),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
			},
		},
		resource.TestStep{
			Config: validated(block, "127.0.0.1", "www.example.test"),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
			},
		},
	)
}

// What cannot be validated, and what cannot be used, is refused before anything
// is ordered or listens, with the attribute named.
func TestAccValidation_refusesInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.NewRequest(key, []string{"192.0.2.1"}, pki.Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct {
		config string
		want   []string
	}{
		"two kinds": {
			validated("responder = { url = \"https://auth.example.net\", token = \"x\" }\n http_01 = { listen = \":80\" }", "www.example.test"),
			[]string{"Only one may be configured", "validation has http_01 and responder. Keep one of them."},
		},
		"two more": {
			validated("http_01 = { listen = \":80\" }\n tls_alpn_01 = {}", "www.example.test"),
			[]string{"validation has http_01 and tls_alpn_01. Keep one of them."},
		},
		"neither address nor folder": {validated("http_01 = {}", "www.example.test"), []string{"set exactly one of listen and webroot", "CERTIFICATE_HTTP_01_LISTEN"}},
		"both":                       {validated(`http_01 = { listen = ":80", webroot = "/var/www/html" }`, "www.example.test"), []string{"set exactly one of listen and webroot", "port 80 is its own"}},
		"no address":                 {validated(`http_01 = { listen = "80" }`, "www.example.test"), []string{`"80" is no address to listen at`}},
		"no port":                    {validated(`tls_alpn_01 = { listen = ":https" }`, "www.example.test"), []string{`has the port "https"`}},
		"the port zero":              {validated(`tls_alpn_01 = { listen = ":0" }`, "www.example.test"), []string{`has the port "0"`}},
		"a name":                     {validated(`tls_alpn_01 = { listen = "localhost:443" }`, "www.example.test"), []string{`has the host "localhost"`}},
		"an address with DNS":        {renewalOf("www.example.test", "192.0.2.1"), []string{"The name cannot be validated", "192.0.2.1 is an IP address", "validation.http_01", "domains = ["}},
		"an IPv6 address with DNS":   {renewalOf("2001:DB8::1"), []string{"2001:db8::1 is an IP address"}},
		"an address in a request": {
			fmt.Sprintf("resource \"certificate_renewal\" \"www\" {\n csr_pem = <<EOT\n%sEOT\n}", pemBlock("CERTIFICATE REQUEST", der)),
			[]string{"192.0.2.1 is an IP address", "csr_pem = <<EOT"},
		},
		"a wildcard with http_01":     {validated(`http_01 = { listen = ":80" }`, "*.example.test"), []string{"*.example.test is a wildcard, which http-01 cannot validate", "validation.responder", "domains = ["}},
		"a wildcard with tls_alpn_01": {validated(`tls_alpn_01 = {}`, "example.test", "*.example.test"), []string{"*.example.test is a wildcard, which tls-alpn-01 cannot validate"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			for _, want := range test.want {
				w.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(want)})
			}
		})
	}
	t.Run("two kinds in the environment", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, lab.Options{})
		w.environment["CERTIFICATE_HTTP_01_LISTEN"] = ":80"
		w.test(t, resource.TestStep{Config: wwwOnly, PlanOnly: true, ExpectError: anywhere("CERTIFICATE_RESPONDER_URL and CERTIFICATE_HTTP_01_LISTEN")})
	})
	t.Cleanup(func() {
		if requests, _ := w.CA.Requests(); requests != 0 {
			t.Errorf("bad input caused %d requests to the CA, want none", requests)
		}
	})
}

// A validation that is only known at apply is looked at then, before anything is
// ordered.
func TestAccValidation_unknownInThePlanIsRefusedInTheApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	config := fmt.Sprintf(`
resource "terraform_data" "address" { input = %q }
provider "certificate" {
  validation = { http_01 = { listen = terraform_data.address.output } }
}
`, w.HTTPAddress())
	w.test(t,
		resource.TestStep{Config: config + renewalOf("*.example.test"), PlanOnly: true, ExpectNonEmptyPlan: true},
		resource.TestStep{Config: config + renewalOf("*.example.test"), ExpectError: anywhere("*.example.test is a wildcard, which http-01 cannot validate")},
		resource.TestStep{Config: config + renewalOf("www.example.test")},
	)
	if orders, issued := w.CA.Placed(), w.CA.Issued(); orders != 1 || issued != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", orders, issued)
	}
}

// A busy port is named with what to do, and costs nothing but another apply.
func TestAccValidation_busyPort(t *testing.T) {
	t.Parallel()
	for kind, says := range map[string]string{"http_01": "validation.http_01.webroot", "tls_alpn_01": "acme-tls/1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			address := map[string]string{"http_01": w.HTTPAddress(), "tls_alpn_01": w.TLSAddress()}[kind]
			config := validated(fmt.Sprintf("%s = { listen = %q }", kind, address), "www.example.test")
			busy, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			w.test(t,
				resource.TestStep{Config: config, ExpectError: anywhere("listen on " + address + " for the CA's")},
				resource.TestStep{Config: config, ExpectError: anywhere(says)},
				resource.TestStep{PreConfig: func() { _ = busy.Close() }, Config: config},
			)
			if orders, issued := w.CA.Placed(), w.CA.Issued(); orders != 1 || issued != 1 {
				t.Errorf("%d orders and %d certificates, want 1 and 1", orders, issued)
			}
		})
	}
}
