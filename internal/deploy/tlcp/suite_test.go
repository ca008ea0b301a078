package tlcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
)

// server is the other side, for what the implementation that the handshake is
// held against does not have: GCM, and a request for the client's certificate.
type server struct {
	*handshake
	keys  [2]*sm2.PrivateKey
	certs [2][]byte
	asks  bool
	lies  bool // about what it saw
}

func newServer(t testing.TB, conn net.Conn, chosen suite) *server {
	t.Helper()
	s := &server{handshake: &handshake{records: &records{conn: conn}, transcript: sm3.New(), suite: chosen}}
	for n := range s.keys {
		var err error
		if s.keys[n], err = sm2.GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
		template := &smx509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), NotAfter: time.Now().Add(time.Hour)}
		if s.certs[n], err = smx509.CreateCertificate(rand.Reader, template, template, s.keys[n].Public(), s.keys[n]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *server) run() error {
	hello, err := s.expect(typeClientHello)
	if err != nil {
		return err
	}
	copy(s.client[:], hello[2:])
	_, _ = rand.Read(s.server[:])
	answer := append(append([]byte{1, 1}, s.server[:]...), 0)
	if err := s.send(typeServerHello, append(binary.BigEndian.AppendUint16(answer, s.suite.id), 0)); err != nil {
		return err
	}
	var list []byte
	for _, der := range s.certs {
		list = append(append(list, uint24(len(der))...), der...)
	}
	signed := bytes.Join([][]byte{s.client[:], s.server[:], uint24(len(s.certs[1])), s.certs[1]}, nil)
	signature, err := s.keys[0].Sign(rand.Reader, signed, sm2.DefaultSM2SignerOpts)
	err = errors.Join(err, s.send(typeCertificate, append(uint24(len(list)), list...)),
		s.send(typeServerKeyExchange, append(uint16Of(len(signature)), signature...)))
	if s.asks {
		err = errors.Join(err, s.send(typeCertificateRequest, []byte{1, 64, 0, 0}))
	}
	if err = errors.Join(err, s.send(typeServerHelloDone, nil)); err != nil {
		return err
	}
	if s.asks {
		if none, err := s.expect(typeCertificate); err != nil || len(none) != 3 {
			return errors.Join(err, errors.New("the client sends a certificate"))
		}
	}
	exchange, err := s.expect(typeClientKeyExchange)
	if err != nil {
		return err
	}
	secret, err := s.keys[1].Decrypt(rand.Reader, exchange[2:], nil)
	if err != nil {
		return err
	}
	s.master = derive(secret, "master secret", append(s.client[:], s.server[:]...), masterSize)
	theirs, mine, err := s.suite.keys(derive(s.master, "key expansion", append(s.server[:], s.client[:]...), s.suite.material()))
	if err != nil {
		return err
	}
	if kind, _, err := s.records.read(); err != nil || kind != recordChange {
		return errors.Join(err, errors.New("the keys are not in use"))
	}
	s.records.in = theirs
	want := s.proof("client finished")
	got, err := s.expect(typeFinished)
	if err != nil || !bytes.Equal(got, want) {
		return errors.Join(err, ErrFinished)
	}
	_, _ = s.transcript.Write(append([]byte{typeFinished, 0, 0, verifySize}, got...))
	if err := s.records.write(recordChange, []byte{1}); err != nil {
		return err
	}
	s.records.out = mine
	proof := s.proof("server finished")
	if s.lies {
		proof[0] ^= 1
	}
	return s.send(typeFinished, proof)
}

func TestHandshake_suites(t *testing.T) {
	for _, chosen := range suites() {
		for sentence, change := range map[string]func(*server){
			"as it is":                       func(*server) {},
			"the server asks for the client": func(s *server) { s.asks = true },
			"the server saw something else":  func(s *server) { s.lies = true },
		} {
			t.Run(chosen.name+" "+sentence, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer func() { _ = ours.Close() }()
				s := newServer(t, theirs, chosen)
				change(s)
				done := make(chan error, 1)
				go func() { done <- s.run() }()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				peer, err := Handshake(ctx, ours, "www.sm2.test")
				_ = ours.Close()
				served := <-done
				switch {
				case s.lies && !errors.Is(err, ErrFinished):
					t.Errorf("error %v, want %v", err, ErrFinished)
				case !s.lies && (err != nil || served != nil || peer.Suite != chosen.name):
					t.Errorf("%q %v; the server: %v", peer.Suite, err, served)
				}
			})
		}
	}
}

func TestProtection_refusesWhatWasChanged(t *testing.T) {
	for _, s := range suites() {
		mine, _, err := s.keys(make([]byte, s.material()))
		if err != nil {
			t.Fatal(err)
		}
		sealed := mine.seal(3, recordHandshake, []byte("hello"))
		if plain, err := mine.open(3, recordHandshake, sealed); err != nil || string(plain) != "hello" {
			t.Errorf("%s: %q %v, want it back", s.name, plain, err)
		}
		for n := range sealed {
			damaged := bytes.Clone(sealed)
			damaged[n] ^= 0x80
			if _, err := mine.open(3, recordHandshake, damaged); !errors.Is(err, errProtection) {
				t.Errorf("%s: byte %d: %v, want %v", s.name, n, err, errProtection)
			}
			if _, err := mine.open(3, recordHandshake, sealed[:n]); !errors.Is(err, errProtection) {
				t.Errorf("%s: %d bytes: %v, want %v", s.name, n, err, errProtection)
			}
		}
		if _, err := mine.open(4, recordHandshake, sealed); !errors.Is(err, errProtection) {
			t.Errorf("%s: at another place: %v, want %v", s.name, err, errProtection)
		}
	}
}
