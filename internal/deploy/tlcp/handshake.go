package tlcp

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net"
	"net/netip"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// version is that of TLCP 1.1, which is all there is (§6.4.1.2).
const version = 0x0101

// Peer is what one completed handshake showed.
type Peer struct {
	// Certificates are as sent: the signing certificate, the encryption
	// certificate, then those of CAs (§6.4.5.3).
	Certificates []*x509.Certificate
	Suite        string
}

// What a server can do wrong.
var (
	// ErrMessage says that a message is not what the protocol has at its place.
	ErrMessage = errors.New("the server does not follow TLCP")
	// ErrSignature says that the server does not hold the key of its signing
	// certificate, or signed for another encryption certificate.
	ErrSignature = errors.New("the signature of the server's key exchange does not hold")
	// ErrFinished says that the server does not hold the key of its encryption
	// certificate.
	ErrFinished = errors.New("the server's proof of the handshake does not hold")
)

// The types of handshake messages (§6.4.4).
const (
	typeClientHello        = 1
	typeServerHello        = 2
	typeTicket             = 4
	typeCertificate        = 11
	typeServerKeyExchange  = 12
	typeCertificateRequest = 13
	typeServerHelloDone    = 14
	typeClientKeyExchange  = 16
	typeFinished           = 20
)

const (
	randomSize    = 32
	masterSize    = 48
	verifySize    = 12
	mostMessage   = 1 << 17
	mostCerts     = 16
	shortestHello = 2 + randomSize + 1 + 2 + 1
)

// handshake is the state of one.
type handshake struct {
	records    *records
	pending    []byte // handshake messages that were received and not read
	transcript hash.Hash

	client, server [randomSize]byte
	suite          suite
	master         []byte
}

// Handshake completes a handshake over a connection and returns what the server
// sent. The server name is for SNI; empty or an IP address sends none.
func Handshake(ctx context.Context, conn net.Conn, serverName string) (Peer, error) {
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // wakes up whoever reads
	})
	defer stop()
	h := &handshake{records: &records{conn: conn}, transcript: sm3.New()}
	peer, err := h.run(serverName)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return peer, err
}

func (h *handshake) run(serverName string) (Peer, error) {
	if err := h.hello(serverName); err != nil {
		return Peer{}, err
	}
	certificates, err := h.certificates()
	if err != nil {
		return Peer{}, err
	}
	asked, err := h.keyExchange(certificates)
	if err != nil {
		return Peer{}, err
	}
	if err := h.answer(certificates[1], asked); err != nil {
		return Peer{}, err
	}
	if err := h.finish(); err != nil {
		return Peer{}, err
	}
	return Peer{certificates, h.suite.name}, nil
}

// send writes a handshake message.
func (h *handshake) send(kind byte, body []byte) error {
	message := append([]byte{kind}, uint24(len(body))...)
	message = append(message, body...)
	_, _ = h.transcript.Write(message) // a hash never fails
	return h.records.write(recordHandshake, message)
}

// receive reads a handshake message. It is part of what both sides prove to have
// seen, but for the proof itself.
func (h *handshake) receive() (kind byte, body []byte, err error) {
	const header = 4
	for len(h.pending) < header || len(h.pending) < header+length24(h.pending[1:]) {
		if len(h.pending) >= header && length24(h.pending[1:]) > mostMessage {
			return 0, nil, fmt.Errorf("%w: a message has %d bytes", ErrMessage, length24(h.pending[1:]))
		}
		kind, payload, err := h.records.read()
		if err != nil {
			return 0, nil, err
		}
		if kind != recordHandshake {
			return 0, nil, fmt.Errorf("%w: a record of type %d comes in the handshake", ErrMessage, kind)
		}
		h.pending = append(h.pending, payload...)
	}
	size := header + length24(h.pending[1:])
	message := h.pending[:size:size]
	h.pending = h.pending[size:]
	if message[0] != typeFinished {
		_, _ = h.transcript.Write(message) // a hash never fails
	}
	return message[0], message[header:], nil
}

// expect reads a message of one type.
func (h *handshake) expect(want byte) ([]byte, error) {
	kind, body, err := h.receive()
	if err == nil && kind != want {
		err = fmt.Errorf("%w: a message of type %d comes where type %d belongs", ErrMessage, kind, want)
	}
	return body, err
}

// hello agrees on a cipher suite (§6.4.5.2).
func (h *handshake) hello(serverName string) error {
	_, _ = rand.Read(h.client[:]) // never fails (Go 1.24)
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(append(body, h.client[:]...), 0) // no session
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(suites())))
	for _, s := range suites() {
		body = binary.BigEndian.AppendUint16(body, s.id)
	}
	body = append(body, 1, 0) // no compression
	body = append(body, serverNameExtension(serverName)...)
	if err := h.send(typeClientHello, body); err != nil {
		return err
	}
	answer, err := h.expect(typeServerHello)
	if err != nil {
		return err
	}
	if len(answer) < shortestHello {
		return fmt.Errorf("%w: its hello is too short", ErrMessage)
	}
	if got := binary.BigEndian.Uint16(answer); got != version {
		return fmt.Errorf("%w: it chose version %04x", ErrMessage, got)
	}
	copy(h.server[:], answer[2:])
	rest := answer[2+randomSize:]
	session := 1 + int(rest[0])
	if len(rest) < session+3 || rest[session+2] != 0 {
		return fmt.Errorf("%w: its hello cannot be read", ErrMessage)
	}
	chosen := binary.BigEndian.Uint16(rest[session:])
	for _, s := range suites() {
		if s.id == chosen {
			h.suite = s
			return nil
		}
	}
	return fmt.Errorf("%w: it chose the cipher suite %04x, which was not offered", ErrMessage, chosen)
}

// serverNameExtension is the list of extensions with SNI (RFC 6066 §3), which
// servers of TLCP take too; empty where there is no name.
func serverNameExtension(name string) []byte {
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return nil
	}
	entry := append([]byte{0}, uint16Of(len(name))...)
	entry = append(entry, name...)
	list := append(uint16Of(len(entry)), entry...)
	extension := append(append([]byte{0, 0}, uint16Of(len(list))...), list...)
	return append(uint16Of(len(extension)), extension...)
}

// certificates reads the certificates of the server.
func (h *handshake) certificates() ([]*x509.Certificate, error) {
	body, err := h.expect(typeCertificate)
	if err != nil {
		return nil, err
	}
	if len(body) < 3 || length24(body) != len(body)-3 {
		return nil, fmt.Errorf("%w: its certificates cannot be read", ErrMessage)
	}
	var all []*x509.Certificate
	for rest := body[3:]; len(rest) > 0; {
		if len(rest) < 3 || length24(rest) > len(rest)-3 || len(all) == mostCerts {
			return nil, fmt.Errorf("%w: its certificates cannot be read", ErrMessage)
		}
		der := rest[3 : 3+length24(rest)]
		rest = rest[3+len(der):]
		c, err := pki.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrMessage, len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) < 2 || !pki.IsSM2(all[0].PublicKey) || !pki.IsSM2(all[1].PublicKey) {
		return nil, fmt.Errorf("%w: it sent %d certificates, which do not begin with a pair of SM2", ErrMessage, len(all))
	}
	return all, nil
}

// keyExchange checks that the server holds the signing key, and that it names
// the encryption certificate with it (§6.4.5.4). It reports whether the server
// asks for a certificate of the client.
func (h *handshake) keyExchange(certificates []*x509.Certificate) (asked bool, err error) {
	body, err := h.expect(typeServerKeyExchange)
	if err != nil {
		return false, err
	}
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != len(body)-2 {
		return false, fmt.Errorf("%w: its key exchange cannot be read", ErrMessage)
	}
	signed := append(append([]byte{}, h.client[:]...), h.server[:]...)
	signed = append(append(signed, uint24(len(certificates[1].Raw))...), certificates[1].Raw...)
	public, ok := certificates[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || !sm2.VerifyASN1WithSM2(public, nil, signed, body[2:]) {
		return false, ErrSignature
	}
	kind, _, err := h.receive()
	if err == nil && kind == typeCertificateRequest {
		asked = true
		kind, _, err = h.receive()
	}
	if err == nil && kind != typeServerHelloDone {
		err = fmt.Errorf("%w: a message of type %d comes where its hello should end", ErrMessage, kind)
	}
	return asked, err
}

// answer sends a secret that only the holder of the encryption key can read
// (§6.4.5.8), and that the keys are in use from now on.
func (h *handshake) answer(encryption *x509.Certificate, asked bool) error {
	public, ok := encryption.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: its encryption key is not of SM2", ErrMessage)
	}
	secret := make([]byte, masterSize)
	_, _ = rand.Read(secret) // never fails (Go 1.24)
	binary.BigEndian.PutUint16(secret, version)
	wrapped, err := sm2.EncryptASN1(rand.Reader, public, secret)
	if err != nil {
		return fmt.Errorf("encrypt to the server's encryption key: %w", err)
	}
	if asked {
		if err := h.send(typeCertificate, uint24(0)); err != nil { // there is none
			return err
		}
	}
	if err := h.send(typeClientKeyExchange, append(uint16Of(len(wrapped)), wrapped...)); err != nil {
		return err
	}
	h.master = derive(secret, "master secret", append(h.client[:], h.server[:]...), masterSize)
	mine, theirs, err := h.suite.keys(derive(h.master, "key expansion", append(h.server[:], h.client[:]...), h.suite.material()))
	if err != nil {
		return err
	}
	if err := h.records.write(recordChange, []byte{1}); err != nil {
		return err
	}
	h.records.out, h.records.next = mine, theirs
	return h.send(typeFinished, h.proof("client finished"))
}

// finish reads the server's proof that it has the same keys and saw the same
// messages (§6.4.5.10).
func (h *handshake) finish() error {
	want := []byte(nil)
	for want == nil {
		kind, payload, err := h.records.read()
		switch {
		case err != nil:
			return err
		case kind == recordHandshake: // a ticket for another session
			h.pending = append(h.pending, payload...)
			if kind, _, err := h.receive(); err != nil || kind != typeTicket {
				return errors.Join(err, fmt.Errorf("%w: a message of type %d comes before the keys are in use", ErrMessage, kind))
			}
		case kind != recordChange || len(payload) != 1 || len(h.pending) > 0:
			return fmt.Errorf("%w: a record of type %d comes before the keys are in use", ErrMessage, kind)
		default:
			h.records.in, want = h.records.next, h.proof("server finished")
		}
	}
	got, err := h.expect(typeFinished)
	if err != nil {
		return err
	}
	if !hmac.Equal(got, want) {
		return ErrFinished
	}
	return nil
}

// proof is what a side says at the end: a sum of all messages under the secret.
func (h *handshake) proof(label string) []byte {
	return derive(h.master, label, h.transcript.Sum(nil), verifySize)
}

// derive is PRF of §6.2.
func derive(secret []byte, label string, seed []byte, size int) []byte {
	sum := func(parts ...[]byte) []byte {
		mac := hmac.New(sm3.New, secret)
		for _, part := range parts {
			_, _ = mac.Write(part) // a hash never fails
		}
		return mac.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	var out []byte
	for a := sum(seed); len(out) < size; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:size]
}

func uint16Of(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

func uint24(n int) []byte { return []byte{byte(n >> 16), byte(n >> 8), byte(n)} }

func length24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
