package deploy

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/tjfoc/gmsm/gmtls"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// sm2Authority is a CA of SM2.
type sm2Authority struct {
	key         pki.Key
	certificate *smx509.Certificate
	parsed      *x509.Certificate
}

func newSM2Authority(t testing.TB) *sm2Authority {
	t.Helper()
	a := &sm2Authority{}
	a.parsed, a.key = a.issue(t, smx509.KeyUsageCertSign)
	var err error
	if a.certificate, err = smx509.ParseCertificate(a.parsed.Raw); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *sm2Authority) issue(t testing.TB, usage smx509.KeyUsage, names ...string) (*x509.Certificate, pki.Key) {
	t.Helper()
	key, err := pki.GenerateKey(pki.SM2)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: names,
		Subject: pkix.Name{CommonName: strings.Join(append(names, "SM2 CA"), " ")}, KeyUsage: usage, BasicConstraintsValid: true, IsCA: len(names) == 0,
	}
	parent, signer := template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), signer.Signer())
	if err != nil {
		t.Fatal(err)
	}
	c, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// sm2Pair is both halves.
type sm2Pair struct {
	signing    Material
	encryption Pair
}

func (a *sm2Authority) pair(t testing.TB, names ...string) sm2Pair {
	t.Helper()
	var p sm2Pair
	for _, half := range []struct {
		chain *[]*x509.Certificate
		key   *pki.Key
		usage smx509.KeyUsage
	}{{&p.signing.Chain, &p.signing.Key, smx509.KeyUsageDigitalSignature}, {&p.encryption.Chain, &p.encryption.Key, smx509.KeyUsageKeyEncipherment}} {
		c, key := a.issue(t, half.usage, names...)
		*half.chain, *half.key = []*x509.Certificate{c, a.parsed}, key
	}
	return p
}

// tlcpNginx is a machine whose nginx is a server of TLCP: it tests and loads the
// four files as one of Tongsuo does.
type tlcpNginx struct {
	transport.Local
	t       *testing.T
	paths   NginxOptions
	address string
	current atomic.Pointer[gmtls.Config]
	half    atomic.Bool // a reload forgets the encryption pair
}

func newTLCPNginx(t *testing.T, p sm2Pair) *tlcpNginx {
	t.Helper()
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	n := &tlcpNginx{t: t, paths: NginxOptions{
		FullchainPath: at("sign.pem"), PrivateKeyPath: at("sign.key"), Encryption: PairFiles{FullchainPath: at("enc.pem"), PrivateKeyPath: at("enc.key")},
	}}
	n.write(p)
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	n.address = deploytest.ServeTLCP(t, n.current.Load)
	return n
}

// write puts a pair into the files as a person would.
func (n *tlcpNginx) write(p sm2Pair) {
	n.t.Helper()
	target := n.target(p)
	for _, slot := range target.(FileTarget).Slots() {
		text, err := slot.Format.Encode(p.signing, nil)
		if err == nil {
			err = os.WriteFile(slot.Path, text, 0o600)
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *tlcpNginx) target(p sm2Pair) Target {
	n.t.Helper()
	target, err := NewNginx(n.paths)
	if err != nil {
		n.t.Fatal(err)
	}
	return target.WithPair(p.encryption)
}

func (n *tlcpNginx) job(p sm2Pair) Job {
	n.t.Helper()
	return Job{
		Host: "tlcp", Machine: n, Target: n.target(p), Material: p.signing, Now: time.Now(),
		Proof: Proof{Endpoint: Endpoint{n.address, name}, Timeout: 2 * time.Second, Steady: -1},
	}
}

func (n *tlcpNginx) load() error {
	config, err := deploytest.LoadTLCP(n.paths.FullchainPath, n.paths.PrivateKeyPath, n.paths.Encryption.FullchainPath, n.paths.Encryption.PrivateKeyPath)
	if err != nil {
		return err
	}
	if before := n.current.Load(); n.half.Load() && before != nil {
		config.Certificates[1] = before.Certificates[1]
	}
	n.current.Store(config)
	return nil
}

func (n *tlcpNginx) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if argv[0] != "nginx" {
		return n.Local.Run(ctx, argv, stdin)
	}
	if slices.Contains(argv, "-T") {
		return transport.Output{Text: "pid /run/tlcp.pid;\n"}, nil
	}
	if slices.Contains(argv, "reload") {
		if err := n.load(); err != nil {
			return transport.Output{Text: err.Error(), ExitCode: 1}, nil
		}
	}
	return transport.Output{}, nil
}

func (n *tlcpNginx) ReadFile(ctx context.Context, path string) ([]byte, transport.FileInfo, error) {
	switch path {
	case "/run/tlcp.pid":
		return []byte("1\n"), transport.FileInfo{}, nil
	case "/proc/1/cmdline":
		return []byte("nginx: master process"), transport.FileInfo{}, nil
	}
	return n.Local.ReadFile(ctx, path)
}

// serving is what a client of TLCP sees.
func (n *tlcpNginx) serving() Served {
	n.t.Helper()
	proof := n.job(sm2Pair{}).withPairProof()
	served, err := proof.Way.probe(n.t.Context(), proof.Endpoint)
	if err != nil {
		n.t.Fatal(err)
	}
	return served
}

// withPairProof is the proof of a job for a pair.
func (j Job) withPairProof() Proof {
	j.Proof.Way.TLCP = true
	return j.Proof
}

func (n *tlcpNginx) serves(p sm2Pair) {
	n.t.Helper()
	served := n.serving()
	if !served.Chain[0].Equal(p.signing.Chain[0]) || !served.Chain[1].Equal(p.encryption.Chain[0]) {
		n.t.Errorf("served are %s and %s", describe(served.Chain[0]), describe(served.Chain[1]))
	}
}

func (n *tlcpNginx) files() string {
	n.t.Helper()
	var all string
	for _, path := range []string{n.paths.FullchainPath, n.paths.PrivateKeyPath, n.paths.Encryption.FullchainPath, n.paths.Encryption.PrivateKeyPath} {
		text, err := os.ReadFile(path)
		if err != nil {
			n.t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

func TestDeploy_pairIsProvenByTLCP(t *testing.T) {
	t.Parallel()
	ca := newSM2Authority(t)
	old, fresh := ca.pair(t, name), ca.pair(t, name)
	n := newTLCPNginx(t, old)
	result, err := Deploy(t.Context(), n.job(fresh))
	if err != nil {
		t.Fatal(err)
	}
	if result.Proven != ByHandshake || !result.Changed || !result.Reloaded || len(result.Backups) != 4 || result.Fingerprint != pki.Fingerprint(fresh.signing.Chain[0]) ||
		result.Served.Version != "TLCP 1.1" || len(result.Served.Chain) != 3 {
		t.Errorf("result = %+v", result)
	}
	n.serves(fresh)
	again, err := Deploy(t.Context(), n.job(fresh))
	if err != nil || again.Changed || again.Reloaded || again.FilesHash != result.FilesHash {
		t.Errorf("again: %+v %v, want nothing to do", again, err)
	}
	seen, err := Observe(t.Context(), n.job(pairWithoutKeys(fresh)))
	if err != nil || len(seen.Drift)+len(seen.Warnings) > 0 || seen.FilesHash != result.FilesHash {
		t.Errorf("observed %+v %v, want what was deployed", seen, err)
	}
	// Half a pair is another pair.
	half := sm2Pair{fresh.signing, old.encryption}
	if moved, err := Deploy(t.Context(), n.job(half)); err != nil || !moved.Changed {
		t.Fatalf("%+v %v, want the other encryption certificate", moved, err)
	}
	n.serves(half)
}

// pairWithoutKeys is a pair as a refresh knows it.
func pairWithoutKeys(p sm2Pair) sm2Pair {
	p.signing.Key, p.encryption.Key = pki.Key{}, pki.Key{}
	return p
}

func TestDeploy_pairIsRolledBackTogether(t *testing.T) {
	t.Parallel()
	ca := newSM2Authority(t)
	old, fresh := ca.pair(t, name), ca.pair(t, name)
	n := newTLCPNginx(t, old)
	before := n.files()
	n.half.Store(true)
	_, err := Deploy(t.Context(), n.job(fresh))
	var failure *RollbackError
	if !errors.As(err, &failure) || failure.Rollback != nil || !errors.Is(err, ErrOtherServed) || !strings.Contains(err.Error(), "beside another encryption certificate") {
		t.Fatalf("error %v, want one of the encryption certificate, rolled back", err)
	}
	if n.files() != before {
		t.Error("the four files are not as before")
	}
	n.serves(old)
	if !strings.Contains(failure.Truth, "the old certificate is served") {
		t.Errorf("truth %q", failure.Truth)
	}
}

func TestDeploy_pairThatCannotBe(t *testing.T) {
	t.Parallel()
	ca := newSM2Authority(t)
	old, fresh := ca.pair(t, name), ca.pair(t, name)
	n := newTLCPNginx(t, old)
	before := n.files()
	change := func(edit func(*sm2Pair)) sm2Pair {
		p := fresh
		edit(&p)
		return p
	}
	other := ca.pair(t, "mail.example.test")
	for sentence, test := range map[string]struct {
		pair sm2Pair
		want error
	}{
		"the encryption key is another one's":   {change(func(p *sm2Pair) { p.encryption.Key = old.encryption.Key }), pki.ErrKeyMismatch},
		"the signing key is another one's":      {change(func(p *sm2Pair) { p.signing.Key = old.signing.Key }), pki.ErrKeyMismatch},
		"the encryption key is missing":         {change(func(p *sm2Pair) { p.encryption.Key = pki.Key{} }), pki.ErrNoKey},
		"the encryption chain is broken":        {change(func(p *sm2Pair) { p.encryption.Chain = p.encryption.Chain[:1] }), pki.ErrChainBroken},
		"they are for different names":          {sm2Pair{fresh.signing, other.encryption}, pki.ErrPair},
		"the two are swapped":                   {sm2Pair{Material{fresh.encryption.Chain, fresh.encryption.Key}, Pair{fresh.signing.Chain, fresh.signing.Key}}, pki.ErrPair},
		"both are one":                          {sm2Pair{fresh.signing, Pair{fresh.signing.Chain, fresh.signing.Key}}, pki.ErrPair},
		"both are to encrypt to":                {sm2Pair{Material{old.encryption.Chain, old.encryption.Key}, fresh.encryption}, pki.ErrPair},
		"the signing certificate is for others": {other, ErrNotCovered},
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := Deploy(t.Context(), n.job(test.pair)); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if n.files() != before {
				t.Error("a file was changed")
			}
		})
	}
}

func TestWithPair(t *testing.T) {
	t.Parallel()
	ca := newSM2Authority(t)
	p := ca.pair(t, name)
	place := PairFiles{FullchainPath: `C:\nginx\enc.pem`, PrivateKeyPath: `C:\nginx\enc.key`}
	with, err := NewNginx(NginxOptions{FullchainPath: `C:\nginx\sign.pem`, PrivateKeyPath: `C:\nginx\sign.key`, Prefix: `C:\nginx`, Encryption: place})
	if err != nil {
		t.Fatal(err)
	}
	without, err := NewNginx(NginxOptions{FullchainPath: "/a.pem", PrivateKeyPath: "/a.key"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := NewFiles(FilesOptions{FullchainPath: "/a.pem"})
	if err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct {
		target Target
		m      Material
		p      Pair
		asked  bool
		want   error
	}{
		"a pair and a place":               {with, p.signing, p.encryption, true, nil},
		"a pair and no place":              {without, p.signing, p.encryption, true, ErrPairUnwanted},
		"a pair for a target without any":  {files, p.signing, p.encryption, false, ErrPairUnwanted},
		"a place and no pair":              {with, p.signing, Pair{}, true, ErrPairMissing},
		"half a pair":                      {without, p.signing, Pair{}, true, ErrPairMissing},
		"half a pair that nobody asks for": {files, p.signing, Pair{}, false, nil},
		"half a pair that cannot be asked": {files, p.signing, Pair{}, true, ErrPairMissing},
	} {
		got, err := WithPair(test.target, test.m, test.p, test.asked)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", sentence, err, test.want)
		}
		if err == nil && isPaired(got) != (len(test.p.Chain) > 0) {
			t.Errorf("%s: the target has a pair: %t", sentence, isPaired(got))
		}
	}
	for sentence, options := range map[string]ApacheOptions{
		"half of the paths": {FullchainPath: "/a.pem", PrivateKeyPath: "/a.key", Encryption: PairFiles{FullchainPath: "/e.pem"}},
		"one path twice":    {FullchainPath: `C:\A.pem`, PrivateKeyPath: `C:\a.key`, Encryption: PairFiles{FullchainPath: `c:\a.PEM`, PrivateKeyPath: `C:\e.key`}},
	} {
		if _, err := NewApache(options); !errors.Is(err, ErrPath) {
			t.Errorf("%s: %v, want %v", sentence, err, ErrPath)
		}
	}
}

func TestObserve_pairDrifts(t *testing.T) {
	t.Parallel()
	ca := newSM2Authority(t)
	old, fresh := ca.pair(t, name), ca.pair(t, name)
	n := newTLCPNginx(t, fresh)
	n.write(sm2Pair{fresh.signing, old.encryption})
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	seen, err := Observe(t.Context(), n.job(pairWithoutKeys(fresh)))
	if err != nil {
		t.Fatal(err)
	}
	drift := strings.Join(seen.Drift, "\n")
	for _, want := range []string{n.paths.Encryption.FullchainPath + " holds another certificate", n.paths.Encryption.PrivateKeyPath + " does not belong", "serves another certificate"} {
		if !strings.Contains(drift, want) {
			t.Errorf("drift:\n%s\nwant %q in it", drift, want)
		}
	}
}

// A real nginx, which Debian builds without TLCP: it serves another certificate,
// and the four files are beside its own. What is shown is that they are written,
// that it tests and reloads, and that it goes on.
func TestDeploy_pairBesideARealNginx(t *testing.T) {
	f := newFixture(t)
	p := newSM2Authority(t).pair(t, name)
	options := f.options()
	folder := t.TempDir()
	at := func(base string) string { return filepath.Join(folder, base) }
	options.FullchainPath, options.PrivateKeyPath = at("sign.pem"), at("sign.key")
	options.Encryption = PairFiles{FullchainPath: at("enc.pem"), PrivateKeyPath: at("enc.key")}
	job := f.jobFor(t, options)
	job.Target, job.Material, job.Proof = job.Target.(*Nginx).WithPair(p.encryption), p.signing, Proof{}
	result, err := Deploy(t.Context(), job)
	if err != nil || result.Proven != ByFile || !result.Reloaded {
		t.Fatalf("%+v %v, want files that are in place and a reload", result, err)
	}
	for path, want := range map[string]pki.Key{options.PrivateKeyPath: p.signing.Key, options.Encryption.PrivateKeyPath: p.encryption.Key} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := pki.ParseKey(text); err != nil || key.Hash() != want.Hash() {
			t.Errorf("%s: %v, want the key", path, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", path, info, err)
		}
	}
	f.wantServed(t, f.old)
	noKeys(t, f.log.String(), p.signing.Key, p.encryption.Key)
}
