package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// sm2Key is a new key of SM2.
func sm2Key(t testing.TB) Key {
	t.Helper()
	key, err := GenerateKey(SM2)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sm2Party is a holder of an SM2 key and its certificate.
type sm2Party struct {
	key         Key
	certificate *x509.Certificate
}

// certifies makes a certificate by another implementation than ours.
func (p sm2Party) certifies(t testing.TB, key Key, usage smx509.KeyUsage, names ...string) sm2Party {
	t.Helper()
	template := &smx509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, KeyUsage: usage, BasicConstraintsValid: true, IsCA: len(names) == 0,
		Subject: pkix.Name{CommonName: strings.Join(append(names, "SM2 CA"), " ")},
	}
	parent, signer := template, key.Signer()
	if p.certificate != nil {
		var err error
		if parent, err = smx509.ParseCertificate(p.certificate.Raw); err != nil {
			t.Fatal(err)
		}
		signer = p.key.Signer()
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return sm2Party{key, certificate}
}

const (
	signs    = smx509.KeyUsageDigitalSignature
	encrypts = smx509.KeyUsageKeyEncipherment
	certCA   = smx509.KeyUsageCertSign
)

func TestSM2_key(t *testing.T) {
	key := sm2Key(t)
	text, err := key.PEM()
	if err != nil || key.Algorithm() != SM2 || len(key.Hash()) != 64 {
		t.Fatalf("%s, algorithm %s, hash %q, %v", text, key.Algorithm(), key.Hash(), err)
	}
	again, err := ParseKey(text)
	if err != nil || again.Hash() != key.Hash() || again.Algorithm() != SM2 {
		t.Fatalf("read again: %s %v, want the same key", again.Algorithm(), err)
	}
	block, _ := pem.Decode(text)
	foreign, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !foreign.(*sm2.PrivateKey).Equal(key.Signer()) {
		t.Errorf("another implementation reads %v (%v), want the same key", foreign, err)
	}
	sec1, err := smx509.MarshalSM2PrivateKey(key.Signer().(*sm2.PrivateKey))
	for _, kind := range []string{"EC PRIVATE KEY", "SM2 PRIVATE KEY"} {
		if again, err := ParseKey(pemOf(t, kind, sec1, err)); err != nil || again.Hash() != key.Hash() {
			t.Errorf("%s: %v, want the same key", kind, err)
		}
	}
	for sentence, broken := range map[string][]byte{"cut off": block.Bytes[:40], "empty": nil, "zero": make([]byte, 40)} {
		if _, err := ParseKey(pemOf(t, "PRIVATE KEY", broken, nil)); err == nil {
			t.Errorf("%s: no error", sentence)
		}
	}
}

func TestSM2_certificate(t *testing.T) {
	root := sm2Party{}.certifies(t, sm2Key(t), certCA)
	leaf := root.certifies(t, sm2Key(t), signs, "www.sm2.test")
	foreign, err := smx509.ParseCertificate(leaf.certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCertificates(EncodeCertificates(leaf.certificate, root.certificate))
	if err != nil || len(got) != 2 || !got[0].Equal(leaf.certificate) {
		t.Fatalf("%s %v, want both", subjects(got), err)
	}
	c := got[0]
	if !bytes.Equal(c.RawTBSCertificate, foreign.RawTBSCertificate) || !bytes.Equal(c.RawSubjectPublicKeyInfo, foreign.RawSubjectPublicKeyInfo) {
		t.Error("the signed part or the key is another one than another implementation finds")
	}
	if AlgorithmOf(c.PublicKey) != SM2 || !c.PublicKey.(*ecdsa.PublicKey).Equal(foreign.PublicKey) {
		t.Errorf("the key is %s, want that of SM2", AlgorithmOf(c.PublicKey))
	}
	if len(Fingerprint(c)) != 64 || Serial(c) == "" || strings.Join(Names(c), " ") != "www.sm2.test" || c.VerifyHostname("www.sm2.test") != nil {
		t.Errorf("names %q, want www.sm2.test", Names(c))
	}
	if err := leaf.key.Matches(c); err != nil {
		t.Error(err)
	}
	if err := root.key.Matches(c); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("another key: %v, want %v", err, ErrKeyMismatch)
	}
	damaged := bytes.Replace(c.Raw, c.RawSubjectPublicKeyInfo[len(c.RawSubjectPublicKeyInfo)-60:], make([]byte, 60), 1)
	if _, err := ParseCertificate(damaged); err == nil {
		t.Error("a point that is not on the curve is read")
	}
}

func TestSM2_chain(t *testing.T) {
	root := sm2Party{}.certifies(t, sm2Key(t), certCA)
	intermediate := root.certifies(t, sm2Key(t), certCA)
	leaf := intermediate.certifies(t, sm2Key(t), signs, "www.sm2.test")
	chain, err := OrderChain([]*x509.Certificate{root.certificate, leaf.certificate, intermediate.certificate})
	if err != nil || !chain[0].Equal(leaf.certificate) || !chain[1].Equal(intermediate.certificate) {
		t.Fatalf("%s %v, want leaf, intermediate, root", subjects(chain), err)
	}
	if err := CheckChain(chain); err != nil {
		t.Error(err)
	}
	other := sm2Party{}.certifies(t, sm2Key(t), certCA)
	noCA := root.certifies(t, sm2Key(t), signs, "www.sm2.test")
	forged := noCA.certifies(t, sm2Key(t), signs, "www.victim.test")
	for sentence, chain := range map[string][]*x509.Certificate{
		"of another CA with the same name": {leaf.certificate, other.certificate},
		"signed by a leaf":                 {forged.certificate, noCA.certificate},
		"signed by one of another kind":    {leaf.certificate, newWorld(t).root},
	} {
		if err := CheckChain(chain); !errors.Is(err, ErrChainBroken) {
			t.Errorf("%s: %v, want %v", sentence, err, ErrChainBroken)
		}
	}
}

func TestSM2_request(t *testing.T) {
	key := sm2Key(t)
	der, err := NewRequest(key, []string{"www.sm2.test", "192.0.2.1"}, Subject{Organization: "Example Ltd."}, false)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := smx509.ParseCertificateRequest(der)
	if err != nil || foreign.CheckSignature() != nil {
		t.Fatalf("another implementation refuses it: %v", err)
	}
	request, err := ParseRequest(pemOf(t, "CERTIFICATE REQUEST", der, nil))
	if err != nil || strings.Join(RequestNames(request), " ") != "www.sm2.test 192.0.2.1" || request.Subject.Organization[0] != "Example Ltd." {
		t.Fatalf("%+v %v", request, err)
	}
	damaged := bytes.Replace(der, []byte("www.sm2.test"), []byte("www.sm3.test"), 1)
	if _, err := ParseRequest(pemOf(t, "CERTIFICATE REQUEST", damaged, nil)); !errors.Is(err, errSignature) {
		t.Errorf("a changed request: %v, want %v", err, errSignature)
	}
	ca := sm2Party{}.certifies(t, sm2Key(t), certCA)
	asked, err := NewRequest(key, []string{"www.sm2.test"}, Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckIssued(ca.certifies(t, key, signs, "www.sm2.test").certificate, asked); err != nil {
		t.Error(err)
	}
	if err := CheckIssued(ca.certifies(t, sm2Key(t), signs, "www.sm2.test").certificate, asked); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("for another key: %v, want %v", err, ErrKeyMismatch)
	}
}

func TestSM2_envelope(t *testing.T) {
	signing, encryption := sm2Key(t), sm2Key(t)
	der, err := sm2.MarshalEnvelopedPrivateKey(rand.Reader, signing.Signer().Public().(*ecdsa.PublicKey), encryption.Signer().(*sm2.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := encryption.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for sentence, text := range map[string][]byte{
		"PEM of its type": pemOf(t, "SM2 ENVELOPED PRIVATE KEY", der, nil), "PEM of another type": pemOf(t, "PRIVATE KEY", der, nil),
		"base64": []byte(base64.StdEncoding.EncodeToString(der) + "\n"), "DER": der, "not wrapped": plain,
	} {
		if got, err := signing.OpenEnveloped(text); err != nil || got.Hash() != encryption.Hash() {
			t.Errorf("%s: %v, want the key", sentence, err)
		}
	}
	ecdsaKey, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, owner := range map[string]Key{"another key": encryption, "no key": {}, "a key of another kind": ecdsaKey} {
		if got, err := owner.OpenEnveloped(der); err == nil || !got.Empty() {
			t.Errorf("%s opens it", sentence)
		}
	}
	for n := range 20 { // whatever is damaged
		damaged := bytes.Clone(der)
		damaged[n*len(damaged)/20] ^= 0xff
		if got, err := signing.OpenEnveloped(damaged); err == nil && got.Hash() != encryption.Hash() {
			t.Errorf("byte %d changed: another key comes out", n*len(damaged)/20)
		}
	}
}

func TestCheckPair(t *testing.T) {
	ca := sm2Party{}.certifies(t, sm2Key(t), certCA)
	signing, encryption := ca.certifies(t, sm2Key(t), signs, "www.sm2.test"), ca.certifies(t, sm2Key(t), encrypts, "www.sm2.test")
	if err := CheckPair(signing.certificate, encryption.certificate); err != nil {
		t.Error(err)
	}
	for sentence, second := range map[string]*x509.Certificate{
		"swapped usages":    signing.certificate,
		"other names":       ca.certifies(t, sm2Key(t), encrypts, "mail.sm2.test").certificate,
		"one key for both":  ca.certifies(t, signing.key, encrypts, "www.sm2.test").certificate,
		"only a signature":  ca.certifies(t, sm2Key(t), signs, "www.sm2.test").certificate,
		"of another family": newWorld(t).leaf,
	} {
		if err := CheckPair(signing.certificate, second); !errors.Is(err, ErrPair) {
			t.Errorf("%s: %v, want %v", sentence, err, ErrPair)
		}
	}
	if err := CheckPair(encryption.certificate, signing.certificate); !errors.Is(err, ErrPair) {
		t.Errorf("the wrong way round: %v, want %v", err, ErrPair)
	}
}

func TestSM2_keystoresRefuseIt(t *testing.T) {
	ca := sm2Party{}.certifies(t, sm2Key(t), certCA)
	entry := KeystoreEntry{Alias: "a", Key: ca.key, Chain: []*x509.Certificate{ca.certificate}}
	for _, kind := range kinds() {
		if _, err := WriteKeystore(kind, nil, "secret", entry); !errors.Is(err, ErrSM2Keystore) {
			t.Errorf("%s: %v, want %v", kind, err, ErrSM2Keystore)
		}
	}
	if _, err := EncodePKCS7(ca.certificate); !errors.Is(err, ErrPKCS7) {
		t.Errorf("PKCS#7: %v, want %v", err, ErrPKCS7)
	}
}

// OpenSSL is what made, or will read, the files of most people.
func TestSM2_asOpenSSLReadsAndWritesIt(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	run(t, "openssl", "genpkey", "-algorithm", "SM2", "-out", at("ca.key"))
	const identity = "distid:1234567812345678"
	run(t, "openssl", "req", "-x509", "-new", "-key", at("ca.key"), "-sm3", "-sigopt", identity, "-subj", "/CN=OpenSSL CA", "-days", "30",
		"-addext", "keyUsage=keyCertSign", "-out", at("ca.pem"))
	text, err := os.ReadFile(at("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := ParseKey(text); err != nil || key.Algorithm() != SM2 {
		t.Fatalf("the key that openssl made: %s %v", key.Algorithm(), err)
	}
	key := sm2Key(t)
	der, err := NewRequest(key, []string{"www.sm2.test"}, Subject{Organization: "Example Ltd."}, false)
	write := func(name string, text []byte) {
		if err := os.WriteFile(at(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("www.csr", pemOf(t, "CERTIFICATE REQUEST", der, err))
	run(t, "openssl", "req", "-in", at("www.csr"), "-verify", "-vfyopt", identity, "-noout")
	write("names", []byte("subjectAltName=DNS:www.sm2.test\nkeyUsage=digitalSignature\n"))
	run(t, "openssl", "x509", "-req", "-in", at("www.csr"), "-vfyopt", identity, "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial",
		"-sm3", "-sigopt", identity, "-days", "20", "-extfile", at("names"), "-out", at("www.pem"))
	var text2 []byte
	for _, name := range []string{"www.pem", "ca.pem"} {
		one, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		text2 = append(text2, one...)
	}
	chain, err := ParseCertificates(text2)
	if err != nil || CheckChain(chain) != nil || key.Matches(chain[0]) != nil || CheckIssued(chain[0], der) != nil {
		t.Fatalf("%s: %v, %v", subjects(chain), err, CheckChain(chain))
	}
	text, err = key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	write("www.key", text)
	public := run(t, "openssl", "pkey", "-in", at("www.key"), "-pubout")
	if want := run(t, "openssl", "x509", "-in", at("www.pem"), "-noout", "-pubkey"); public != want {
		t.Errorf("openssl reads the key\n%s, want\n%s", public, want)
	}
	block, _ := pem.Decode([]byte(public))
	if read, err := ParsePublicKey(block.Bytes); err != nil || PublicHash(read) != key.Hash() {
		t.Errorf("the public key that openssl wrote: %v", err)
	}
}

func FuzzParseCertificate(f *testing.F) {
	ca := sm2Party{}.certifies(f, sm2Key(f), certCA)
	f.Add(ca.certificate.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCertificate(der)
		if err == nil && !bytes.Equal(c.Raw, der) {
			t.Error("the certificate is not the text")
		}
	})
}
