package tsig

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// What Verify finds wrong. Code says what to answer.
var (
	ErrKey       = errors.New("the key is unknown")                                // BADKEY
	ErrSignature = errors.New("the signature is not the key's")                    // BADSIG
	ErrTime      = errors.New("the message was signed too long ago, or ahead")     // BADTIME
	ErrShort     = errors.New("the signature was cut short, which is not allowed") // BADTRUNC
)

// Code is the error of a TSIG record that stands for one of Verify's, 0 for
// ErrFormat and what is none of them.
func Code(err error) uint16 {
	switch {
	case errors.Is(err, ErrKey):
		return dns.RcodeBadKey
	case errors.Is(err, ErrSignature):
		return dns.RcodeBadSig
	case errors.Is(err, ErrTime):
		return dns.RcodeBadTime
	case errors.Is(err, ErrShort):
		return dns.RcodeBadTrunc
	}
	return 0
}

// Verify checks the signature s that Find found in msg. request is the MAC of
// the request that msg replies to, nil for a request. The checks are in the
// order of RFC 8945 §5.2: key, MAC, time, truncation.
func (k *Key) Verify(msg []byte, s *Signature, request []byte, now time.Time) error {
	sum := k.mac()
	defer k.release(sum)
	if request != nil {
		digestMAC(sum, request)
	}
	digestMessage(sum, msg[:s.start], s.OriginalID)
	k.digestVariables(sum, s)
	return k.check(s, sum, now)
}

// verifySum is Verify for a message of a stream that is not its first, whose
// digest was begun with what came before.
func (k *Key) verifySum(s *Signature, now time.Time, sum hash.Hash, msg []byte) error {
	digestMessage(sum, msg[:s.start], s.OriginalID)
	sum.Write(timers(s))
	return k.check(s, sum, now)
}

// check compares a signature with what its message sums up to.
func (k *Key) check(s *Signature, sum hash.Hash, now time.Time) error {
	full := sum.Size()
	switch {
	case !k.Is(s):
		return ErrKey
	case len(s.MAC) > full || len(s.MAC) < max(10, full/2):
		return ErrFormat // RFC 8945 §5.2.2.1
	case !hmac.Equal(sum.Sum(nil)[:len(s.MAC)], s.MAC):
		return ErrSignature
	case apart(s.Time, now) > uint64(min(s.Fudge, Fudge)):
		return ErrTime
	case len(s.MAC) < full:
		return ErrShort
	}
	return nil
}

// apart is how many seconds lie between a time and now.
func apart(t uint64, now time.Time) uint64 {
	n := seconds(now)
	return max(n, t) - min(n, t)
}

func seconds(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) & maxTime }

// Sign appends the key's signature to msg, which has none. request is the MAC of
// the request that msg replies to, nil for a request. It returns the message and
// the MAC, which is part of it.
func (k *Key) Sign(msg, request []byte, now time.Time) (signed, mac []byte) {
	s := &Signature{Time: seconds(now), Fudge: Fudge}
	return k.sign(msg, s, func(sum hash.Hash) {
		if request != nil {
			digestMAC(sum, request)
		}
		sum.Write(msg)
		k.digestVariables(sum, s)
	})
}

// SignError appends the record that says what Verify found wrong with the
// signature s of the request: signed for ErrTime and ErrShort, else without a
// MAC, for then nothing is proven (RFC 8945 §5.3.2).
func (k *Key) SignError(msg []byte, s *Signature, err error, now time.Time) []byte {
	answer := &Signature{Time: seconds(now), Fudge: Fudge, Error: Code(err)}
	if errors.Is(err, ErrTime) { // RFC 8945 §5.2.3: the client's time, and ours
		answer.Time, answer.Fudge = s.Time, s.Fudge
		answer.Other = appendTime(nil, seconds(now))
	}
	out, _ := k.sign(msg, answer, func(sum hash.Hash) {
		digestMAC(sum, s.MAC)
		sum.Write(msg)
		k.digestVariables(sum, answer)
	})
	return out
}

// Refuse appends the record that says that the key of a signature is unknown, or
// that the MAC is wrong: nobody's signature (RFC 8945 §5.3.2).
func Refuse(msg []byte, s *Signature, err error, now time.Time) []byte {
	name, nameErr := wireName(s.Name)
	algorithm, algorithmErr := wireName(s.Algorithm)
	if nameErr != nil || algorithmErr != nil {
		return msg
	}
	answer := &Signature{Time: seconds(now), Fudge: Fudge, Error: Code(err), OriginalID: binary.BigEndian.Uint16(msg)}
	return appendRecord(msg, name, algorithm, answer)
}

// sign appends the record with the MAC of what digest writes.
func (k *Key) sign(msg []byte, s *Signature, digest func(hash.Hash)) (signed, mac []byte) {
	sum := k.mac()
	defer k.release(sum)
	digest(sum)
	s.MAC, s.OriginalID = sum.Sum(nil), binary.BigEndian.Uint16(msg)
	return appendRecord(msg, k.wire, k.algoWire, s), s.MAC
}

// appendRecord appends a TSIG record to a message and counts it.
func appendRecord(msg, name, algorithm []byte, s *Signature) []byte {
	size := len(algorithm) + variables + len(s.MAC) + len(s.Other)
	msg = slices.Grow(msg, len(name)+recordHeader+size)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	msg = append(msg, name...)
	msg = binary.BigEndian.AppendUint16(msg, typeTSIG)
	msg = binary.BigEndian.AppendUint16(msg, classANY)
	msg = append(msg, 0, 0, 0, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(size))
	msg = append(msg, algorithm...)
	msg = appendTime(msg, s.Time)
	msg = binary.BigEndian.AppendUint16(msg, s.Fudge)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(s.MAC)))
	msg = append(msg, s.MAC...)
	msg = binary.BigEndian.AppendUint16(msg, s.OriginalID)
	msg = binary.BigEndian.AppendUint16(msg, s.Error)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(s.Other)))
	return append(msg, s.Other...)
}

func appendTime(out []byte, t uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(out, uint16(t>>32)), uint32(t))
}

// digestMAC writes an earlier MAC with its length (RFC 8945 §5.3.1).
func digestMAC(sum hash.Hash, mac []byte) {
	sum.Write(binary.BigEndian.AppendUint16(nil, uint16(len(mac))))
	sum.Write(mac)
}

// digestMessage writes a message as it was before its record was added (RFC 8945
// §4.3.2).
func digestMessage(sum hash.Hash, msg []byte, id uint16) {
	var header [headerSize]byte
	copy(header[:], msg)
	binary.BigEndian.PutUint16(header[:], id)
	binary.BigEndian.PutUint16(header[10:], binary.BigEndian.Uint16(header[10:])-1)
	sum.Write(header[:])
	sum.Write(msg[headerSize:])
}

// digestVariables writes what of the record is signed (RFC 8945 §4.3.3).
func (k *Key) digestVariables(sum hash.Hash, s *Signature) {
	sum.Write(k.digested)
	out := appendTime(make([]byte, 0, timeSize+6+len(s.Other)), s.Time)
	out = binary.BigEndian.AppendUint16(out, s.Fudge)
	out = binary.BigEndian.AppendUint16(out, s.Error)
	out = binary.BigEndian.AppendUint16(out, uint16(len(s.Other)))
	sum.Write(append(out, s.Other...))
}
