package pki

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPKCS7_keepsTheChain(t *testing.T) {
	t.Parallel()
	want := keyAndChain(t, ECDSAP256, "web").Chain
	text, err := EncodePKCS7(want...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePKCS7(text)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, (*x509.Certificate).Equal) {
		t.Errorf("read %d certificates, want the chain of %d", len(got), len(want))
	}
	file := filepath.Join(t.TempDir(), "chain.p7b")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := run(t, "openssl", "pkcs7", "-in", file, "-print_certs"); strings.Count(said, "BEGIN CERTIFICATE") != len(want) {
		t.Errorf("openssl finds:\n%s", said)
	}
	for _, broken := range [][]byte{nil, []byte("nonsense"), EncodeCertificates(want...), text[:len(text)/2]} {
		if _, err := ParsePKCS7(broken); !errors.Is(err, ErrPKCS7) {
			t.Errorf("%d broken bytes: %v, want ErrPKCS7", len(broken), err)
		}
	}
}
