package tsig

import (
	"encoding/binary"
	"errors"
	"hash"
	"time"
)

// maxUnsigned is how many messages of a stream may come without a signature
// between two that have one (RFC 8945 §5.3.1).
const maxUnsigned = 99

// ErrUnsigned is a stream that has no signature where one is due.
var ErrUnsigned = errors.New("the message is not signed")

// Stream signs or verifies the messages of one reply that are more than one: a
// zone transfer (RFC 8945 §5.3.1). The first is signed as any reply, each other
// in a chain with the one before.
type Stream struct {
	key     *Key
	mac     []byte // of the last signed message, at first of the request
	begun   bool
	pending hash.Hash // the messages since, without a signature
	skipped int
}

// NewStream begins the reply to a request with this MAC.
func NewStream(key *Key, request []byte) *Stream { return &Stream{key: key, mac: request} }

// Sign appends a signature to the next message.
func (t *Stream) Sign(msg []byte, now time.Time) []byte {
	if !t.begun {
		t.begun = true
		msg, t.mac = t.key.Sign(msg, t.mac, now)
		return msg
	}
	s := &Signature{Time: seconds(now), Fudge: Fudge}
	msg, t.mac = t.key.sign(msg, s, func(sum hash.Hash) {
		digestMAC(sum, t.mac)
		sum.Write(msg)
		sum.Write(timers(s))
	})
	return msg
}

// timers are what of the record is signed from the second message on.
func timers(s *Signature) []byte {
	return binary.BigEndian.AppendUint16(appendTime(nil, s.Time), s.Fudge)
}

// Verify checks the next message. The first has to be signed, the others at
// least every hundredth; End says whether the last was.
func (t *Stream) Verify(msg []byte, now time.Time) error {
	s, err := Find(msg)
	switch {
	case err != nil:
		return err
	case s == nil && (!t.begun || t.skipped == maxUnsigned):
		return ErrUnsigned
	case s == nil:
		t.begin()
		t.skipped++
		t.pending.Write(msg)
		return nil
	case !t.begun:
		err = t.key.Verify(msg, s, t.mac, now)
	default:
		t.begin()
		err = t.key.verifySum(s, now, t.pending, msg)
	}
	if err == nil {
		t.begun, t.mac, t.pending, t.skipped = true, append([]byte(nil), s.MAC...), nil, 0
	}
	return err
}

// begin begins the digest of what follows the last signed message.
func (t *Stream) begin() {
	if t.pending == nil {
		t.pending = t.key.mac()
		digestMAC(t.pending, t.mac)
	}
}

// End is ErrUnsigned when the last message of the stream had no signature.
func (t *Stream) End() error {
	if !t.begun || t.skipped > 0 {
		return ErrUnsigned
	}
	return nil
}
