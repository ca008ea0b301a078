package provider_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// paidConfig buys the renewal of the certificate that the lab's account has.
const paidConfig = `
variable "dv_certificate_id" { type = string }
provider "certificate" {
  issuers = { tencent = { tencentcloud = {} } }
}
resource "certificate_renewal" "www" {
  domains      = ["www.dv.test"]
  wait_timeout = "2s"
  purchase = {
    product                 = "dnspod-dv"
    accept_charges          = true
    original_certificate_id = var.dv_certificate_id
  }
}
output "status" { value = certificate_renewal.www.status }
`

// newBuyer is terraform in a lab with the commercial CA. At the end the secret
// key is looked for too.
func newBuyer(t *testing.T, config string) *cli {
	t.Helper()
	c := newCLI(t, lab.Options{CommercialCA: true}, config)
	c.extra = []string{"CERTIFICATE_CLOCK_OFFSET=@" + c.Directory + "/clock"}
	return c
}

// status is where the certificate stands.
func (c *cli) status(want string) {
	c.t.Helper()
	if got := c.must(0, "output", "-raw", "status"); got != want {
		c.t.Errorf("status %q, want %q", got, want)
	}
}

// killed has the provider die when the CA has carried an action out, before the
// answer arrives.
func (c *cli) killed(action string) {
	c.t.Helper()
	var died atomic.Bool
	c.Commercial.Break(tencentsim.Fault{Action: action, Times: 1, Answer: func(w http.ResponseWriter) {
		died.Store(true)
		c.kill()
		tencentsim.Drop(w)
	}})
	if output, status := c.run("apply", "-auto-approve"); status == 0 || !died.Load() {
		c.t.Fatalf("the provider was not killed at %s:\n%s", action, output)
	}
}

// finish leads the order to its end and checks what was charged.
func (c *cli) finish() {
	c.t.Helper()
	c.must(0, "apply", "-auto-approve")
	c.status("issuing")
	c.must(0, "plan", "-detailed-exitcode")
	if err := lab.Later(c.t.Context(), c.ControlURL, "1h"); err != nil {
		c.t.Fatal(err)
	}
	c.must(0, "apply", "-auto-approve")
	c.status("issued")
	c.must(0, "plan", "-detailed-exitcode")
	if ledger := c.Commercial.Ledger(); len(ledger) != 1 {
		c.t.Errorf("charged %d times, want once: %+v", len(ledger), ledger)
	}
}

// Whichever request the provider is killed at, the next apply goes on with the
// one order.
func TestCrash_atAnyRequestOfAPurchase(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"DescribeCertificates", "DescribePackages", "CreateCertificateByPackage", "DescribeCertificateDetail", "CompleteCertificate"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			c := newBuyer(t, paidConfig)
			c.killed(action)
			c.finish()
		})
	}
}

// The same when the certificate is fetched, and where the first order comes from
// the balance and is told for whom it is.
func TestCrash_whenThePaidCertificateIsFetched(t *testing.T) {
	t.Parallel()
	c := newBuyer(t, paidConfig)
	c.must(0, "apply", "-auto-approve")
	if err := lab.Later(t.Context(), c.ControlURL, "1h"); err != nil {
		t.Fatal(err)
	}
	c.killed("DescribeCertificateDetail")
	c.must(0, "apply", "-auto-approve")
	c.status("issued")
	c.must(0, "plan", "-detailed-exitcode")
	if ledger := c.Commercial.Ledger(); len(ledger) != 1 {
		t.Errorf("charged %d times, want once", len(ledger))
	}
}

func TestCrash_atAnyRequestOfAnOrderFromTheBalance(t *testing.T) {
	t.Parallel()
	config := strings.NewReplacer("original_certificate_id = var.dv_certificate_id", `source = "balance"
    contact = { contact_email = "ops@dv.test" }`).Replace(paidConfig)
	for _, action := range []string{"CreateCertificate", "CertificateInfoSubmit", "CertificateOrderSubmit"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			c := newBuyer(t, config)
			c.killed(action)
			c.finish()
		})
	}
}

// From the second day of the window on each plan tells of a paid renewal that is
// not finished.
func TestReminder_ofAPaidRenewal(t *testing.T) {
	t.Parallel()
	c := newBuyer(t, paidConfig)
	later := func(by string) {
		t.Helper()
		if err := lab.Later(t.Context(), c.ControlURL, by); err != nil {
			t.Fatal(err)
		}
	}
	const reminder = "A renewal is still open"
	c.must(0, "apply", "-auto-approve")
	later("1h")
	c.must(0, "apply", "-auto-approve")
	later("4081h") // 170 of 200 days
	c.must(0, "apply", "-auto-approve")
	c.status("issuing")
	if output := c.must(0, "plan", "-detailed-exitcode"); strings.Contains(output, reminder) {
		t.Errorf("reminded on the first day\n%s", output)
	}
	c.Commercial.Break(tencentsim.Fault{Action: "DescribeCertificateDetail", Before: true, Answer: tencentsim.BadGateway})
	later("72h")
	if output := c.must(0, "plan", "-detailed-exitcode"); !strings.Contains(output, reminder) || !strings.Contains(output, "the CA did not say") && !strings.Contains(output, "The CA did not say") {
		t.Errorf("no reminder on the third day\n%s", output)
	}
}

// Two machines want the same renewal at once: it is paid for once.
func TestTwoMachines_payOnce(t *testing.T) {
	t.Parallel()
	here := newBuyer(t, paidConfig)
	there := &cli{Lab: here.Lab, t: t, folder: t.TempDir(), extra: here.extra}
	there.write(paidConfig)
	there.must(0, "init")
	done := make(chan string, 1)
	go func() {
		output, err := there.command("apply", "-auto-approve").CombinedOutput()
		if err == nil {
			output = nil
		}
		done <- string(output)
	}()
	here.must(0, "apply", "-auto-approve")
	if output := <-done; output != "" {
		t.Errorf("the other machine failed:\n%s", output)
	}
	if ledger := here.Commercial.Ledger(); len(ledger) != 1 {
		t.Errorf("charged %d times, want once", len(ledger))
	}
	there.scan()
}
