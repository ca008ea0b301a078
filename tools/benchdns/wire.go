package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The few messages that the clients send are made here, without a library whose
// own cost would be measured.

// Numbers of RFC 1035, 2136 and 8945.
const (
	typeSOA  = 6
	typeTXT  = 16
	typeTSIG = 250
	classIN  = 1
	classANY = 255

	headerSize   = 12
	opcodeUpdate = 5 << 3
	fudge        = 300 // seconds that clocks may differ
)

// The key that signs updates.
const (
	keyName      = "bench"
	keyAlgorithm = "hmac-sha256"
	keySecret    = "YmVuY2htYXJrcyBhcmUgbm8gdGVzdHMsIHRoaXMgaXMgbm8ga2V5"
)

// appendName appends a name in wire form, uncompressed.
func appendName(out []byte, name string) []byte {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		out = append(append(out, byte(len(label))), label...)
	}
	return append(out, 0)
}

// question is a query for the TXT records of a name.
func question(id uint16, name string) []byte {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 128), id)
	out = append(out, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	out = appendName(out, name)
	return append(out, 0, typeTXT, 0, classIN)
}

// update is an UPDATE that adds a TXT with its value at each of the names.
func update(id uint16, names []string) []byte {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 256), id)
	out = append(out, opcodeUpdate, 0, 0, 1, 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(len(names)))
	out = append(out, 0, 0)
	out = appendName(out, zoneName) // at headerSize, where names point to
	out = append(out, 0, typeSOA, 0, classIN)
	for _, name := range names {
		out = appendName(out, strings.TrimSuffix(name, "."+zoneName))
		out = append(out[:len(out)-1], 0xc0, headerSize)
		text := value(name)
		out = append(out, 0, typeTXT, 0, classIN, 0, 0, 0, 5, 0, byte(len(text)+1), byte(len(text)))
		out = append(out, text...)
	}
	return out
}

// sign appends a TSIG record (RFC 8945 §4.2).
func sign(msg, secret []byte, now time.Time) []byte {
	timers := make([]byte, 0, 8)
	timers = binary.BigEndian.AppendUint16(timers, uint16(now.Unix()>>32))
	timers = binary.BigEndian.AppendUint32(timers, uint32(now.Unix()))
	timers = binary.BigEndian.AppendUint16(timers, fudge)
	mac := hmac.New(sha256.New, secret)
	mac.Write(msg)
	mac.Write(append(appendName(nil, keyName), 0, classANY, 0, 0, 0, 0))
	mac.Write(append(append(appendName(nil, keyAlgorithm), timers...), 0, 0, 0, 0))
	sum := mac.Sum(nil)

	data := append(appendName(nil, keyAlgorithm), timers...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(sum))), sum...)
	data = append(data, msg[0], msg[1], 0, 0, 0, 0)
	out := append(appendName(msg, keyName), 0, typeTSIG, 0, classANY, 0, 0, 0, 0)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(data))), data...)
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])+1)
	return out
}

// errAnswer is a reply that is not the right one.
var errAnswer = errors.New("wrong answer")

// check reports whether a reply to the message with this id says NOERROR.
func check(reply []byte, id uint16) error {
	switch {
	case len(reply) < headerSize || binary.BigEndian.Uint16(reply) != id || reply[2]&0x80 == 0:
		return fmt.Errorf("%w: no reply to the message", errAnswer)
	case reply[3]&0xf != 0:
		return fmt.Errorf("%w: rcode %d", errAnswer, reply[3]&0xf)
	}
	return nil
}

// checkTXT reports whether a reply to question is authoritative and has one
// TXT, with the value that stands at the name.
func checkTXT(reply []byte, id uint16, name string) error {
	if err := check(reply, id); err != nil {
		return err
	}
	text := value(name)
	record := append([]byte{0, byte(len(text) + 1), byte(len(text))}, text...)
	if reply[2]&4 == 0 || binary.BigEndian.Uint16(reply[6:]) != 1 || !bytes.Contains(reply, record) {
		return fmt.Errorf("%w: not the record of %s", errAnswer, name)
	}
	return nil
}
