package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func pemOf(t testing.TB, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// keyTexts are keys in each encoding that is read.
func keyTexts(t testing.TB) map[string]struct {
	text   []byte
	signer crypto.Signer
} {
	t.Helper()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemOf(t, "PRIVATE KEY", der, err)
	}
	sec1, err := x509.MarshalECPrivateKey(p384)
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 5, 43, 129, 4, 0, 34}})
	return map[string]struct {
		text   []byte
		signer crypto.Signer
	}{
		"PKCS#8 with RSA":               {pkcs8(modulus), modulus},
		"PKCS#8 with ECDSA":             {pkcs8(p384), p384},
		"PKCS#8 with Ed25519":           {pkcs8(edwards), edwards},
		"PKCS#1":                        {pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(modulus), nil), modulus},
		"SEC 1":                         {pemOf(t, "EC PRIVATE KEY", sec1, err), p384},
		"SEC 1 after curve parameters":  {append(parameters, pemOf(t, "EC PRIVATE KEY", sec1, err)...), p384},
		"text before and after the key": {[]byte("my key\n\n" + string(pkcs8(p384)) + "\nthe end\n"), p384},
	}
}

func TestParseKey(t *testing.T) {
	for sentence, test := range keyTexts(t) {
		t.Run(sentence, func(t *testing.T) {
			key, err := ParseKey(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if err := samePublicKey(key.Signer().Public(), test.signer.Public()); err != nil {
				t.Error(err)
			}
			text, err := key.PEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseKey(text)
			if err != nil || samePublicKey(again.Signer().Public(), test.signer.Public()) != nil {
				t.Errorf("written and read again: %v", err)
			}
			if block, rest := pem.Decode(text); block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
				t.Error("PEM wrote something else than one PKCS#8 block")
			}
		})
	}
}

func TestParseKey_refusals(t *testing.T) {
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exchangeDER, err := x509.MarshalPKCS8PrivateKey(exchange)
	exchangeText := pemOf(t, "PRIVATE KEY", exchangeDER, err)
	secret := []byte("0123456789abcdefSECRETSECRETSECRETSECRET")
	encrypted := &pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: secret,
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00112233445566778899AABBCCDDEEFF"},
	}
	for sentence, test := range map[string]struct {
		text    []byte
		is      error
		problem string
	}{
		"nothing":                          {nil, ErrNoKey, ""},
		"no PEM":                           {secret, ErrNoKey, ""},
		"only a certificate":               {pemOf(t, "CERTIFICATE", secret, nil), ErrNoKey, ""},
		"half of a block":                  {pemOf(t, "PRIVATE KEY", secret, nil)[:50], ErrNoKey, ""},
		"an encrypted PKCS#8 key":          {pemOf(t, "ENCRYPTED PRIVATE KEY", secret, nil), nil, "passphrase"},
		"an encrypted PKCS#1 key":          {pem.EncodeToMemory(encrypted), nil, "passphrase"},
		"garbage as PKCS#8":                {pemOf(t, "PRIVATE KEY", secret, nil), nil, `"PRIVATE KEY" block is damaged`},
		"garbage as PKCS#1":                {pemOf(t, "RSA PRIVATE KEY", secret, nil), nil, `"RSA PRIVATE KEY" block is damaged`},
		"garbage as SEC 1":                 {pemOf(t, "EC PRIVATE KEY", secret, nil), nil, `"EC PRIVATE KEY" block is damaged`},
		"a key for key agreement only":     {exchangeText, nil, "cannot sign"},
		"one good key after a damaged one": {append(pemOf(t, "PRIVATE KEY", secret, nil), keyTexts(t)["SEC 1"].text...), nil, "damaged"},
	} {
		t.Run(sentence, func(t *testing.T) {
			key, err := ParseKey(test.text)
			if err == nil || !key.Empty() {
				t.Fatalf("key empty: %t, error %v", key.Empty(), err)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %q, want %q", err, test.is)
			}
			if !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %q, want %q in it", err, test.problem)
			}
			for _, shown := range spellings(secret) {
				if strings.Contains(err.Error(), shown) {
					t.Errorf("error %q shows the key", err)
				}
			}
		})
	}
}

// spellings are the forms in which the bytes of a secret could be printed.
func spellings(secret []byte) []string {
	part := secret[8:24]
	decimals := strings.Trim(fmt.Sprintf("%d", part), "[]")
	return []string{
		string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)), decimals,
		strings.ReplaceAll(decimals, " ", ", "), fmt.Sprintf("% x", part), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
		base64.StdEncoding.EncodeToString(secret)[12:28], fmt.Sprintf("%#x", part)[2:],
	}
}

func TestKey_showsItselfNowhere(t *testing.T) {
	for sentence, made := range keyTexts(t) {
		t.Run(sentence, func(t *testing.T) {
			key, err := ParseKey(made.text)
			if err != nil {
				t.Fatal(err)
			}
			var secret []byte
			switch k := made.signer.(type) {
			case ed25519.PrivateKey:
				secret = k.Seed()
			case *ecdsa.PrivateKey:
				if secret, err = k.Bytes(); err != nil {
					t.Fatal(err)
				}
			case *rsa.PrivateKey:
				secret = k.D.Bytes()
			}
			needles := append(spellings(secret), "PRIVATE", fmt.Sprintf("%d", secret[:4]))
			type nested struct {
				Key     Key
				Pointer *Key
				hidden  Key
				within  struct{ key Key }
				list    []Key
				table   map[string]Key
				any     any
			}
			n := nested{Key: key, Pointer: &key, hidden: key, list: []Key{key}, table: map[string]Key{"a": key}, any: key}
			n.within.key = key
			for _, value := range []any{key, &key, n, &n, []Key{key}, map[string]any{"key": key}, []any{n, &n}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "%!", "%z", "%100v", "%.3s"} {
					refuseSecret(t, verb, fmt.Sprintf(verb, value), needles)
				}
				refuseSecret(t, "Sprint", fmt.Sprint(value), needles)
				text, err := json.Marshal(value)
				if err != nil {
					t.Errorf("JSON: %v", err)
				}
				refuseSecret(t, "JSON", string(text), needles)
				refuseSecret(t, "error", fmt.Errorf("it: %v", value).Error(), needles)
				var log bytes.Buffer
				slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
				slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
				refuseSecret(t, "slog", log.String(), needles)
			}
			if got := fmt.Sprintf("%s %v %d %#v", key, key, key, key); got != strings.Repeat(redacted+" ", 3)+redacted {
				t.Errorf("a key prints as %q", got)
			}
			if key.String() != redacted || key.GoString() != redacted {
				t.Errorf("a key is called %q and %q", key.String(), key.GoString())
			}
		})
	}
}

func refuseSecret(t *testing.T, how, text string, needles []string) {
	t.Helper()
	for _, needle := range needles {
		if strings.Contains(text, needle) {
			t.Errorf("%s shows the key", how)
			return
		}
	}
}

func TestKey_algorithm(t *testing.T) {
	for _, algorithm := range Algorithms() {
		if algorithm == RSA8192 || algorithm == RSA4096 {
			continue // seconds each, and the same code as the shorter ones
		}
		key, err := GenerateKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Algorithm(); got != algorithm {
			t.Errorf("algorithm %q, want %q", got, algorithm)
		}
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := AlgorithmOf(p521.Public()); got != "" {
		t.Errorf("P-521 is called %q, want nothing", got)
	}
	if _, err := GenerateKey("DSA"); err == nil || !strings.Contains(err.Error(), string(ECDSAP256)) {
		t.Errorf("error %v, want the algorithms in it", err)
	}
}

func TestKey_zero(t *testing.T) {
	var key Key
	if !key.Empty() || key.Signer() != nil || key.Algorithm() != "" {
		t.Errorf("empty %t, signer %v, algorithm %q", key.Empty(), key.Signer(), key.Algorithm())
	}
	if _, err := key.PEM(); !errors.Is(err, ErrNoKey) {
		t.Errorf("PEM: %v, want %v", err, ErrNoKey)
	}
	if err := key.Matches(&x509.Certificate{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("Matches: %v, want %v", err, ErrNoKey)
	}
	if _, err := NewRequest(key, []string{"a.example.com"}, Subject{}, false); !errors.Is(err, ErrNoKey) {
		t.Errorf("NewRequest: %v, want %v", err, ErrNoKey)
	}
	if got := fmt.Sprintf("%v", key); got != redacted {
		t.Errorf("it prints as %q", got)
	}
}

func TestKey_matches(t *testing.T) {
	for sentence, made := range keyTexts(t) {
		key, err := ParseKey(made.text)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Matches(&x509.Certificate{PublicKey: made.signer.Public()}); err != nil {
			t.Errorf("%s: its own certificate: %v", sentence, err)
		}
		for _, algorithm := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048, Ed25519} {
			other, err := GenerateKey(algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Matches(&x509.Certificate{PublicKey: other.Signer().Public()}); !errors.Is(err, ErrKeyMismatch) {
				t.Errorf("%s: the certificate of another %s key: %v, want %v", sentence, algorithm, err, ErrKeyMismatch)
			}
		}
		if err := key.Matches(&x509.Certificate{}); !errors.Is(err, ErrKeyMismatch) {
			t.Errorf("%s: a certificate with an unknown key: %v, want %v", sentence, err, ErrKeyMismatch)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, made := range keyTexts(f) {
		f.Add(made.text)
	}
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseKey(text)
		if (err == nil) == key.Empty() {
			t.Fatalf("error %v, key empty: %t", err, key.Empty())
		}
		if err != nil {
			if strings.Contains(err.Error(), "-----") || len(err.Error()) > 200 {
				t.Errorf("error %q quotes the text", err)
			}
			return
		}
		written, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(written)
		if err != nil || samePublicKey(again.Signer().Public(), key.Signer().Public()) != nil {
			t.Errorf("written and read again: %v", err)
		}
	})
}
