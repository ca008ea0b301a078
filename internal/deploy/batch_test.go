package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// sites is an nginx with several servers on one port, and a job for each.
type sites struct {
	*fixture
	jobs  []Job
	olds  []Material
	locks *Locks
}

func siteName(n int) string { return fmt.Sprintf("site%d.example.com", n) }

// newSites starts it; binary is the program of all jobs, empty for nginx itself.
func newSites(t *testing.T, count int, binary func(s *sites) string) *sites {
	t.Helper()
	s := &sites{fixture: newFixture(t), locks: &Locks{}}
	var servers strings.Builder
	for n := range count {
		chain, key := s.ca.Issue(t, s.now, []string{siteName(n)})
		s.olds = append(s.olds, Material{chain, key})
		fmt.Fprintf(&servers, "}\nserver { listen %s ssl; server_name %s; ssl_certificate %s; ssl_certificate_key %s;\n", s.Address, siteName(n), s.file(n, "pem"), s.file(n, "key"))
		s.write(t, n, s.olds[n])
		chain, key = s.ca.Issue(t, s.now, []string{siteName(n)})
		job := s.job
		job.Material, job.Locks, job.Proof.Endpoint.ServerName = Material{chain, key}, s.locks, siteName(n)
		s.jobs = append(s.jobs, job)
	}
	s.WriteConfig(t, servers.String())
	s.Reload(t)
	for n := range s.jobs { // the reload is over when the last site is served
		_, err := Prove(t.Context(), s.jobs[n].Proof, s.serves(s.olds[n]))
		if err != nil { // on a busy machine the reload can have had no effect
			s.Reload(t)
			_, err = Prove(t.Context(), s.jobs[n].Proof, s.serves(s.olds[n]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	program := ""
	if binary != nil {
		program = binary(s)
	}
	for n := range s.jobs {
		options := s.options()
		options.FullchainPath, options.PrivateKeyPath, options.Binary = s.file(n, "pem"), s.file(n, "key"), program
		var err error
		if s.jobs[n].Target, err = NewNginx(options); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *sites) file(n int, kind string) string {
	return filepath.Join(s.tls(), fmt.Sprintf("site%d.%s", n, kind))
}

func (s *sites) write(t *testing.T, n int, m Material) {
	t.Helper()
	key, err := m.Key.PEM()
	if err := errors.Join(err, os.WriteFile(s.file(n, "key"), key, 0o600), os.WriteFile(s.file(n, "pem"), pki.EncodeCertificates(m.Chain...), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (s *sites) serves(m Material) func(Served) error {
	return func(served Served) error {
		if got, want := served.Fingerprint, pki.Fingerprint(m.Chain[0]); got != want {
			return fmt.Errorf("serves %s, want %s", got, want)
		}
		return nil
	}
}

// atOnce deploys to all sites, beginning when all are there, so that they can
// share what they can share.
func (s *sites) atOnce(t *testing.T) []error {
	t.Helper()
	unlock, err := s.locks.Lock(t.Context(), s.jobs[0].place())
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, len(s.jobs))
	var all sync.WaitGroup
	for n, job := range s.jobs {
		all.Go(func() { _, errs[n] = Deploy(t.Context(), job) })
	}
	for coming := 0; coming < len(s.jobs); {
		if err := pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		coming = s.comes(t, 0)
	}
	unlock()
	all.Wait()
	return errs
}

// comes counts the deployments on the way, and adds to them.
func (s *sites) comes(t *testing.T, more int) int {
	t.Helper()
	files, ok := s.jobs[0].Target.(FileTarget)
	if !ok {
		t.Fatal("no target of files")
	}
	host := s.locks.host(s.jobs[0].place())
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	host.coming[serverOf(files)] += more
	return host.coming[serverOf(files)]
}

// wantSite checks what a site serves and that nothing but the pair and its backups is left.
func (s *sites) wantSite(t *testing.T, n int, want Material) {
	t.Helper()
	served, err := Probe(t.Context(), s.jobs[n].Proof.Endpoint)
	if err == nil {
		err = s.serves(want)(served)
	}
	if err != nil {
		t.Errorf("%s: %v", siteName(n), err)
	}
	held, err := os.ReadFile(s.file(n, "pem"))
	if err != nil || string(held) != string(pki.EncodeCertificates(want.Chain...)) {
		t.Errorf("%s: the file holds another certificate (%v)", siteName(n), err)
	}
	if left, err := filepath.Glob(filepath.Join(s.tls(), fmt.Sprintf(".site%d.*.deployment", n))); err != nil || len(left) > 0 {
		t.Errorf("journals are left: %q, %v", left, err)
	}
}

// Deployments to one nginx, at once: one reload, and each is proven.
func TestDeploy_severalOnOneServerShareAReload(t *testing.T) {
	for _, count := range []int{5, 10} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			s := newSites(t, count, nil)
			before := s.Reloads(t)
			if err := errors.Join(s.atOnce(t)...); err != nil {
				t.Fatal(err)
			}
			if got := s.Reloads(t) - before; got != 1 {
				t.Errorf("%d reloads for %d deployments, want 1", got, count)
			}
			for n, job := range s.jobs {
				s.wantSite(t, n, job.Material)
			}
		})
	}
}

// One whose own test fails puts its files back before others write, and takes no
// part in the reload.
func TestDeploy_failedTestOfOneHoldsUpNoOther(t *testing.T) {
	s := newSites(t, 4, nil)
	target, ok := s.jobs[2].Target.(*Nginx)
	if !ok {
		t.Fatal("no nginx")
	}
	s.jobs[2].Target = refusing{target}
	before := s.Reloads(t)
	errs := s.atOnce(t)
	_ = wantRollback(t, errs[2], true)
	for n, job := range s.jobs {
		want := job.Material
		if n == 2 {
			want = s.olds[2]
		} else if errs[n] != nil {
			t.Errorf("%s: %v", siteName(n), errs[n])
		}
		s.wantSite(t, n, want)
	}
	if got := s.Reloads(t) - before; got != 1 {
		t.Errorf("%d reloads, want 1", got)
	}
}

// refusing is an nginx whose test passes nothing.
type refusing struct{ *Nginx }

func (refusing) Test(context.Context, transport.Transport) (bool, error) {
	return true, errors.New("it is refused")
}

// What the test passes and the reload does not, is found out: all are put back,
// and each is tried by itself.
func TestDeploy_sharedReloadFails(t *testing.T) {
	for sentence, effect := range map[string]string{
		"the reload is refused":      `echo own words >&2; exit 1`,
		"the reload ends the server": `nginx "$@" >/dev/null 2>&1; nginx -p %[1]s -c %[2]s -s quit; while [ -e %[1]s/nginx.pid ]; do sleep 0.01; done; exit 0`,
		"the reload loads nothing":   `exit 0`,
	} {
		t.Run(sentence, func(t *testing.T) {
			const guilty = 1
			s := newSites(t, 3, func(s *sites) string {
				fresh := filepath.Join(t.TempDir(), "fresh.pem")
				if err := os.WriteFile(fresh, pki.EncodeCertificates(s.jobs[guilty].Material.Chain...), 0o600); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(effect, "%") {
					effect = fmt.Sprintf(effect, s.Prefix, s.Config)
				}
				return script(t, fmt.Sprintf(`case "$*" in *reload) if cmp -s %s %s; then %s; fi;; esac; exec nginx "$@"`, fresh, s.file(guilty, "pem"), effect))
			})
			for n := range s.jobs {
				s.jobs[n].Proof.Timeout = 3 * time.Second
			}
			errs := s.atOnce(t)
			failure := wantRollback(t, errs[guilty], true)
			if failure != nil && !strings.Contains(failure.Truth, "the old certificate is served") {
				t.Errorf("truth = %q", failure.Truth)
			}
			s.wantSite(t, guilty, s.olds[guilty])
			for n, job := range s.jobs {
				if n == guilty {
					continue
				}
				if errs[n] != nil {
					t.Errorf("%s: %v", siteName(n), errs[n])
				}
				s.wantSite(t, n, job.Material)
			}
		})
	}
}

// One that is cancelled while it waits for others is put back, and leaves their
// reload to them.
func TestDeploy_cancelledWhileWaitingForOthers(t *testing.T) {
	s := newSites(t, 2, nil)
	s.comes(t, 1) // somebody who does not come
	ctx, cancel := context.WithCancel(t.Context())
	failed, done := make(chan error, 1), make(chan error, 1)
	go func() { _, err := Deploy(ctx, s.jobs[0]); failed <- err }()
	go func() { _, err := Deploy(t.Context(), s.jobs[1]); done <- err }()
	for waiting := 0; waiting < 2; {
		if err := pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		host := s.locks.host(s.jobs[0].place())
		s.locks.mu.Lock()
		for _, b := range host.batches {
			waiting = len(b.members)
		}
		s.locks.mu.Unlock()
	}
	cancel()
	err := <-failed
	if _ = wantRollback(t, err, true); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	s.wantSite(t, 0, s.olds[0])
	// The next one on the way wakes those that wait.
	s.comes(t, -1)
	unlock, err := s.locks.Lock(t.Context(), s.jobs[0].place())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.wantSite(t, 1, s.jobs[1].Material)
}
