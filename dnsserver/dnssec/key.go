// Package dnssec has what signs a zone: keys in files, signatures that are made
// when they are asked for, and the way from one key to the next.
//
// It answers nothing and knows no records but those it is given. Its invariant:
// a key is taken out of use only when nobody can still need it, as far as the
// waiting times of RFC 7583 tell.
package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"
)

// algorithm is the one of all keys: ECDSA with P-256 and SHA-256 (RFC 6605),
// whose signatures are small and which every validator knows.
const algorithm = dns.ECDSAP256SHA256

// Key is a combined signing key: it signs the zone, and the parent's DS is of
// it.
type Key struct {
	Public *dns.DNSKEY
	signer crypto.Signer // nil: the private half is not here
}

// ErrMissing says that there is no file with the private half of a key.
var ErrMissing = errors.New("the private key is not here")

// NewKey makes a key for a zone.
func NewKey(zone string, ttl uint32) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", zone, err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", zone, err)
	}
	return &Key{public(zone, ttl, point[1:]), private}, nil // without the mark of an uncompressed point (RFC 6605 §4)
}

func public(zone string, ttl uint32, point []byte) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: ttl},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: algorithm, PublicKey: encode(point),
	}
}

// Tag is the key tag (RFC 4034 appendix B), for people: it is not unique.
func (k *Key) Tag() uint16 { return k.Public.KeyTag() }

// Signs reports whether the private half is here.
func (k *Key) Signs() bool { return k.signer != nil }

// DS is the record for the parent zone, with SHA-256 (RFC 4509).
func (k *Key) DS() *dns.DS { return k.Public.ToDS(dns.SHA256) }

// file is the name of the key's files, as BIND has it, without its ending.
func (k *Key) file(folder string) string {
	zone := strings.ReplaceAll(k.Public.Hdr.Name, "/", "_")
	return filepath.Join(folder, fmt.Sprintf("K%s+%03d+%05d", zone, algorithm, k.Tag()))
}

// Save writes the key into a folder in the files that BIND's tools read: .key
// and, with mode 0600, .private. The folder is made where it is not there.
func (k *Key) Save(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("keep the key of %s: %w", k.Public.Hdr.Name, err)
	}
	private, ok := k.signer.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("keep the key of %s: %w", k.Public.Hdr.Name, ErrMissing)
	}
	for _, file := range []struct {
		ending, text string
		mode         os.FileMode
	}{{".private", k.Public.PrivateKeyString(private), 0o600}, {".key", k.Public.String() + "\n", 0o644}} {
		if err := write(k.file(folder)+file.ending, file.text, file.mode); err != nil {
			return fmt.Errorf("keep the key of %s: %w", k.Public.Hdr.Name, err)
		}
	}
	return nil
}

// write makes a file that was not there, whole and on disk.
func write(path, text string, mode os.FileMode) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Load returns the key of a DNSKEY record, with its private half where a folder
// has that; else the error wraps ErrMissing, and the key signs nothing.
func Load(folder string, record *dns.DNSKEY) (*Key, error) {
	k := &Key{Public: record}
	text, err := os.ReadFile(k.file(folder) + ".private")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return k, fmt.Errorf("%w: %s.private; copy it from the server that made it", ErrMissing, k.file(folder))
	case err != nil:
		return k, err
	}
	private, err := record.NewPrivateKey(string(text))
	if err != nil {
		return k, fmt.Errorf("%s.private cannot be read: %w", k.file(folder), err)
	}
	signer, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return k, fmt.Errorf("%s.private is no key of ECDSA", k.file(folder))
	}
	point, err := signer.PublicKey.Bytes()
	if err != nil || encode(point[1:]) != record.PublicKey {
		return k, fmt.Errorf("%s.private is of another key", k.file(folder))
	}
	k.signer = signer
	return k, nil
}

// Find returns the keys of a zone that a folder has, as after somebody copied
// them there.
func Find(folder, zone string) ([]*Key, error) {
	pattern := filepath.Join(folder, fmt.Sprintf("K%s+%03d+?????.key", strings.ReplaceAll(zone, "/", "_"), algorithm))
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var keys []*Key
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		rr, err := dns.NewRR(string(text))
		record, ok := rr.(*dns.DNSKEY)
		if err != nil || !ok || record.Flags != dns.ZONE|dns.SEP || record.Hdr.Name != zone {
			return nil, fmt.Errorf("%s is no combined signing key of %s (%w)", file, zone, err)
		}
		k, err := Load(folder, record)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}
