package tsig

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/miekg/dns"
)

// Sizes in bytes.
const (
	headerSize   = 12
	recordHeader = 10                    // of a record, behind its name
	variables    = 6 + 2 + 2 + 2 + 2 + 2 // time, fudge, MAC size, ID, error, other size
	timeSize     = 6                     // of a time in seconds
	maxTime      = 1<<(8*timeSize) - 1   // seconds
	typeTSIG     = dns.TypeTSIG          // RFC 8945 §4.2
	classANY     = uint16(dns.ClassANY)  // of the record
	Fudge        = 300                   // seconds that clocks may differ (RFC 8945 §10)
)

// ErrFormat is a message whose signature cannot be read, or stands where it may
// not: FORMERR to who sent it.
var ErrFormat = errors.New("the TSIG record is malformed or out of place")

// Signature is the TSIG record of a message (RFC 8945 §4.2).
type Signature struct {
	Name       string // of the key, absolute, lower case
	Algorithm  string // absolute, lower case
	Time       uint64 // when it was signed, in Unix seconds
	Fudge      uint16 // seconds that the clocks may differ
	MAC        []byte // part of the message
	OriginalID uint16
	Error      uint16 // an RCODE, BADSIG and its kin included
	Other      []byte // part of the message

	start int // of the record in the message
}

// Find returns the signature of a message, nil for an unsigned one. The error is
// ErrFormat; of a message that is otherwise malformed Find finds nothing.
func Find(msg []byte) (*Signature, error) {
	if len(msg) < headerSize {
		return nil, nil //nolint:nilnil // a message without a signature is no error
	}
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	others := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	off := headerSize
	for range int(binary.BigEndian.Uint16(msg[4:])) {
		end, ok := skipName(msg, off)
		if !ok {
			return nil, nil //nolint:nilnil // malformed, for the caller to find
		}
		off = end + 4
	}
	for n := range others + additional {
		start := off
		rrtype, end, ok := skipRecord(msg, off)
		if !ok {
			return nil, nil //nolint:nilnil // malformed, for the caller to find
		}
		if rrtype == typeTSIG {
			// RFC 8945 §5.1, §5.2: the last record of the additional section, once.
			if n != others+additional-1 || n < others || end != len(msg) {
				return nil, ErrFormat
			}
			return read(msg, start)
		}
		off = end
	}
	return nil, nil //nolint:nilnil // a message without a signature is no error
}

// skipName returns where the name at off ends.
func skipName(msg []byte, off int) (int, bool) {
	for off < len(msg) {
		n := int(msg[off])
		off++
		switch {
		case n == 0:
			return off, true
		case n >= 0xc0:
			return off + 1, off < len(msg)
		case n > 63:
			return 0, false
		}
		off += n
	}
	return 0, false
}

func skipRecord(msg []byte, off int) (rrtype uint16, end int, ok bool) {
	off, ok = skipName(msg, off)
	if !ok || off+recordHeader > len(msg) {
		return 0, 0, false
	}
	end = off + recordHeader + int(binary.BigEndian.Uint16(msg[off+8:]))
	return binary.BigEndian.Uint16(msg[off:]), end, end <= len(msg)
}

// read reads the TSIG record at start, which ends the message.
func read(msg []byte, start int) (*Signature, error) {
	s := &Signature{start: start}
	name, off, err := dns.UnpackDomainName(msg, start)
	if err != nil || off+recordHeader > len(msg) {
		return nil, ErrFormat
	}
	s.Name = strings.ToLower(name)
	if binary.BigEndian.Uint16(msg[off+2:]) != classANY || binary.BigEndian.Uint32(msg[off+4:]) != 0 {
		return nil, ErrFormat
	}
	off += recordHeader
	algorithm, off, err := dns.UnpackDomainName(msg, off)
	if err != nil || off+variables > len(msg) {
		return nil, ErrFormat
	}
	s.Algorithm = strings.ToLower(algorithm)
	s.Time = uint64(binary.BigEndian.Uint16(msg[off:]))<<32 | uint64(binary.BigEndian.Uint32(msg[off+2:]))
	s.Fudge = binary.BigEndian.Uint16(msg[off+6:])
	size := int(binary.BigEndian.Uint16(msg[off+8:]))
	off += 10
	if off+size+6 > len(msg) {
		return nil, ErrFormat
	}
	s.MAC = msg[off : off+size]
	off += size
	s.OriginalID = binary.BigEndian.Uint16(msg[off:])
	s.Error = binary.BigEndian.Uint16(msg[off+2:])
	if other := int(binary.BigEndian.Uint16(msg[off+4:])); off+6+other != len(msg) {
		return nil, ErrFormat
	}
	s.Other = msg[off+6:]
	return s, nil
}
