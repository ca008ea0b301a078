package provider_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const crashConfig = `
resource "certificate_renewal" "www" { domains = ["www.example.test"] }
output "serial" { value = certificate_renewal.www.serial_number }
`

// trap calls a function once, when the CA has answered a request of a kind and
// before the client hears of it.
type trap struct {
	kind    string
	armed   atomic.Bool
	trigger func()
}

func (tr *trap) intercept(ca http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/"+tr.kind) || !tr.armed.Load() {
			ca.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		ca.ServeHTTP(recorder, r)
		if recorder.Code < 300 && tr.armed.CompareAndSwap(true, false) {
			tr.trigger()
		}
		// A rejected nonce, say: the request was not the one to wait for.
		maps.Copy(w.Header(), recorder.Header())
		w.WriteHeader(recorder.Code)
		_, _ = recorder.Body.WriteTo(w)
	})
}

func TestCrash_afterFinalizeTheNextApplyFindsTheCertificate(t *testing.T) {
	t.Parallel()
	tr := &trap{kind: "finalize-order"}
	c := newCLI(t, lab.Options{Intercept: tr.intercept}, crashConfig)
	tr.trigger = c.kill
	tr.armed.Store(true)
	if output, status := c.run("apply", "-auto-approve"); status == 0 {
		t.Fatalf("the apply survived kill -9:\n%s", output)
	}
	if tr.armed.Load() {
		t.Fatal("the provider was not killed")
	}
	c.must(0, "apply", "-auto-approve")
	if got := c.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want 1", got)
	}
	if got := c.CA.Placed(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
	c.must(0, "plan", "-detailed-exitcode")
	c.noRecords(t)
}

// After every kind of request a killed run is finished by the next one, with one
// certificate.
func TestCrash_afterAnyRequestTheNextApplyFinishes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sign-me-up", "order-plz", "authZ", "chalZ", "my-order", "certZ"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			tr := &trap{kind: kind}
			c := newCLI(t, lab.Options{Intercept: tr.intercept}, crashConfig)
			tr.trigger = c.kill
			tr.armed.Store(true)
			if output, status := c.run("apply", "-auto-approve"); status == 0 || tr.armed.Load() {
				t.Fatalf("the provider was not killed:\n%s", output)
			}
			c.must(0, "apply", "-auto-approve")
			if got := c.CA.Issued(); got != 1 {
				t.Errorf("the CA issued %d certificates, want 1", got)
			}
			c.noRecords(t)
		})
	}
}

// Two machines with one storage want the same certificate at the same time: one
// orders, the other takes the result over.
func TestTwoMachines_shareOneOrder(t *testing.T) {
	t.Parallel()
	here := newCLI(t, lab.Options{}, crashConfig)
	there := &cli{Lab: here.Lab, t: t, folder: t.TempDir()}
	there.write(crashConfig)
	there.must(0, "init")
	var both sync.WaitGroup
	for _, machine := range []*cli{here, there} {
		both.Go(func() {
			if output, err := machine.command("apply", "-auto-approve").CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
	both.Wait()
	if got, want := there.must(0, "output", "-raw", "serial"), here.must(0, "output", "-raw", "serial"); got != want {
		t.Errorf("the second machine has the certificate %s, the first %s", got, want)
	}
	if issued, orders := here.CA.Issued(), here.CA.Placed(); issued != 1 || orders != 1 {
		t.Errorf("%d certificates of %d orders, want 1 of 1", issued, orders)
	}
	there.scan()
}

// noRecords fails the test when a validation record is left in DNS.
func (c *cli) noRecords(t *testing.T) {
	t.Helper()
	values, err := c.Responder.TXT("_acme-challenge.www.example." + lab.Zone)
	if err != nil || len(values) != 0 {
		t.Errorf("left in DNS: %q (%v)", values, err)
	}
}

// hold keeps requests of a kind waiting until the client goes away.
func hold(kind string, reached chan<- struct{}) func(http.Handler) http.Handler {
	var holding atomic.Bool
	holding.Store(true)
	return func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/"+kind) && holding.CompareAndSwap(true, false) {
				close(reached)
				<-r.Context().Done()
				return
			}
			ca.ServeHTTP(w, r)
		})
	}
}

// Ctrl-C at any moment: back within two seconds, records withdrawn, no process
// left, and the next apply finishes the order.
func TestInterrupt_isQuickAndCleansUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"dir", "nonce-plz", "sign-me-up", "order-plz", "authZ", "chalZ", "my-order", "finalize-order", "certZ"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{})
			c := newCLI(t, lab.Options{Intercept: hold(kind, reached)}, crashConfig)
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
			c.interrupt(t, command, done)
			c.must(0, "apply", "-auto-approve")
			if got := c.CA.Issued(); got != 1 {
				t.Errorf("the CA issued %d certificates, want 1", got)
			}
			c.noRecords(t)
		})
	}
}

// The wait for the name servers is as interruptible as the requests are.
func TestInterrupt_whileWaitingForTheNameServers(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, crashConfig)
	c.extra = []string{"CERTIFICATE_NAME_SERVER_PORT=1"}
	command := c.command("apply", "-auto-approve")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	eventually(t, 30*time.Second, "the record is published", func() bool {
		values, err := c.Responder.TXT("_acme-challenge.www.example." + lab.Zone)
		return err == nil && len(values) == 1
	})
	c.interrupt(t, command, done)
	c.extra = nil
	c.must(0, "apply", "-auto-approve")
	if got := c.CA.Placed(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// interrupt presses Ctrl-C and expects terraform back within two seconds, with
// no process and no record left.
func (c *cli) interrupt(t *testing.T, command *exec.Cmd, done <-chan error) {
	t.Helper()
	interrupted := time.Now()
	if err := syscall.Kill(-command.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("the interrupted apply says it succeeded")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("terraform is still there after 20 s")
	}
	if took := time.Since(interrupted); took > 2*time.Second {
		t.Errorf("terraform was back after %s, want at most 2 s", took)
	}
	eventually(t, 2*time.Second, "the provider processes end", func() bool { return len(c.providers()) == 0 })
	c.noRecords(t)
}

// From the second calendar day after the window opened each plan warns of a
// renewal that is still open.
func TestReminder_warnsFromTheSecondDay(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, `
resource "certificate_renewal" "www" {
  domains = ["www.example.test"]
  renewal = { use_ari = false }
}
`)
	c.must(0, "apply", "-auto-approve")
	const reminder = "A renewal is still open"
	for offset, test := range map[string]struct {
		status int
		want   bool
	}{
		"1400h": {0, false}, // the window opens after 60 days, 1440 hours
		"1441h": {2, false},
		"1500h": {2, true},
	} {
		c.extra = []string{"CERTIFICATE_CLOCK_OFFSET=" + offset}
		if output := c.must(test.status, "plan", "-detailed-exitcode"); strings.Contains(output, reminder) != test.want {
			t.Errorf("after %s: reminded %t, want %t\n%s", offset, !test.want, test.want, output)
		}
	}
}

// The scan that every test of this kind ends with finds a key that is there.
func TestSecrets_scanFindsAPlantedKey(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, crashConfig)
	c.must(0, "plan", "-out=saved.plan")
	c.must(0, "apply", "saved.plan")
	if got := len(c.secrets()); got < 12 {
		t.Fatalf("%d secrets to look for, want those of the account's and the certificate's key", got)
	}
	trace, err := os.ReadFile(filepath.Join(c.folder, "trace.log"))
	if err != nil || !strings.Contains(string(trace), "certificate_renewal") {
		t.Fatalf("there is no trace log to search: %v", err)
	}
	keys, err := filepath.Glob(filepath.Join(c.StorageDirectory(), "keys", "*"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("stored keys: %v (%v), want 1", keys, err)
	}
	key, err := os.ReadFile(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	planted := &cli{Lab: c.Lab, t: &recorded{TB: t}, folder: t.TempDir()}
	if err := os.WriteFile(filepath.Join(planted.folder, "state"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	planted.scan()
	if !planted.t.(*recorded).failed {
		t.Error("the scan did not find a key in plain sight")
	}
}

// recorded notes a failure instead of failing.
type recorded struct {
	testing.TB
	failed bool
}

func (r *recorded) Errorf(string, ...any) { r.failed = true }
func (r *recorded) Error(...any)          { r.failed = true }
