package tlcp

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/sm4"
)

// The types of records (§6.3.3).
const (
	recordChange    = 20
	recordAlert     = 21
	recordHandshake = 22
)

const (
	headerSize  = 5
	mostPayload = 1<<14 + 2048
)

// protection is one direction's keys.
type protection interface {
	seal(sequence uint64, kind byte, plain []byte) []byte
	open(sequence uint64, kind byte, sealed []byte) ([]byte, error)
}

// records reads and writes the records of a connection.
type records struct {
	conn           net.Conn
	in, out, next  protection // nil while nothing is encrypted; next will be in
	received, sent uint64     // encrypted ones
}

// Alert is the server ending the handshake by its own decision.
type Alert byte

// Error implements error.
func (a Alert) Error() string {
	name, ok := map[Alert]string{
		0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow", 40: "handshake_failure",
		42: "bad_certificate", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
		80: "internal_error", 112: "unrecognized_name",
	}[a]
	if !ok {
		name = fmt.Sprintf("number %d", byte(a))
	}
	text := "the server ends the handshake with the alert " + name
	if a == 40 || a == 70 {
		text += "; does it speak TLCP, with a certificate for the name?"
	}
	return text
}

func (r *records) write(kind byte, payload []byte) error {
	if r.out != nil {
		payload = r.out.seal(r.sent, kind, payload)
		r.sent++
	}
	header := []byte{kind, version >> 8, version & 0xff, byte(len(payload) >> 8), byte(len(payload))}
	_, err := r.conn.Write(append(header, payload...))
	return err
}

func (r *records) read() (kind byte, payload []byte, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.conn, header[:]); err != nil {
		return 0, nil, fmt.Errorf("read from the server: %w", err)
	}
	kind, size := header[0], int(binary.BigEndian.Uint16(header[3:]))
	if kind < recordChange || kind > recordHandshake+1 || header[1] > 3 || size > mostPayload || size == 0 {
		return 0, nil, fmt.Errorf("%w: it answers with something else", ErrMessage)
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r.conn, payload); err != nil {
		return 0, nil, fmt.Errorf("read from the server: %w", err)
	}
	if r.in != nil {
		if payload, err = r.in.open(r.received, kind, payload); err != nil {
			return 0, nil, err
		}
		r.received++
	}
	if kind == recordAlert && len(payload) == 2 {
		return 0, nil, Alert(payload[1])
	}
	return kind, payload, nil
}

// suite is a cipher suite of §6.4.5.2 whose key exchange encrypts a secret to
// the server's encryption key.
type suite struct {
	id   uint16
	name string
	gcm  bool
}

// suites are those that every server has, and the other one of its family.
func suites() []suite {
	return []suite{{0xe013, "ECC_SM4_CBC_SM3", false}, {0xe053, "ECC_SM4_GCM_SM3", true}}
}

const (
	keySize   = 16
	macSize   = 32
	fixedSize = 4 // of the nonce of GCM
	nonceSize = 8 // the rest of it
	tagSize   = 16
)

// material is how many bytes of keys both directions need.
func (s suite) material() int {
	if s.gcm {
		return 2 * (keySize + fixedSize)
	}
	return 2 * (macSize + keySize)
}

// keys are the protections of both directions (§6.5).
func (s suite) keys(material []byte) (client, server protection, err error) {
	take := func(size int) []byte {
		part := material[:size]
		material = material[size:]
		return part
	}
	var secrets [2][]byte
	var both [2]protection
	if !s.gcm {
		secrets[0], secrets[1] = take(macSize), take(macSize)
	}
	for n := range both {
		block, err := sm4.NewCipher(take(keySize))
		if err != nil {
			return nil, nil, fmt.Errorf("make the keys: %w", err)
		}
		if !s.gcm {
			both[n] = cbc{block, secrets[n]}
			continue
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, nil, fmt.Errorf("make the keys: %w", err)
		}
		both[n] = &gcm{aead: aead}
	}
	for n := range both {
		if g, ok := both[n].(*gcm); ok {
			g.fixed = take(fixedSize)
		}
	}
	return both[0], both[1], nil
}

// describe is what is authenticated of a record besides its content.
func describe(sequence uint64, kind byte, size int) []byte {
	text := binary.BigEndian.AppendUint64(nil, sequence)
	return append(text, kind, version>>8, version&0xff, byte(size>>8), byte(size))
}

var errProtection = errors.New("a record of the server does not have the keys of the handshake")

// cbc authenticates and then encrypts (§6.3.3.4.3).
type cbc struct {
	block  cipher.Block
	secret []byte
}

func (c cbc) mac(sequence uint64, kind byte, plain []byte) []byte {
	mac := hmac.New(sm3.New, c.secret)
	_, _ = mac.Write(describe(sequence, kind, len(plain))) // a hash never fails
	_, _ = mac.Write(plain)
	return mac.Sum(nil)
}

func (c cbc) seal(sequence uint64, kind byte, plain []byte) []byte {
	sealed := make([]byte, keySize) // the vector
	_, _ = rand.Read(sealed)        // never fails (Go 1.24)
	text := append(append([]byte{}, plain...), c.mac(sequence, kind, plain)...)
	padding := keySize - len(text)%keySize
	for range padding {
		text = append(text, byte(padding-1))
	}
	cipher.NewCBCEncrypter(c.block, sealed).CryptBlocks(text, text)
	return append(sealed, text...)
}

func (c cbc) open(sequence uint64, kind byte, sealed []byte) ([]byte, error) {
	if len(sealed) < 2*keySize+macSize || len(sealed)%keySize != 0 {
		return nil, errProtection
	}
	text := append([]byte{}, sealed[keySize:]...)
	cipher.NewCBCDecrypter(c.block, sealed[:keySize]).CryptBlocks(text, text)
	padding := int(text[len(text)-1]) + 1
	if padding+macSize > len(text) {
		return nil, errProtection
	}
	plain, mac := text[:len(text)-padding-macSize], text[len(text)-padding-macSize:len(text)-padding]
	if !hmac.Equal(mac, c.mac(sequence, kind, plain)) {
		return nil, errProtection
	}
	return plain, nil
}

// gcm does both at once.
type gcm struct {
	aead  cipher.AEAD
	fixed []byte
}

func (g *gcm) seal(sequence uint64, kind byte, plain []byte) []byte {
	explicit := binary.BigEndian.AppendUint64(nil, sequence)
	return g.aead.Seal(explicit, append(append([]byte{}, g.fixed...), explicit...), plain, describe(sequence, kind, len(plain)))
}

func (g *gcm) open(sequence uint64, kind byte, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, errProtection
	}
	nonce := append(append([]byte{}, g.fixed...), sealed[:nonceSize]...)
	plain, err := g.aead.Open(nil, nonce, sealed[nonceSize:], describe(sequence, kind, len(sealed)-nonceSize-tagSize))
	if err != nil {
		return nil, errProtection
	}
	return plain, nil
}
