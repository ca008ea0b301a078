package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jks "github.com/pavlo-v-chernykh/keystore-go/v4"
)

// What can be wrong with a keystore.
var (
	// ErrKeystore says that a file is no keystore of its kind, or damaged.
	ErrKeystore = errors.New("not a keystore that can be read")
	// ErrKeystorePassword says that the password is another one.
	ErrKeystorePassword = errors.New("the keystore has another password")
	// ErrNoEntry says that a keystore has no private key under the alias.
	ErrNoEntry = errors.New("the keystore has no private key under the alias")
	// ErrSM2Keystore says that keystores are not written with SM2.
	ErrSM2Keystore = errors.New("an SM2 key does not go into a PKCS#12 or JKS keystore: the servers that read one do not use it; take PEM files")
)

// KeystoreKind is a file format for private keys under aliases.
type KeystoreKind string

// The kinds of keystores.
const (
	// PKCS12 is RFC 7292, also called PFX; what Java reads since version 8.
	PKCS12 KeystoreKind = "PKCS12"
	// PKCS12Legacy is PKCS12 with the algorithms of its time (3DES, SHA-1), for
	// Windows Server 2016 and Java before 8u301. Reading takes both.
	PKCS12Legacy KeystoreKind = "PKCS12_LEGACY"
	// JKS is Java's own, for servers that read nothing else.
	JKS KeystoreKind = "JKS"
)

// KeystoreKinds lists the kinds in the words of configuration.
func KeystoreKinds() []string {
	return []string{string(PKCS12), string(PKCS12Legacy), string(JKS)}
}

// KeystoreEntry is a private key and its chain, the leaf first, under an alias.
// Aliases do not differ by case.
type KeystoreEntry struct {
	Alias string
	Key   Key
	Chain []*x509.Certificate
}

// ReadKeystore returns the entry under an alias; with an empty alias, the only
// one there is. Errors show nothing of keys or password.
func ReadKeystore(kind KeystoreKind, data []byte, password, alias string) (KeystoreEntry, error) {
	if kind == JKS {
		return readJKS(data, password, alias)
	}
	return readPKCS12(data, password, alias)
}

// WriteKeystore returns a keystore with the entry. What else a keystore that is
// there holds, stays: entries under other aliases as they are. Held is nil for a
// new one.
func WriteKeystore(kind KeystoreKind, held []byte, password string, entry KeystoreEntry) ([]byte, error) {
	switch {
	case entry.Key.Empty():
		return nil, ErrNoKey
	case len(entry.Chain) == 0:
		return nil, ErrNoCertificate
	case entry.Key.Algorithm() == SM2:
		return nil, ErrSM2Keystore
	case kind == JKS:
		return writeJKS(held, password, entry)
	}
	return writePKCS12(kind, held, password, entry)
}

// pick finds the alias that is meant among those of private keys.
func pick(aliases []string, alias string) (string, error) {
	if alias == "" && len(aliases) == 1 {
		return aliases[0], nil
	}
	for _, known := range aliases {
		if alias != "" && strings.EqualFold(known, alias) {
			return known, nil
		}
	}
	if len(aliases) == 0 {
		return "", fmt.Errorf("%w %q; it has none: %w", ErrNoEntry, alias, ErrNoKey)
	}
	slices.Sort(aliases)
	return "", fmt.Errorf("%w %q; it has %q", ErrNoEntry, alias, aliases)
}

func openJKS(data []byte, password string) (jks.KeyStore, error) {
	store := jks.New(jks.WithOrderedAliases())
	if data == nil {
		return store, nil
	}
	// Its errors quote nothing of the content.
	if err := store.Load(bytes.NewReader(data), []byte(password)); err != nil {
		if strings.Contains(err.Error(), "digest") {
			return store, ErrKeystorePassword
		}
		return store, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	return store, nil
}

func readJKS(data []byte, password, alias string) (KeystoreEntry, error) {
	store, err := openJKS(data, password)
	if err != nil {
		return KeystoreEntry{}, err
	}
	found, err := pick(slices.DeleteFunc(store.Aliases(), func(a string) bool { return !store.IsPrivateKeyEntry(a) }), alias)
	if err != nil {
		return KeystoreEntry{}, err
	}
	entry, err := store.GetPrivateKeyEntry(found, []byte(password))
	if err != nil {
		return KeystoreEntry{}, fmt.Errorf("%w for the key %q", ErrKeystorePassword, found)
	}
	private, err := x509.ParsePKCS8PrivateKey(entry.PrivateKey)
	signer, ok := private.(crypto.Signer)
	if err != nil || !ok {
		return KeystoreEntry{}, fmt.Errorf("%w: the key %q cannot be used", ErrKeystore, found)
	}
	chain := make([]*x509.Certificate, len(entry.CertificateChain))
	for n, c := range entry.CertificateChain {
		if chain[n], err = x509.ParseCertificate(c.Content); err != nil {
			return KeystoreEntry{}, fmt.Errorf("%w: certificate %d of %q: %w", ErrKeystore, n+1, found, err)
		}
	}
	return KeystoreEntry{Alias: found, Key: newKey(signer), Chain: chain}, nil
}

func writeJKS(held []byte, password string, entry KeystoreEntry) ([]byte, error) {
	store, err := openJKS(held, password)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(entry.Key.Signer())
	if err != nil {
		return nil, fmt.Errorf("encode the private key for a JKS keystore: %w", err)
	}
	chain := make([]jks.Certificate, len(entry.Chain))
	for n, c := range entry.Chain {
		chain[n] = jks.Certificate{Type: "X509", Content: c.Raw}
	}
	// The date is that of the certificate, so that equal material makes equal files.
	written := jks.PrivateKeyEntry{CreationTime: entry.Chain[0].NotBefore.Truncate(time.Second), PrivateKey: der, CertificateChain: chain}
	if err := store.SetPrivateKeyEntry(entry.Alias, written, []byte(password)); err != nil {
		return nil, fmt.Errorf("write the JKS keystore: %w", err)
	}
	var out bytes.Buffer
	if err := store.Store(&out, []byte(password)); err != nil {
		return nil, fmt.Errorf("write the JKS keystore: %w", err)
	}
	return out.Bytes(), nil
}
