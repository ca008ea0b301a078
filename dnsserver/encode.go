package dnsserver

import (
	"encoding/binary"
	"errors"
)

// errEncoding is what decodeBatch finds wrong.
var errEncoding = errors.New("a batch cannot be read")

// A batch in storage is a list of entries, each a kind and its fields: a Change
// or a Document. Numbers are unsigned varints, strings have their length first.
const (
	entryDocument       = 16 // other kinds are an Op
	entryDeleteDocument = 17
)

// MarshalBinary returns the form in which stores keep a batch. There is no
// error.
func (b Batch) MarshalBinary() ([]byte, error) { return appendBatch(nil, b), nil }

// UnmarshalBinary reads what MarshalBinary wrote.
func (b *Batch) UnmarshalBinary(data []byte) (err error) {
	*b, err = decodeBatch(data)
	return err
}

// appendBatch appends the stored form of a batch.
func appendBatch(out []byte, b Batch) []byte {
	for _, c := range b.Changes {
		out = append(out, byte(c.Op))
		out = appendString(out, c.Name)
		out = binary.AppendUvarint(out, uint64(c.Type))
		out = binary.AppendUvarint(out, uint64(c.TTL))
		out = binary.AppendUvarint(out, uint64(max(c.Expires, 0)))
		out = appendString(out, c.Data)
	}
	for _, d := range b.Documents {
		if d.Delete {
			out = appendString(append(out, entryDeleteDocument), d.Key)
			continue
		}
		out = appendString(append(out, entryDocument), d.Key)
		out = appendString(out, string(d.Value))
	}
	return out
}

func appendString(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// decodeBatch reads what appendBatch wrote. It makes no slice longer than in.
func decodeBatch(in []byte) (Batch, error) {
	var b Batch
	r := entryReader{rest: in}
	for len(r.rest) > 0 && !r.bad {
		switch kind := r.byte(); kind {
		case byte(Put), byte(Extend), byte(DeleteRecord):
			c := Change{Op: Op(kind), Name: r.string()}
			c.Type, c.TTL = uint16(r.number(1<<16-1)), uint32(r.number(1<<32-1))
			c.Expires = int64(r.number(1<<63 - 1))
			c.Data = r.string()
			b.Changes = append(b.Changes, c)
		case entryDocument:
			b.Documents = append(b.Documents, Document{Key: r.string(), Value: []byte(r.string())})
		case entryDeleteDocument:
			b.Documents = append(b.Documents, Document{Key: r.string(), Delete: true})
		default:
			r.bad = true
		}
	}
	if r.bad {
		return Batch{}, errEncoding
	}
	return b, nil
}

// entryReader reads fields until one is bad; what it returns then means nothing.
type entryReader struct {
	rest []byte
	bad  bool
}

func (r *entryReader) byte() byte {
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *entryReader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > most {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *entryReader) string() string {
	n := r.number(uint64(len(r.rest)))
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
