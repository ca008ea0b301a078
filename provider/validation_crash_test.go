package provider_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// listenConfigs validate at the lab's ports, which Terraform learns as
// variables.
func listenConfigs() map[string]string {
	return map[string]string{
		"http_01": `
variable "http_01_listen" { type = string }
provider "certificate" {
  validation = { http_01 = { listen = var.http_01_listen } }
}
` + crashConfig,
		"tls_alpn_01": `
variable "tls_alpn_01_listen" { type = string }
provider "certificate" {
  validation = { tls_alpn_01 = { listen = var.tls_alpn_01_listen } }
}
` + crashConfig,
	}
}

func (c *cli) wantQuiet() {
	c.t.Helper()
	if !quiet(c.HTTPAddress()) || !quiet(c.TLSAddress()) {
		c.t.Error("somebody still listens")
	}
}

// What answers the CA dies with a killed run; the next one answers for the same
// order.
func TestCrash_whileListeningTheNextApplyFinishes(t *testing.T) {
	t.Parallel()
	for validation, config := range listenConfigs() {
		for _, kind := range []string{"authZ", "chalZ", "my-order", "finalize-order"} {
			t.Run(validation+" "+kind, func(t *testing.T) {
				t.Parallel()
				tr := &trap{kind: kind}
				c := newCLI(t, lab.Options{Intercept: tr.intercept}, config)
				tr.trigger = c.kill
				tr.armed.Store(true)
				if output, status := c.run("apply", "-auto-approve"); status == 0 || tr.armed.Load() {
					t.Fatalf("the provider was not killed:\n%s", output)
				}
				c.wantQuiet()
				c.must(0, "apply", "-auto-approve")
				if got := c.CA.Issued(); got != 1 {
					t.Errorf("the CA issued %d certificates, want 1", got)
				}
				c.wantQuiet()
				c.must(0, "plan", "-detailed-exitcode")
			})
		}
	}
}

// Ctrl-C while the CA is waited for: back within two seconds, nothing listens,
// and the next apply finishes the order.
func TestInterrupt_whileListening(t *testing.T) {
	t.Parallel()
	for validation, config := range listenConfigs() {
		for _, kind := range []string{"chalZ", "my-order"} {
			t.Run(validation+" "+kind, func(t *testing.T) {
				t.Parallel()
				reached := make(chan struct{})
				c := newCLI(t, lab.Options{Intercept: hold(kind, reached)}, config)
				command := c.command("apply", "-auto-approve")
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- command.Wait() }()
				select {
				case <-reached:
				case err := <-done:
					t.Fatalf("terraform ended before the request: %v", err)
				case <-time.After(30 * time.Second):
					t.Fatal("the request did not come")
				}
				if quiet(c.HTTPAddress()) && quiet(c.TLSAddress()) {
					t.Error("nobody listens while the CA may look")
				}
				c.interrupt(t, command, done)
				c.wantQuiet()
				c.must(0, "apply", "-auto-approve")
				if got := c.CA.Issued(); got != 1 {
					t.Errorf("the CA issued %d certificates, want 1", got)
				}
			})
		}
	}
}

// An order that takes longer than an apply waits is recorded with what the CA
// looks for. The next apply, another process, answers for it again.
func TestValidation_anOrderThatTakesLongIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	for validation, config := range listenConfigs() {
		t.Run(validation, func(t *testing.T) {
			t.Parallel()
			var busy atomic.Bool
			busy.Store(true)
			c := newCLI(t, lab.Options{Intercept: func(ca http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if busy.Load() && strings.HasPrefix(r.URL.Path, "/chalZ/") {
						notYet(ca, w, r)
						return
					}
					ca.ServeHTTP(w, r)
				})
			}}, strings.Replace(config, `{ domains = ["www.example.test"] }`, "{\n  domains      = [\"www.example.test\"]\n  wait_timeout = \"2s\"\n}", 1)+
				"output \"type\" { value = certificate_renewal.www.validation_records[*].type }\n")
			c.must(0, "apply", "-auto-approve")
			if got, want := c.must(0, "output", "-json", "type"), strings.ReplaceAll(validation, "_", "-"); !strings.Contains(got, want) {
				t.Errorf("records of the type %s, want %s", got, want)
			}
			c.wantQuiet()
			busy.Store(false)
			c.must(0, "apply", "-auto-approve")
			if orders, issued := c.CA.Placed(), c.CA.Issued(); orders != 1 || issued != 1 {
				t.Errorf("%d orders and %d certificates, want 1 and 1", orders, issued)
			}
		})
	}
}

// Two configurations of the provider are two processes, which want the same port
// in one apply: they take turns.
func TestValidation_twoConfigurationsTakeTurns(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, `
variable "http_01_listen" { type = string }
provider "certificate" {
  validation = { http_01 = { listen = var.http_01_listen } }
}
provider "certificate" {
  alias      = "other"
  validation = { http_01 = { listen = var.http_01_listen } }
}
resource "certificate_renewal" "one" {
  count   = 3
  domains = ["one${count.index}.example.test"]
}
resource "certificate_renewal" "other" {
  count    = 3
  provider = certificate.other
  domains  = ["other${count.index}.example.test"]
}
`)
	c.must(0, "apply", "-auto-approve")
	if got := c.CA.Issued(); got != 6 {
		t.Errorf("the CA issued %d certificates, want 6", got)
	}
	c.wantQuiet()
}

// notYet answers for a CA that takes a challenge and does not come to look.
func notYet(ca http.Handler, w http.ResponseWriter, r *http.Request) {
	nonce := httptest.NewRecorder()
	request := r.Clone(r.Context())
	request.Method, request.URL.Path, request.Body = http.MethodHead, "/nonce-plz", http.NoBody
	ca.ServeHTTP(nonce, request)
	maps.Copy(w.Header(), nonce.Header())
	_, _ = w.Write([]byte(`{"status":"pending"}`))
}
