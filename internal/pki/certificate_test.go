package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseCertificates(t *testing.T) {
	w := newWorld(t)
	text := EncodeCertificates(w.leaf, w.root)
	got, err := ParseCertificates(append([]byte("Bag Attributes\n  friendlyName: x\n"+string(pemOf(t, "EC PARAMETERS", []byte{1}, nil))), text...))
	if err != nil || len(got) != 2 || !got[0].Equal(w.leaf) || !got[1].Equal(w.root) {
		t.Errorf("%s, %v", subjects(got), err)
	}
	if again := EncodeCertificates(got...); !bytes.Equal(again, text) {
		t.Errorf("written again:\n%s, want\n%s", again, text)
	}
	for sentence, none := range map[string]string{
		"nothing": "", "no PEM": "x", "only a request": string(pemOf(t, "CERTIFICATE REQUEST", w.leaf.Raw, nil)),
	} {
		if _, err := ParseCertificates([]byte(none)); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("%s: %v, want %v", sentence, err, ErrNoCertificate)
		}
	}
	damaged := append(EncodeCertificates(w.leaf), pemOf(t, "CERTIFICATE", w.leaf.Raw[:100], nil)...)
	if _, err := ParseCertificates(damaged); err == nil || !strings.Contains(err.Error(), "certificate 2") {
		t.Errorf("error %v, want the number of the damaged one in it", err)
	}
}

// The files in testdata were made and described by openssl x509 -serial
// -fingerprint -sha256.
func TestSerialAndFingerprint_asOpensslShowsThem(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.pem"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		certificates, err := ParseCertificates(text)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				said[key] = strings.ToLower(strings.ReplaceAll(value, ":", ""))
			}
		}
		if got, want := Serial(certificates[0]), said["serial"]; want == "" || got != want {
			t.Errorf("%s: serial %q, want %q", file, got, want)
		}
		if got, want := Fingerprint(certificates[0]), said["sha256 Fingerprint"]; want == "" || got != want {
			t.Errorf("%s: fingerprint %q, want %q", file, got, want)
		}
	}
}

func TestSerial(t *testing.T) {
	for want, serial := range map[string]*big.Int{
		"00": big.NewInt(0), "0a": big.NewInt(10), "ff": big.NewInt(255), "0100": big.NewInt(256),
		"ffffffffffffffffffff": new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 80), big.NewInt(1)),
	} {
		if got := Serial(&x509.Certificate{SerialNumber: serial}); got != want {
			t.Errorf("%s: %q, want %q", serial, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for sentence, test := range map[string]struct {
		certificate x509.Certificate
		want        []string
	}{
		"alternative names":                  {x509.Certificate{DNSNames: []string{"b", "a"}}, []string{"b", "a"}},
		"the common name beside is repeated": {x509.Certificate{DNSNames: []string{"a"}, Subject: pkix.Name{CommonName: "c"}}, []string{"a"}},
		"the common name alone":              {x509.Certificate{Subject: pkix.Name{CommonName: "c"}}, []string{"c"}},
		"no name":                            {x509.Certificate{}, nil},
	} {
		if got := Names(&test.certificate); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", sentence, got, test.want)
		}
	}
}

func requestOf(t testing.TB, key Key, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestNewRequest(t *testing.T) {
	key := newParty(t, "x").key
	long := label(63) + "." + label(63) + ".example.com" // does not fit a common name
	der, err := NewRequest(key, []string{long, "*.example.com"}, Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	request, err := ParseRequest(pemOf(t, "CERTIFICATE REQUEST", der, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := request.DNSNames, []string{long, "*.example.com"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if got := request.Subject.String(); got != "" {
		t.Errorf("subject %q, want none", got)
	}
}

func TestParseRequest_refusals(t *testing.T) {
	key := newParty(t, "x").key
	good := requestOf(t, key, x509.CertificateRequest{DNSNames: []string{"a.example.com"}})
	forged := slices.Clone(good)
	forged[bytes.Index(forged, []byte("a.example.com"))] = 'b'
	for sentence, test := range map[string]struct {
		text []byte
		is   error
	}{
		"nothing":                 {nil, ErrNoRequest},
		"a certificate":           {EncodeCertificates(newWorld(t).leaf), ErrNoRequest},
		"half of it":              {pemOf(t, "CERTIFICATE REQUEST", good[:50], nil), nil},
		"other names than signed": {pemOf(t, "CERTIFICATE REQUEST", forged, nil), nil},
	} {
		got, err := ParseRequest(test.text)
		if err == nil || got != nil || (test.is != nil && !errors.Is(err, test.is)) {
			t.Errorf("%s: %v, %v, want an error %v", sentence, got, err, test.is)
		}
	}
	for _, kind := range []string{"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"} {
		if _, err := ParseRequest(pemOf(t, kind, good, nil)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestCheckIssued(t *testing.T) {
	key, other := newParty(t, "x").key, newParty(t, "y").key
	made := func(public crypto.PublicKey, names ...string) *x509.Certificate {
		hosts, addresses := SplitNames(names)
		return &x509.Certificate{PublicKey: public, DNSNames: hosts, IPAddresses: addresses}
	}
	address := x509.CertificateRequest{DNSNames: []string{"a.example.com"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1")}}
	both := x509.CertificateRequest{DNSNames: []string{"a.example.com", "B.example.com"}}
	for sentence, test := range map[string]struct {
		certificate *x509.Certificate
		request     x509.CertificateRequest
		ok          bool
		is          error
	}{
		"what was asked for":                        {made(key.Signer().Public(), "a.example.com", "b.example.com"), both, true, nil},
		"in another order and case":                 {made(key.Signer().Public(), "b.example.com", "A.example.com"), both, true, nil},
		"a name twice":                              {made(key.Signer().Public(), "a.example.com", "b.example.com", "a.example.com"), both, true, nil},
		"a name missing":                            {made(key.Signer().Public(), "a.example.com"), both, false, nil},
		"a name more":                               {made(key.Signer().Public(), "a.example.com", "b.example.com", "c.example.com"), both, false, nil},
		"no name":                                   {made(key.Signer().Public()), both, false, nil},
		"the wildcard instead":                      {made(key.Signer().Public(), "*.example.com"), both, false, nil},
		"another key":                               {made(other.Signer().Public(), "a.example.com", "b.example.com"), both, false, ErrKeyMismatch},
		"asked for in the common name only":         {made(key.Signer().Public(), "a.example.com"), x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com"}}, true, nil},
		"asked for in the common name too":          {made(key.Signer().Public(), "a.example.com", "b.example.com"), x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com"}, DNSNames: []string{"b.example.com"}}, true, nil},
		"the common name asked for is missing":      {made(key.Signer().Public(), "b.example.com"), x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com"}, DNSNames: []string{"b.example.com"}}, false, nil},
		"a common name that is no name of a server": {made(key.Signer().Public(), "b.example.com"), x509.CertificateRequest{Subject: pkix.Name{CommonName: "My Company"}, DNSNames: []string{"b.example.com"}}, true, nil},
		"a name and an address":                     {made(key.Signer().Public(), "a.example.com", "192.0.2.1"), address, true, nil},
		"an address missing":                        {made(key.Signer().Public(), "a.example.com"), address, false, nil},
		"an address more":                           {made(key.Signer().Public(), "a.example.com", "192.0.2.1", "2001:db8::1"), address, false, nil},
		"another address":                           {made(key.Signer().Public(), "a.example.com", "192.0.2.2"), address, false, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := CheckIssued(test.certificate, requestOf(t, key, test.request))
			if (err == nil) != test.ok || (test.is != nil && !errors.Is(err, test.is)) {
				t.Errorf("error %v, want none: %t, %v", err, test.ok, test.is)
			}
		})
	}
	if err := CheckIssued(made(key.Signer().Public()), []byte("x")); err == nil {
		t.Error("a damaged request: no error")
	}
}

func FuzzParseCertificates(f *testing.F) {
	w := newWorld(f)
	f.Add(EncodeCertificates(w.leaf, w.issuing))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		certificates, err := ParseCertificates(text)
		if (err == nil) != (len(certificates) > 0) {
			t.Fatalf("%d certificates, %v", len(certificates), err)
		}
		if err != nil {
			return
		}
		again, err := ParseCertificates(EncodeCertificates(certificates...))
		if err != nil || !slices.EqualFunc(again, certificates, (*x509.Certificate).Equal) {
			t.Errorf("written and read again: %v", err)
		}
		// What strangers send must not make these panic or loop.
		_ = CheckChain(certificates)
		_, _ = OrderChain(certificates)
		_, _, _ = Serial(certificates[0]), Fingerprint(certificates[0]), Names(certificates[0])
	})
}

func FuzzParseRequest(f *testing.F) {
	key := newParty(f, "x").key
	f.Add(pemOf(f, "CERTIFICATE REQUEST", requestOf(f, key, x509.CertificateRequest{DNSNames: []string{"a.example.com"}}), nil))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := ParseRequest(text)
		if (err == nil) != (request != nil) {
			t.Fatalf("%v, %v", request, err)
		}
		if err != nil {
			return
		}
		if _, err := ParseRequest(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request.Raw})); err != nil {
			t.Errorf("written and read again: %v", err)
		}
	})
}
