package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// appServer is a TLS server that loads its pair when the fake command "reload"
// is run on its machine.
type appServer struct {
	transport.Local
	address  string
	combined string
	current  atomic.Pointer[tls.Certificate]
	reloads  atomic.Int32
}

func (s *appServer) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if argv[0] != "reload" {
		return s.Local.Run(ctx, argv, stdin)
	}
	s.reloads.Add(1)
	if err := s.load(); err != nil {
		return transport.Output{Text: err.Error(), ExitCode: 1}, nil
	}
	return transport.Output{}, nil
}

func (s *appServer) load() error {
	pair, err := tls.LoadX509KeyPair(s.combined, s.combined)
	if err == nil {
		s.current.Store(&pair)
	}
	return err
}

func startApp(t *testing.T, directory string, m Material) *appServer {
	t.Helper()
	s := &appServer{combined: filepath.Join(directory, "combined.pem")}
	text, err := PEM{Leaf: true, Chain: true, Key: true}.Encode(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(s.combined, text, 0o600), s.load()); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.address = listener.Addr().String()
	go serve(listener)
	return s
}

// serve completes handshakes until the listener is closed.
func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			if c, ok := connection.(*tls.Conn); ok {
				_ = c.Handshake()
			}
			_ = connection.Close()
		}()
	}
}

type appFixture struct {
	*appServer
	directory  string
	ca         *deploytest.Authority
	old, fresh Material
	log        *safeBuffer
}

func newApp(t *testing.T) *appFixture {
	t.Helper()
	now := time.Now()
	f := &appFixture{directory: t.TempDir(), ca: deploytest.NewAuthority(t, now), log: &safeBuffer{}}
	for _, m := range []*Material{&f.old, &f.fresh} {
		m.Chain, m.Key = f.ca.Issue(t, now, []string{name})
	}
	f.appServer = startApp(t, f.directory, f.old)
	t.Cleanup(func() { noKeys(t, f.log.String(), f.old.Key, f.fresh.Key) })
	return f
}

func (f *appFixture) path(base string) string { return filepath.Join(f.directory, base) }

func (f *appFixture) options() FilesOptions {
	return FilesOptions{
		CombinedPath: f.combined, FullchainPath: f.path("fullchain.pem"), CertificatePath: f.path("cert.pem"),
		ChainPath: f.path("chain.pem"), PrivateKeyPath: f.path("key.pem"), ReloadCommand: []string{"reload"},
	}
}

func (f *appFixture) job(t *testing.T, options FilesOptions) Job {
	t.Helper()
	target, err := NewFiles(options)
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Host: "app", Machine: f, Target: target, Material: f.fresh, Now: time.Now(), Locks: &Locks{},
		Proof:  Proof{Endpoint: Endpoint{f.address, name}, Steady: -1, Timeout: 2 * time.Second},
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func TestFiles_everyFile(t *testing.T) {
	f := newApp(t)
	options := f.options()
	options.CertificateMode, options.PrivateKeyMode = 0o604, 0o640
	result, err := Deploy(t.Context(), f.job(t, options))
	if err != nil {
		t.Fatal(err)
	}
	if !result.Changed || !result.Reloaded || result.Proven != ByHandshake || len(result.Backups) != 1 {
		t.Errorf("result = %+v", result)
	}
	key, err := f.fresh.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	leaf, chain := pki.EncodeCertificates(f.fresh.Chain[0]), pki.EncodeCertificates(f.fresh.Chain[1:]...)
	want := map[string]string{
		"combined.pem": fmt.Sprintf("-rw-r----- %s%s%s", leaf, chain, key), "key.pem": fmt.Sprintf("-rw-r----- %s", key),
		"fullchain.pem": fmt.Sprintf("-rw----r-- %s%s", leaf, chain), "cert.pem": fmt.Sprintf("-rw----r-- %s", leaf),
		"chain.pem": fmt.Sprintf("-rw----r-- %s", chain),
	}
	got := state(t, f.directory)
	for base, content := range want {
		if got[f.path(base)] != content {
			t.Errorf("%s = %.60q…, want %.60q…", base, got[f.path(base)], content)
		}
	}
	if len(got) != len(want)+1 {
		t.Errorf("%d files, want %d and one backup", len(got), len(want))
	}
}

func TestFiles_reloadFails(t *testing.T) {
	f := newApp(t)
	before := state(t, f.directory)
	options := f.options()
	// The tool prints what it should not.
	options.ReloadCommand = []string{"sh", "-c", "cat " + f.path("key.pem") + "; echo own words; exit 4"}
	_, err := Deploy(t.Context(), f.job(t, options))
	failure := wantRollback(t, err, false) // the reload of the old files fails alike
	if failure == nil {
		return
	}
	if !strings.Contains(err.Error(), "own words") || !strings.Contains(err.Error(), "exited with 4") ||
		!strings.Contains(failure.Truth, "the old certificate is served, fingerprint "+pki.Fingerprint(f.old.Chain[0])) {
		t.Errorf("error = %v", err)
	}
	noKeys(t, err.Error(), f.old.Key, f.fresh.Key)
	after := state(t, f.directory)
	if len(after) != len(before) || after[f.combined] != before[f.combined] {
		t.Error("the files are not what they were")
	}
}

func TestFiles_testFails(t *testing.T) {
	f := newApp(t)
	before := state(t, f.directory)
	options := f.options()
	options.TestCommand = []string{"sh", "-c", "echo own words >&2; exit 1"}
	_, err := Deploy(t.Context(), f.job(t, options))
	_ = wantRollback(t, err, true)
	if err == nil || !strings.Contains(err.Error(), "own words") {
		t.Errorf("error = %v", err)
	}
	if f.reloads.Load() != 0 {
		t.Error("reloaded after a test that failed")
	}
	after := state(t, f.directory)
	if len(after) != len(before) || after[f.combined] != before[f.combined] {
		t.Error("the files are not what they were")
	}
}

func TestFiles_provenByFileOnly(t *testing.T) {
	f := newApp(t)
	job := f.job(t, FilesOptions{CertificatePath: f.path("cert.pem")})
	job.Proof, job.Material.Key = Proof{}, pki.Key{}
	result, err := Deploy(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if result.Proven != ByFile || !result.Changed || result.Reloaded || result.Served.Chain != nil {
		t.Errorf("result = %+v", result)
	}
	if result, err = Deploy(t.Context(), job); err != nil || result.Changed {
		t.Errorf("again: %+v, %v", result, err)
	}
}

func TestFiles_journalWithoutEndpointReloadsAgain(t *testing.T) {
	f := newApp(t)
	job := f.job(t, FilesOptions{CombinedPath: f.combined, ReloadCommand: []string{"reload"}})
	job.Proof, job.Material = Proof{}, f.old
	journal := journalPath(slotsOf(job))
	if err := os.WriteFile(journal, []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := Deploy(t.Context(), job)
	if err != nil || result.Changed || !result.Reloaded || f.reloads.Load() != 1 {
		t.Errorf("result = %+v, %v", result, err)
	}
	if _, err := os.Stat(journal); err == nil {
		t.Error("the journal is still there")
	}
}

func TestFiles_backupsArePruned(t *testing.T) {
	f := newApp(t)
	tests := map[string]struct{ keep, want int }{"by default": {0, 3}, "one": {1, 1}, "none": {-1, 0}}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			backups := t.TempDir()
			job := f.job(t, FilesOptions{CombinedPath: f.combined, ReloadCommand: []string{"reload"}})
			job.Backups, job.Keep = backups, test.keep
			var newest Result
			for i := range 5 {
				job.Now = time.Now().Add(time.Duration(i) * time.Second)
				job.Material = []Material{f.old, f.fresh}[(i+1)%2]
				if i == 0 {
					job.Material.Chain, job.Material.Key = f.ca.Issue(t, job.Now, []string{name})
				}
				var err error
				if newest, err = Deploy(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			got := state(t, backups)
			if len(got) != test.want {
				t.Errorf("%d backups, want %d", len(got), test.want)
			}
			if _, ok := got[newest.Backups[0]]; ok != (test.want > 0) {
				t.Errorf("the newest backup is kept: %v", ok)
			}
		})
	}
}

func TestFiles_failedDeploymentsPushNoBackupOut(t *testing.T) {
	f := newApp(t)
	if _, err := Deploy(t.Context(), f.job(t, FilesOptions{CombinedPath: f.combined, ReloadCommand: []string{"reload"}})); err != nil {
		t.Fatal(err)
	}
	before := state(t, f.directory)
	job := f.job(t, FilesOptions{CombinedPath: f.combined, TestCommand: []string{"false"}})
	job.Material = f.old
	for range 4 {
		_, err := Deploy(t.Context(), job)
		_ = wantRollback(t, err, true)
	}
	after := state(t, f.directory)
	for path := range before {
		if before[path] != after[path] {
			t.Errorf("%s changed", path)
		}
	}
}

func TestDeploy_takesTurns(t *testing.T) {
	f := newApp(t)
	job := f.job(t, FilesOptions{CombinedPath: f.combined, ReloadCommand: []string{"reload"}})
	errs := make(chan error)
	for i := range 6 {
		go func() {
			job := job
			job.Material = []Material{f.old, f.fresh}[i%2]
			_, err := Deploy(t.Context(), job)
			errs <- err
		}()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestLocks_waitEndsWithContext(t *testing.T) {
	var locks Locks
	unlock, err := locks.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := locks.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("lock = %v, want context.Canceled", err)
	}
	other, err := locks.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	unlock()
	if again, err := locks.Lock(t.Context(), "a"); err != nil {
		t.Error(err)
	} else {
		again()
	}
}

func TestWithoutKeys(t *testing.T) {
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ text, want string }{
		"no key":               {"just words", "just words"},
		"a key between words":  {"a " + string(text) + "b", "a [private key]\nb"},
		"two keys":             {string(text) + string(text), "[private key]\n[private key]\n"},
		"a key cut off":        {"a " + string(text[:len(text)/2]), "a [private key]"},
		"a key without a head": {string(bytes.TrimPrefix(text, []byte("-----BEGIN "))), "[private key]\n"},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			if got := withoutKeys(test.text); got != test.want {
				t.Errorf("withoutKeys = %q, want %q", got, test.want)
			}
		})
	}
}
