package provider_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// stepCA is a real step-ca that looks records up at a lab's responder.
type stepCA struct {
	directoryURL string
	root         string // PEM
	log          string // file
}

// newStepCA starts one whose certificates live for a usual time, and at most for
// the longest. `make test` builds it and names it in STEP_CA.
func newStepCA(t testing.TB, l *lab.Lab, usual, longest time.Duration) *stepCA {
	t.Helper()
	program := os.Getenv("STEP_CA")
	if program == "" {
		t.Skip("step-ca is not there: make test builds it, or name it in STEP_CA")
	}
	folder := t.TempDir()
	s := &stepCA{root: writeAuthority(t, folder), log: filepath.Join(folder, "log")}
	for range 3 { // somebody else may take the port between the choice and its use
		address := nobody(t)
		config := filepath.Join(folder, "ca.json")
		writeJSON(t, config, map[string]any{
			"root": filepath.Join(folder, "root.crt"), "crt": filepath.Join(folder, "intermediate.crt"), "key": filepath.Join(folder, "intermediate.key"),
			"address": address, "dnsNames": []string{"127.0.0.1"},
			"logger": map[string]string{"format": "text"},
			"db":     map[string]any{"type": "badgerv2", "dataSource": filepath.Join(folder, "db")},
			"authority": map[string]any{"provisioners": []any{map[string]any{
				"type": "ACME", "name": "acme",
				"claims": map[string]string{"maxTLSCertDuration": longest.String(), "defaultTLSCertDuration": usual.String()},
			}}},
		})
		if s.run(t, program, config, l.DNS, address) {
			s.directoryURL = "https://" + address + "/acme/acme/directory"
			return s
		}
	}
	text, _ := os.ReadFile(s.log)
	t.Fatalf("step-ca does not start:\n%s", text)
	return nil
}

// run starts the process and reports whether it came to serve.
func (s *stepCA) run(t testing.TB, program, config, dns, address string) bool {
	t.Helper()
	output, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	command := exec.Command(program, "--resolver", dns, "--acme-strict-fqdn", config)
	command.Stdout, command.Stderr = output, output
	command.Env = append(os.Environ(), "STEPPATH="+filepath.Dir(config))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGKILL)
		<-ended
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.root))
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	serves := false
	eventually(t, 30*time.Second, "step-ca serves", func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		response, err := client.Get("https://" + address + "/health")
		if err == nil {
			serves = response.StatusCode == http.StatusOK
			_ = response.Body.Close()
		}
		return serves
	})
	return serves
}

// environment has the provider order from it.
func (s *stepCA) environment() []string {
	return []string{"CERTIFICATE_ACME_DIRECTORY_URL=" + s.directoryURL, "CERTIFICATE_ACME_CA_BUNDLE_PEM=" + s.root}
}

// failures is how many requests it answered with a server error.
func (s *stepCA) failures(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "status=500")
}

func writeJSON(t testing.TB, file string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeAuthority makes a root and an intermediate for step-ca, and returns the
// root in PEM.
func writeAuthority(t testing.TB, folder string) string {
	t.Helper()
	var parent *x509.Certificate
	var parentKey pki.Key
	var root string
	for n, name := range []string{"root", "intermediate"} {
		key, err := pki.GenerateKey(pki.ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(n) + 1), Subject: pkix.Name{CommonName: "step " + name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), parentKey.Signer())
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		certificate := pki.EncodeCertificates(parent)
		if n == 0 {
			root = string(certificate)
		}
		for suffix, content := range map[string][]byte{".crt": certificate, ".key": text} {
			if err := os.WriteFile(filepath.Join(folder, name+suffix), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// carried is a certificate that takes over the days left of the one before, and
// outputs about it.
func carried(token string) string {
	return renewal("carry_over = true", fmt.Sprintf("renewal = { use_ari = false, force_token = %q }", token)) + `
output "facts" {
  value = {
    not_before = certificate_renewal.www.not_before
    not_after  = certificate_renewal.www.not_after
    generation = certificate_renewal.www.generation
    carried    = certificate_renewal.www.carried_over_days
  }
}
`
}

type carriedFacts struct {
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Generation int       `json:"generation"`
	Carried    int       `json:"carried"`
}

func (c *cli) carried() (facts carriedFacts) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.must(0, "output", "-json", "facts")), &facts); err != nil {
		c.t.Fatal(err)
	}
	return facts
}

const noCarryOver = "The CA does not carry days over"

// step-ca takes an end exactly as it is asked for.
func TestStepCA_carriesDaysOverExactly(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, carried("first"))
	c.extra = newStepCA(t, c.Lab, 30*24*time.Hour, 70*24*time.Hour).environment()
	c.must(0, "apply", "-auto-approve")
	first := c.carried()
	c.write(carried("second"))
	if output := c.must(0, "apply", "-auto-approve"); strings.Contains(output, noCarryOver) {
		t.Errorf("it says that nothing was carried over:\n%s", output)
	}
	second := c.carried()
	// Both ends count (RFC 5280 §4.1.2.5).
	want := first.NotAfter.Add(first.NotAfter.Add(time.Second).Sub(first.NotBefore))
	if !second.NotAfter.Equal(want) || second.Carried != 30 || first.Carried != 0 || second.Generation != 2 {
		t.Errorf("generation %d until %s with %d days carried over, want 2 until %s with 30", second.Generation, second.NotAfter, second.Carried, want)
	}
	c.must(0, "plan", "-detailed-exitcode")
}

// It answers 500 to an end it does not grant, when the order is finalized. The
// certificate is ordered without one, and people hear of it.
func TestStepCA_fallsBackFromAnEndOutOfItsRange(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, carried("first"))
	s := newStepCA(t, c.Lab, 30*24*time.Hour, 40*24*time.Hour)
	c.extra = s.environment()
	c.must(0, "apply", "-auto-approve")
	c.write(carried("second"))
	if output := c.must(0, "apply", "-auto-approve"); !strings.Contains(output, noCarryOver) {
		t.Errorf("it does not say that nothing was carried over:\n%s", output)
	}
	facts := c.carried()
	if life := facts.NotAfter.Sub(facts.NotBefore); facts.Carried != 0 || facts.Generation != 2 || (life-30*24*time.Hour).Abs() > time.Hour {
		t.Errorf("generation %d for %s with %d days carried over, want 2 for 30 days with none", facts.Generation, life, facts.Carried)
	}
	if s.failures(t) == 0 {
		t.Error("step-ca granted the end")
	}
	c.must(0, "plan", "-detailed-exitcode")
}

// Of orders in parallel it fails some with conflicts in its database; all of
// them get their certificate.
func TestStepCA_ordersInParallel(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, many(20))
	s := newStepCA(t, c.Lab, 30*24*time.Hour, 40*24*time.Hour)
	c.extra = s.environment()
	c.must(0, "apply", "-auto-approve", "-parallelism=20")
	if got := len(c.certificates()); got != 20 {
		t.Errorf("%d certificates, want 20", got)
	}
	t.Logf("step-ca answered %d requests with 500", s.failures(t))
	c.must(0, "plan", "-detailed-exitcode")
}
