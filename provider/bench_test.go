package provider_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const hundred = `
resource "certificate_renewal" "www" {
  count   = 100
  domains = ["www${count.index}.example.test"]
}
`

// BenchmarkApply100 is terraform apply of 100 certificates, all included.
func BenchmarkApply100(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCLI(b, lab.Options{}, hundred)
		c.extra = []string{"TF_LOG="}
		b.StartTimer()
		start := time.Now()
		c.must(0, "apply", "-auto-approve")
		took := time.Since(start)
		b.StopTimer()
		requests, suggestions := c.CA.Requests()
		b.ReportMetric(took.Seconds(), "s/apply")
		b.ReportMetric(float64(requests)/100, "requests/cert")
		b.ReportMetric(float64(suggestions)/100, "ari/cert")
		b.ReportMetric(float64(c.CA.Count("sign-me-up")), "account-lookups")
		b.StartTimer()
	}
}

// BenchmarkPlan100 is a terraform plan of 100 certificates with nothing due.
func BenchmarkPlan100(b *testing.B) {
	c := newCLI(b, lab.Options{}, hundred)
	c.extra = []string{"TF_LOG="}
	c.must(0, "apply", "-auto-approve")
	requests, suggestions := c.CA.Requests()
	plans := 0
	for b.Loop() {
		c.must(0, "plan", "-detailed-exitcode")
		plans++
	}
	after, asked := c.CA.Requests()
	b.ReportMetric(float64(after-requests)/float64(plans), "requests/plan")
	b.ReportMetric(float64(asked-suggestions)/float64(plans), "ari/plan")
	if state, err := os.Stat(c.folder + "/terraform.tfstate"); err == nil {
		b.ReportMetric(float64(state.Size())/1000, "state-KB")
	}
}

// BenchmarkBinary is the stripped executable: its size, and its memory when
// Terraform has shaken hands with it.
func BenchmarkBinary(b *testing.B) {
	target := filepath.Join(b.TempDir(), "provider")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", target, "..")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	info, err := os.Stat(target)
	if err != nil {
		b.Fatal(err)
	}
	var resident float64
	for b.Loop() {
		resident = handshake(b, target)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
	b.ReportMetric(resident, "MB-RSS")
}

// handshake starts a provider as Terraform does and returns its memory in MB.
func handshake(b *testing.B, program string) float64 {
	b.Helper()
	command := exec.Command(program)
	command.Env = append(os.Environ(), "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2", "PLUGIN_PROTOCOL_VERSIONS=6")
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.Contains(line, "|grpc|") {
		b.Fatalf("no handshake but %q (%v)", line, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for field := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(field, "VmRSS:"); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kilobytes), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return value / 1000
		}
	}
	b.Fatal("no VmRSS in /proc")
	return 0
}
