package pki

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // the MAC of files that others wrote
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"
)

// The library reads and writes files with one key and without its name. Tomcat
// and others find keys by name, and a file may hold other keys that have to stay.
// So the library does what needs a cipher, for one key at a time, and here the
// parts are taken out of a file and put together again (RFC 7292 §4 and §5).

// pfx is PFX of RFC 7292 §4.
type pfx struct {
	Version  int
	AuthSafe contentInfo
	MAC      macData `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type macData struct {
	MAC        digestInfo
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type digestInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue     `asn1:"tag:0,explicit"`
	Attributes []pkcs12Attribute `asn1:"set,optional"`
}

type pkcs12Attribute struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue `asn1:"set"`
}

func oid(last ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113549, 1}, last...)
}

func oidData() asn1.ObjectIdentifier         { return oid(7, 1) }
func oidFriendlyName() asn1.ObjectIdentifier { return oid(9, 20) }

// isKeyBag tells keyBag and pkcs8ShroudedKeyBag (RFC 7292 §4.2).
func isKeyBag(id asn1.ObjectIdentifier) bool {
	return id.Equal(oid(12, 10, 1, 1)) || id.Equal(oid(12, 10, 1, 2))
}

// parts are what a file is made of: bags of keys, by name, and everything else.
type parts struct {
	keys   []safeBag
	others []contentInfo // mostly the encrypted certificates
	mac    crypto.Hash
}

func readPKCS12(data []byte, password, alias string) (KeystoreEntry, error) {
	p, err := openPKCS12(data, password)
	if err != nil {
		return KeystoreEntry{}, err
	}
	return p.entry(password, alias)
}

// entry decrypts one key and finds its chain among the certificates.
func (p parts) entry(password, alias string) (KeystoreEntry, error) {
	names := make([]string, len(p.keys))
	for n, bag := range p.keys {
		names[n] = friendlyName(bag)
	}
	found, err := pick(slices.Clone(names), alias)
	if err != nil {
		return KeystoreEntry{}, err
	}
	bag := p.keys[slices.Index(names, found)]
	entry := KeystoreEntry{Alias: found}
	var pool []*x509.Certificate
	for _, other := range p.others {
		signer, certificates, err := decodeOne(other, bag, password)
		if err != nil {
			return KeystoreEntry{}, err
		}
		if signer != nil {
			entry.Key = newKey(signer)
		}
		pool = append(pool, certificates...)
	}
	if entry.Key.Empty() {
		return KeystoreEntry{}, fmt.Errorf("%w: there is no certificate beside the key %q", ErrKeystore, found)
	}
	entry.Chain = chainOf(entry.Key, pool)
	if len(entry.Chain) == 0 {
		return KeystoreEntry{}, fmt.Errorf("%w: there is no certificate of the key %q", ErrKeystore, found)
	}
	return entry, nil
}

// chainOf follows the certificate of a key to the end of what is there.
func chainOf(key Key, pool []*x509.Certificate) []*x509.Certificate {
	at := slices.IndexFunc(pool, func(c *x509.Certificate) bool { return key.Matches(c) == nil })
	if at < 0 {
		return nil
	}
	chain, _ := longestChain([]*x509.Certificate{pool[at]}, pool)
	return chain
}

// decodeOne has the library decrypt a part with certificates and one key. It
// returns no key where the part holds no certificate.
func decodeOne(part contentInfo, key safeBag, password string) (crypto.Signer, []*x509.Certificate, error) {
	keys, err := dataOf([]safeBag{key})
	if err != nil {
		return nil, nil, err
	}
	file, err := assemble([]contentInfo{part, keys}, password, crypto.SHA256)
	if err != nil {
		return nil, nil, err
	}
	private, leaf, more, err := pkcs12.DecodeChain(file, password)
	switch {
	case errors.Is(err, pkcs12.ErrDecryption), errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, ErrKeystorePassword
	case err != nil && strings.Contains(err.Error(), "certificate missing"):
		return nil, nil, nil
	case err != nil:
		// The library's words are about structure and algorithms.
		return nil, nil, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%w: the key cannot sign (%T)", ErrKeystore, private)
	}
	return signer, append([]*x509.Certificate{leaf}, more...), nil
}

func writePKCS12(kind KeystoreKind, held []byte, password string, entry KeystoreEntry) ([]byte, error) {
	encoder, mac := pkcs12.Modern2023, crypto.SHA256
	if kind == PKCS12Legacy {
		encoder, mac = pkcs12.LegacyDES, crypto.SHA1
	}
	whole, err := encoder.Encode(entry.Key.Signer(), entry.Chain[0], entry.Chain[1:], password)
	if err != nil {
		return nil, fmt.Errorf("write the PKCS#12 keystore: %w", err)
	}
	fresh, err := openPKCS12(whole, password)
	if err != nil {
		return nil, err
	}
	for n := range fresh.keys {
		if fresh.keys[n].Attributes, err = named(fresh.keys[n].Attributes, entry.Alias); err != nil {
			return nil, err
		}
	}
	if held != nil {
		before, err := openPKCS12(held, password)
		if err != nil {
			return nil, err
		}
		kept := before.without(password, entry.Alias)
		fresh.keys, fresh.others = append(kept.keys, fresh.keys...), append(kept.others, fresh.others...)
	}
	keys, err := dataOf(fresh.keys)
	if err != nil {
		return nil, err
	}
	return assemble(append(fresh.others, keys), password, mac)
}

// without drops a key, and what holds nothing but its certificates: parts that
// were written here. Java passes over certificates whose key is gone.
func (p parts) without(password, alias string) parts {
	old, err := p.entry(password, alias)
	if err != nil {
		return p // there is none
	}
	bag := slices.IndexFunc(p.keys, func(b safeBag) bool { return friendlyName(b) == old.Alias })
	kept := parts{keys: slices.Delete(slices.Clone(p.keys), bag, bag+1)}
	for _, other := range p.others {
		_, certificates, err := decodeOne(other, p.keys[bag], password)
		alone := err == nil && len(certificates) > 0 && old.Key.Matches(certificates[0]) == nil &&
			!slices.ContainsFunc(certificates[1:], func(c *x509.Certificate) bool { return !c.IsCA })
		if !alone {
			kept.others = append(kept.others, other)
		}
	}
	return kept
}

// openPKCS12 checks the password and takes a file apart.
func openPKCS12(data []byte, password string) (parts, error) {
	var file pfx
	rest, err := asn1.Unmarshal(data, &file)
	if err != nil || len(rest) > 0 || file.Version != 3 || !file.AuthSafe.Type.Equal(oidData()) {
		return parts{}, fmt.Errorf("%w: it is no PKCS#12 file that a password protects", ErrKeystore)
	}
	var safe []byte
	if _, err := asn1.Unmarshal(file.AuthSafe.Content.Bytes, &safe); err != nil {
		return parts{}, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	p := parts{mac: hashOf(file.MAC.MAC.Algorithm.Algorithm)}
	if p.mac == 0 {
		return parts{}, fmt.Errorf("%w: its MAC algorithm %s is not known", ErrKeystore, file.MAC.MAC.Algorithm.Algorithm)
	}
	if file.MAC.Iterations > mostIterations {
		return parts{}, fmt.Errorf("%w: its MAC takes %d iterations", ErrKeystore, file.MAC.Iterations)
	}
	if !hmac.Equal(macOf(p.mac, file.MAC.Salt, max(file.MAC.Iterations, 1), password, safe), file.MAC.MAC.Digest) {
		return parts{}, ErrKeystorePassword
	}
	var contents []contentInfo
	if _, err := asn1.Unmarshal(safe, &contents); err != nil {
		return parts{}, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	for _, content := range contents {
		if err := p.sort(content); err != nil {
			return parts{}, err
		}
	}
	return p, nil
}

// sort puts the bags of a content to the keys or the content to the others.
func (p *parts) sort(content contentInfo) error {
	if !content.Type.Equal(oidData()) {
		p.others = append(p.others, content)
		return nil
	}
	var text []byte
	if _, err := asn1.Unmarshal(content.Content.Bytes, &text); err != nil {
		return fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	var bags []safeBag
	if _, err := asn1.Unmarshal(text, &bags); err != nil {
		return fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	var others []safeBag
	for _, bag := range bags {
		if isKeyBag(bag.ID) {
			p.keys = append(p.keys, bag)
		} else {
			others = append(others, bag)
		}
	}
	if len(others) == 0 {
		return nil
	}
	data, err := dataOf(others)
	p.others = append(p.others, data)
	return err
}

// dataOf is a content of bags that is not encrypted as a whole.
func dataOf(bags []safeBag) (contentInfo, error) {
	text, err := asn1.Marshal(bags)
	if err == nil {
		text, err = asn1.Marshal(text)
	}
	if err != nil {
		return contentInfo{}, fmt.Errorf("write the PKCS#12 keystore: %w", err)
	}
	return contentInfo{oidData(), asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: text}}, nil
}

const (
	macIterations  = 10_000
	mostIterations = 5_000_000 // a file that asks for more is meant to hang its reader
)

// assemble makes a file of contents, with its MAC.
func assemble(contents []contentInfo, password string, mac crypto.Hash) ([]byte, error) {
	safe, err := asn1.Marshal(contents)
	if err != nil {
		return nil, fmt.Errorf("write the PKCS#12 keystore: %w", err)
	}
	octets, err := asn1.Marshal(safe)
	if err != nil {
		return nil, fmt.Errorf("write the PKCS#12 keystore: %w", err)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails (Go 1.24)
	algorithm := pkix.AlgorithmIdentifier{Algorithm: hashOIDs()[mac], Parameters: asn1.NullRawValue}
	file, err := asn1.Marshal(pfx{
		Version:  3,
		AuthSafe: contentInfo{oidData(), asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: octets}},
		MAC:      macData{digestInfo{algorithm, macOf(mac, salt, macIterations, password, safe)}, salt, macIterations},
	})
	if err != nil {
		return nil, fmt.Errorf("write the PKCS#12 keystore: %w", err)
	}
	return file, nil
}

// friendlyName is the name of a bag, empty without one.
func friendlyName(bag safeBag) string {
	for _, attribute := range bag.Attributes {
		var text asn1.RawValue
		if !attribute.ID.Equal(oidFriendlyName()) {
			continue
		}
		if _, err := asn1.Unmarshal(attribute.Value.Bytes, &text); err != nil {
			continue
		}
		units := make([]uint16, len(text.Bytes)/2)
		for n := range units {
			units[n] = uint16(text.Bytes[2*n])<<8 | uint16(text.Bytes[2*n+1])
		}
		return string(utf16.Decode(units))
	}
	return ""
}

// named adds the name to the attributes of a bag.
func named(attributes []pkcs12Attribute, name string) ([]pkcs12Attribute, error) {
	text, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagBMPString, Bytes: bmp(name)})
	if err != nil {
		return nil, fmt.Errorf("write the alias: %w", err)
	}
	value := asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: text}
	return append(attributes, pkcs12Attribute{oidFriendlyName(), value}), nil
}

func bmp(text string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit>>8), byte(unit))
	}
	return out
}

func hashOIDs() map[crypto.Hash]asn1.ObjectIdentifier {
	nist := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2}
	return map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1:   {1, 3, 14, 3, 2, 26},
		crypto.SHA256: append(slices.Clone(nist), 1), crypto.SHA384: append(slices.Clone(nist), 2), crypto.SHA512: append(slices.Clone(nist), 3),
	}
}

func hashOf(id asn1.ObjectIdentifier) crypto.Hash {
	for known, want := range hashOIDs() {
		if id.Equal(want) {
			return known
		}
	}
	return 0
}

// macOf authenticates a file with a key from its password (RFC 7292 §5.1 and
// appendix B).
func macOf(algorithm crypto.Hash, salt []byte, iterations int, password string, message []byte) []byte {
	construct := map[crypto.Hash]func() hash.Hash{
		crypto.SHA1: sha1.New, crypto.SHA256: sha256.New, crypto.SHA384: sha512.New384, crypto.SHA512: sha512.New,
	}[algorithm]
	mac := hmac.New(construct, macKey(construct, salt, append(bmp(password), 0, 0), iterations))
	_, _ = mac.Write(message) // a hash never fails
	return mac.Sum(nil)
}

// macKey is the derivation of RFC 7292 appendix B.2 for one block of output: a
// MAC's key is as long as its hash.
func macKey(construct func() hash.Hash, salt, password []byte, iterations int) []byte {
	const purpose = 3 // the key of a MAC
	block := construct().BlockSize()
	fill := func(text []byte) []byte {
		if len(text) == 0 {
			return nil
		}
		filled := make([]byte, (len(text)+block-1)/block*block)
		for n := range filled {
			filled[n] = text[n%len(text)]
		}
		return filled
	}
	key := slices.Concat(slices.Repeat([]byte{purpose}, block), fill(salt), fill(password))
	for range iterations {
		h := construct()
		_, _ = h.Write(key) // a hash never fails
		key = h.Sum(nil)
	}
	return key
}
