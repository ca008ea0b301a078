package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"certificate-dns": main})
}

// TestScript runs the command lines in testdata/script.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}

func TestCheck_acceptsTheExample(t *testing.T) {
	var out, errs strings.Builder
	code := run(t.Context(), []string{"check", "../../../examples/certificate-dns/certificate-dns.hcl"}, &out, &errs)
	if code != exitOK {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestToken_isNewAndMatchesItsHash(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		var out strings.Builder
		if code := run(t.Context(), []string{"token"}, &out, &out); code != exitOK {
			t.Fatalf("exit %d", code)
		}
		m := regexp.MustCompile(`^token  = "(\w{40,})"\nsha256 = "([0-9a-f]{64})"\n$`).FindStringSubmatch(out.String())
		if m == nil {
			t.Fatalf("printed %q", out.String())
		}
		sum := sha256.Sum256([]byte(m[1]))
		if got := hex.EncodeToString(sum[:]); got != m[2] {
			t.Errorf("the hash of the token is %s, printed %s", got, m[2])
		}
		if seen[m[1]] {
			t.Error("the same token twice")
		}
		seen[m[1]] = true
	}
}

const testToken = "a-token-for-this-test-only"

// process is a certificate-dns serve that this test started.
type process struct {
	cmd      *exec.Cmd
	dns, api string
	tls      string // "" without DNS over TLS
	client   *client.Client
}

// writeConfig writes a configuration with kernel-picked ports.
func writeConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sum := sha256.Sum256([]byte(testToken))
	path := filepath.Join(dir, "certificate-dns.hcl")
	text := fmt.Sprintf(`
listen  = ["127.0.0.1:0"]
storage = %q
api { listen = "127.0.0.1:0" }
zone "auth.example.com" { nameservers = ["ns.example.net"] }
token "test" {
  sha256 = %q
  names  = ["*.auth.example.com"]
}
`, filepath.Join(dir, "records.db"), hex.EncodeToString(sum[:]))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startProcess runs serve and waits until it says that it serves.
func startProcess(t *testing.T, config string) *process {
	t.Helper()
	path, err := exec.LookPath("certificate-dns") // put there by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	return start(t, exec.Command(path, "serve", config))
}

// start starts a command and waits until it says that it serves.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	serving := regexp.MustCompile(`msg=serving dns="?\[?([0-9.:]+)\]?"? api=(\S+) tls="?\[([0-9.:]*)`)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			p.dns, p.api, p.tls = m[1], m[2], m[3]
			break
		}
		t.Log(lines.Text())
	}
	if p.dns == "" {
		t.Fatalf("the server ended before it served: %v", p.cmd.Wait())
	}
	go func() { // keeps the pipe from filling
		for lines.Scan() {
			continue
		}
	}()
	if p.client, err = client.New(p.api, testToken, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// txt asks the process for the TXT values at a name.
func (p *process) txt(t *testing.T, name string) []string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	reply, _, err := c.Exchange(m, p.dns)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, rr := range reply.Answer {
		values = append(values, strings.Join(rr.(*dns.TXT).Txt, ""))
	}
	return values
}

// end sends a signal and returns the exit code; it fails the test when the
// process takes longer than limit.
func (p *process) end(t *testing.T, sig os.Signal, limit time.Duration) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // the exit code is read below
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(limit):
		t.Fatalf("still running %s after %s", limit, sig)
	}
	return p.cmd.ProcessState.ExitCode()
}

func TestServe_answersWhatWasPutAndStopsCleanly(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			config := writeConfig(t)
			p := startProcess(t, config)
			if err := p.client.Put(t.Context(), "_acme-challenge.auth.example.com", "Value"); err != nil {
				t.Fatal(err)
			}
			if got := p.txt(t, "_acme-challenge.auth.example.com"); !slices.Equal(got, []string{"Value"}) {
				t.Errorf("TXT = %q, want Value", got)
			}
			idle, err := net.Dial("tcp", p.dns) // a silent client must not delay the end
			if err != nil {
				t.Fatal(err)
			}
			defer idle.Close()
			if code := p.end(t, sig, 2*time.Second); code != exitOK {
				t.Errorf("exit %d, want 0", code)
			}
			again := startProcess(t, config)
			if got := again.txt(t, "_acme-challenge.auth.example.com"); !slices.Equal(got, []string{"Value"}) {
				t.Errorf("after a restart TXT = %q, want Value", got)
			}
		})
	}
}

func TestServe_acknowledgedRecordsSurviveKill(t *testing.T) {
	config := writeConfig(t)
	p := startProcess(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	enough := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("w%d-%d.auth.example.com", w, i)
				if p.client.Put(ctx, name, name) != nil {
					return // killed
				}
				mu.Lock()
				acknowledged[name] = true
				if len(acknowledged) == 200 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(30 * time.Second):
		t.Fatal("200 puts took over 30 s")
	}
	p.end(t, syscall.SIGKILL, 5*time.Second)
	writers.Wait()
	again := startProcess(t, config)
	for name := range acknowledged {
		if got := again.txt(t, name); !slices.Equal(got, []string{name}) {
			t.Errorf("%s was acknowledged, and after kill -9 TXT = %q", name, got)
		}
	}
}

func TestServe_storageIsPrivateAndUsedByOne(t *testing.T) {
	config := writeConfig(t)
	p := startProcess(t, config)
	err := filepath.WalkDir(filepath.Join(filepath.Dir(config), "records.db"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if got := info.Mode().Perm(); err == nil && got&0o077 != 0 {
			t.Errorf("%s has mode %o, want none for others", path, got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := run(t.Context(), []string{"serve", config}, &out, &out); code != exitFault {
		t.Errorf("a second server: exit %d, want %d", code, exitFault)
	}
	if !strings.Contains(out.String(), fmt.Sprintf("open in another process (pid %d)", p.cmd.Process.Pid)) {
		t.Errorf("a second server says %q", out.String())
	}
}

func TestServe_healthz(t *testing.T) {
	p := startProcess(t, writeConfig(t))
	resp, err := http.Get(p.api + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
}

// program is the path of a program that a test needs; CI has all of them.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func TestUnit_isGoodAndHardened(t *testing.T) {
	analyze := program(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"certificate-dns.service", "certificate-dns.socket"} {
		text, err := os.ReadFile(filepath.Join("../../../examples/certificate-dns/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The program is where this test has it.
		exe := program(t, "certificate-dns")
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/certificate-dns", exe))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := filepath.Join(dir, "certificate-dns.service")
	if out, err := exec.Command(analyze, "verify", "--man=no", service, filepath.Join(dir, "certificate-dns.socket")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// 1.4 when this was written; 10 is a service without any hardening.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", service).CombinedOutput(); err != nil {
		t.Errorf("exposure over 1.5: %v\n%s", err, out)
	}
}
