package deploy

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestDeploy_refusedBeforeAnythingIsTouched(t *testing.T) {
	f := newFixture(t)
	changed := func(change func(*x509.Certificate)) Material {
		chain, key := f.ca.Issue(t, f.now, []string{name}, change)
		return Material{chain, key}
	}
	tests := map[string]struct {
		material Material
		want     error
	}{
		"the intermediate is missing":     {Material{f.fresh.Chain[:1], f.fresh.Key}, pki.ErrChainBroken},
		"the chain is in the wrong order": {Material{[]*x509.Certificate{f.fresh.Chain[1], f.fresh.Chain[0]}, f.fresh.Key}, pki.ErrChainBroken},
		"the chain is another CA's":       {Material{[]*x509.Certificate{f.fresh.Chain[0], deploytest.NewAuthority(t, f.now).Intermediate}, f.fresh.Key}, pki.ErrChainBroken},
		"the chain is empty":              {Material{nil, f.fresh.Key}, pki.ErrNoCertificate},
		"the key is another one's":        {Material{f.fresh.Chain, f.old.Key}, pki.ErrKeyMismatch},
		"the name is not covered":         {changed(func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} }), ErrNotCovered},
		"the certificate has expired":     {changed(func(c *x509.Certificate) { c.NotAfter = f.now.Add(-time.Minute) }), ErrNotValid},
		"it is valid from tomorrow":       {changed(func(c *x509.Certificate) { c.NotBefore = f.now.Add(24 * time.Hour) }), ErrNotValid},
		"it is for clients": {changed(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), ErrNotServer},
	}
	before := state(t, f.tls())
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			job := f.job
			job.Material = test.material
			_, err := Deploy(t.Context(), job)
			if !errors.Is(err, test.want) {
				t.Fatalf("error = %v, want %v", err, test.want)
			}
			noKeys(t, err.Error(), f.old.Key, f.fresh.Key, test.material.Key)
			if len(f.machine.runs) != 0 {
				t.Errorf("ran %v", f.machine.runs)
			}
			f.wantRestored(t, before)
		})
	}
}

func TestCheckMaterial_wildcardsAndNoUsageExtension(t *testing.T) {
	now := time.Now()
	chain, key := deploytest.NewAuthority(t, now).Issue(t, now, []string{"*.example.com"}, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	if err := CheckMaterial(Material{chain, key}, name, now); err != nil {
		t.Error(err)
	}
	if err := CheckMaterial(Material{Chain: chain}, "", now); err != nil {
		t.Errorf("without key and server name: %v", err)
	}
}

func TestParseMaterial_chainRepeatsTheLeaf(t *testing.T) {
	now := time.Now()
	chain, key := deploytest.NewAuthority(t, now).Issue(t, now, []string{name})
	for sentence, more := range map[string][]byte{
		"chain alone": pki.EncodeCertificates(chain[1]), "full chain": pki.EncodeCertificates(chain...),
	} {
		m, err := ParseMaterial(pki.EncodeCertificates(chain[0]), more, key)
		if err != nil || len(m.Chain) != 2 {
			t.Errorf("%s: %d certificates, %v; want 2", sentence, len(m.Chain), err)
		}
	}
	if m, err := ParseMaterial(pki.EncodeCertificates(chain...), nil, key); err != nil || len(m.Chain) != 2 {
		t.Errorf("no chain: %d certificates, %v; want 2", len(m.Chain), err)
	}
	if _, err := ParseMaterial(nil, nil, key); !errors.Is(err, pki.ErrNoCertificate) {
		t.Errorf("nothing: %v, want ErrNoCertificate", err)
	}
}

func TestTargets_pathsRefused(t *testing.T) {
	tests := map[string]func() (Target, error){
		"one path twice": func() (Target, error) {
			return NewNginx(NginxOptions{FullchainPath: "/etc/tls/a.pem", PrivateKeyPath: "/etc/tls/../tls/a.pem"})
		},
		"one Windows path twice": func() (Target, error) {
			return NewFiles(FilesOptions{CertificatePath: `C:\tls\a.pem`, PrivateKeyPath: `c:/TLS/a.pem`})
		},
		"no key path": func() (Target, error) { return NewNginx(NginxOptions{FullchainPath: "/etc/tls/a.pem"}) },
		"a relative path": func() (Target, error) {
			return NewFiles(FilesOptions{CombinedPath: "tls/a.pem"})
		},
		"a directory's spelling": func() (Target, error) { return NewFiles(FilesOptions{CombinedPath: "/etc/tls/"}) },
		"no path":                func() (Target, error) { return NewFiles(FilesOptions{}) },
	}
	for sentence, construct := range tests {
		t.Run(sentence, func(t *testing.T) {
			if _, err := construct(); !errors.Is(err, ErrPath) {
				t.Errorf("error = %v, want ErrPath", err)
			}
		})
	}
	if _, err := NewFiles(FilesOptions{CertificatePath: "/a.pem", CertificateMode: fs.ModeDir}); err == nil {
		t.Error("accepted a mode that is no permission")
	}
	if _, err := NewFiles(FilesOptions{CombinedPath: "/a.pem", ReloadCommand: []string{""}}); err == nil {
		t.Error("accepted a command without a program")
	}
}

func TestCheckPaths(t *testing.T) {
	directory := t.TempDir()
	target := func(path string) Target {
		files, err := NewFiles(FilesOptions{CombinedPath: path})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	good := target(filepath.Join(directory, "a.pem"))
	if err := CheckPaths(t.Context(), transport.Local{}, good, ""); err != nil {
		t.Errorf("a good path: %v", err)
	}
	if err := CheckPaths(t.Context(), transport.Local{}, target(filepath.Join(directory, "absent", "a.pem")), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v, want fs.ErrNotExist", err)
	}
	if err := CheckPaths(t.Context(), transport.Local{}, target(directory), ""); err == nil {
		t.Error("a directory was accepted")
	}
	if err := CheckPaths(t.Context(), transport.Local{}, good, filepath.Join(directory, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory for backups: %v, want fs.ErrNotExist", err)
	}
	if files := state(t, directory); len(files) != 0 {
		t.Errorf("left %d files", len(files))
	}
}

func TestDeploy_twoLinksToOneFile(t *testing.T) {
	f := newFixture(t)
	link := filepath.Join(f.tls(), "link.pem")
	f.symlink(t, f.FullchainPath, link)
	options := f.options()
	options.PrivateKeyPath = link
	if _, err := Deploy(t.Context(), f.jobFor(t, options)); !errors.Is(err, ErrPath) {
		t.Errorf("error = %v, want ErrPath", err)
	}
}
