package deploy

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const name = "www.example.com"

// fixture is an nginx that serves old, and a job to deploy fresh.
type fixture struct {
	*deploytest.Nginx
	now        time.Time
	ca         *deploytest.Authority
	old, fresh Material
	machine    *counting
	job        Job
	log        *safeBuffer
}

func newFixture(t *testing.T) *fixture { return newFixtureWith(t, "") }

func newFixtureWith(t *testing.T, backend string) *fixture {
	t.Helper()
	now := time.Now()
	f := &fixture{now: now, ca: deploytest.NewAuthority(t, now), log: &safeBuffer{}}
	f.old, f.fresh = f.issue(t), f.issue(t)
	f.Nginx = deploytest.StartNginx(t, f.old.Chain, f.old.Key, backend)
	f.machine = &counting{Transport: transport.Local{}}
	f.job = f.jobFor(t, f.options())
	t.Cleanup(func() { noKeys(t, f.log.String(), f.old.Key, f.fresh.Key) })
	return f
}

func (f *fixture) issue(t *testing.T) Material {
	t.Helper()
	chain, key := f.ca.Issue(t, f.now, []string{name})
	return Material{chain, key}
}

func (f *fixture) options() NginxOptions {
	return NginxOptions{FullchainPath: f.FullchainPath, PrivateKeyPath: f.PrivateKeyPath, ConfigPath: f.Config, Prefix: f.Prefix}
}

func (f *fixture) jobFor(t *testing.T, options NginxOptions) Job {
	t.Helper()
	target, err := NewNginx(options)
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Host: "test", Machine: f.machine, Target: target, Material: f.fresh, Now: f.now, Locks: &Locks{},
		Proof:  Proof{Endpoint: Endpoint{f.Address, name}, Timeout: 10 * time.Second},
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (f *fixture) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.ca.Root)
	return pool
}

// wantServed checks that the next connections all serve a certificate.
func (f *fixture) wantServed(t *testing.T, want Material) {
	t.Helper()
	for range 5 {
		served, err := Probe(t.Context(), f.job.Proof.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if served.Fingerprint != pki.Fingerprint(want.Chain[0]) || len(served.Chain) != len(want.Chain) {
			t.Fatalf("serves %s and %d certificates, want %s and %d", served.Fingerprint, len(served.Chain), pki.Fingerprint(want.Chain[0]), len(want.Chain))
		}
	}
}

// state is every file below a directory with its mode.
func state(t *testing.T, directory string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%v %s", info.Mode(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (f *fixture) tls() string { return filepath.Dir(f.FullchainPath) }

// wantRestored checks that the directory is byte for byte what it was, and that
// the old certificate is served.
func (f *fixture) wantRestored(t *testing.T, before map[string]string) {
	t.Helper()
	after := state(t, f.tls())
	for path := range after {
		if after[path] != before[path] {
			t.Errorf("%s is not what it was before", path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, before there were %d", len(after), len(before))
	}
	f.wantServed(t, f.old)
}

func noKeys(t *testing.T, text string, keys ...pki.Key) {
	t.Helper()
	for _, key := range keys {
		if leaksKey(t, text, key) {
			t.Errorf("key bytes in %q", text)
		}
	}
}

func (f *fixture) symlink(t *testing.T, destination, link string) {
	t.Helper()
	if err := os.Symlink(destination, link); err != nil {
		t.Fatal(err)
	}
}

// leaksKey looks for any line of the key's PEM.
func leaksKey(t *testing.T, text string, key pki.Key) bool {
	t.Helper()
	encoded, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(encoded)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(text, line) {
			return true
		}
	}
	return false
}

// counting counts the commands a machine ran by their last word.
type counting struct {
	transport.Transport
	mu   sync.Mutex
	runs map[string]int
	argv []string
}

func (c *counting) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	c.mu.Lock()
	if c.runs == nil {
		c.runs = map[string]int{}
	}
	c.runs[argv[len(argv)-1]]++
	c.argv = append(c.argv, argv...)
	c.mu.Unlock()
	return c.Transport.Run(ctx, argv, stdin)
}

type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// slotsOf are the files of a job's target.
func slotsOf(job Job) []Slot {
	files, ok := job.Target.(FileTarget)
	if !ok {
		return nil
	}
	return files.Slots()
}
