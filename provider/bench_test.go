package provider_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// many is a configuration of so many certificates.
func many(count int) string {
	return fmt.Sprintf("resource \"certificate_renewal\" \"www\" {\n count = %d\n domains = [\"www${count.index}.example.test\"]\n}\n", count)
}

// BenchmarkApply100 is terraform apply of 100 certificates, all included.
func BenchmarkApply100(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCLI(b, lab.Options{}, many(100))
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
		b.ReportMetric(float64(c.CA.Connections()), "connections")
		b.StartTimer()
	}
}

// BenchmarkRenew100 is terraform apply that renews 100 certificates.
func BenchmarkRenew100(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCLI(b, lab.Options{PollSuggestions: true}, many(100))
		c.extra = []string{"TF_LOG="}
		c.must(0, "apply", "-auto-approve")
		for _, certificate := range c.certificates() {
			if err := c.CA.SetWindow([]byte(certificate), time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		start := time.Now()
		c.must(0, "apply", "-auto-approve")
		took := time.Since(start)
		b.StopTimer()
		if got := c.CA.Issued(); got != 200 {
			b.Fatalf("%d certificates, want 200", got)
		}
		b.ReportMetric(took.Seconds(), "s/apply")
		b.ReportMetric(float64(c.CA.Connections()), "connections")
		b.StartTimer()
	}
}

// certificates lists what all renewals of the state hold.
func (c *cli) certificates() []string {
	c.t.Helper()
	var state struct {
		Values struct {
			RootModule struct {
				Resources []struct {
					Values struct {
						CertificatePEM string `json:"certificate_pem"`
					}
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(c.must(0, "show", "-json")), &state); err != nil {
		c.t.Fatal(err)
	}
	var certificates []string
	for _, resource := range state.Values.RootModule.Resources {
		certificates = append(certificates, resource.Values.CertificatePEM)
	}
	return certificates
}

// BenchmarkPlan is a terraform plan of many certificates with nothing due.
func BenchmarkPlan(b *testing.B) {
	for _, count := range []int{100, 1000} {
		b.Run(fmt.Sprintf("certificates=%d", count), func(b *testing.B) {
			c := newCLI(b, lab.Options{}, many(count))
			c.extra = []string{"TF_LOG="}
			c.must(0, "apply", "-auto-approve")
			requests, suggestions := c.CA.Requests()
			plans := 0
			var memory int64
			for b.Loop() {
				command := c.command("plan", "-detailed-exitcode")
				if output, err := command.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, output)
				}
				if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
					memory = max(memory, usage.Maxrss)
				}
				plans++
			}
			after, asked := c.CA.Requests()
			b.ReportMetric(float64(after-requests)/float64(plans), "requests/plan")
			b.ReportMetric(float64(asked-suggestions)/float64(plans), "ari/plan")
			b.ReportMetric(float64(memory)/1000, "MB-largest-process")
			if state, err := os.Stat(c.folder + "/terraform.tfstate"); err == nil {
				b.ReportMetric(float64(state.Size())/1000, "state-KB")
			}
		})
	}
}

// BenchmarkBinary is the stripped executable: its size, and its memory when
// Terraform has shaken hands with it.
func BenchmarkBinary(b *testing.B) {
	target := filepath.Join(b.TempDir(), "provider")
	arguments := []string{"build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", target}
	for _, module := range []string{"github.com/hashicorp", "github.com/jackc", "github.com/miekg", "google.golang.org"} { // as GNUmakefile does
		arguments = append(arguments, "-gcflags="+module+"/...=-l")
	}
	build := exec.Command("go", append(arguments, "..")...)
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
