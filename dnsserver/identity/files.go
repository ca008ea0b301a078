package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// The files of the folder, each with mode 0600. Key and chain are in one file,
// so that they fit each other whatever is cut off.
const (
	accountFile     = "account.pem"
	certificateFile = "certificate.pem"
)

func (k *Keeper) path(name string) string { return filepath.Join(k.config.Folder, name) }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// readPair reads private key and chain from one file.
func readPair(path string) (*tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func writePair(path string, pair *tls.Certificate) error {
	var text bytes.Buffer
	if err := encodeKey(&text, pair.PrivateKey); err != nil {
		return err
	}
	for _, der := range pair.Certificate {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	return replace(path, text.Bytes())
}

func readKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM; remove it to register anew", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that signs nothing", path)
	}
	return signer, nil
}

func writeKey(path string, key crypto.Signer) error {
	var text bytes.Buffer
	if err := encodeKey(&text, key); err != nil {
		return err
	}
	return replace(path, text.Bytes())
}

func encodeKey(to *bytes.Buffer, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return pem.Encode(to, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// replace writes a file beside the old one and puts it into its place.
func replace(path string, text []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// sweep removes what a crash left of replace.
func (k *Keeper) sweep() error {
	var errs []error
	for _, name := range []string{accountFile, certificateFile} {
		left, err := filepath.Glob(k.path("." + name + ".*"))
		errs = append(errs, err)
		for _, file := range left {
			errs = append(errs, os.Remove(file))
		}
	}
	return errors.Join(errs...)
}

// newPlaceholder is a certificate by nobody, for a day.
func newPlaceholder(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "certificate-dns has no certificate yet"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate to begin with: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
