package dnsserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A file of the log is a header, 8 bytes that say what it is and 8 that number
// its first frame, and then frames. A frame is the length of its payload (4
// bytes), a CRC-32C of all that follows it (4), its number (8), and the payload,
// one batch. Numbers grow by one, so that a frame left over from elsewhere, or
// one that is missing, is noticed.
const (
	logMagic      = "CDNSLOG1"
	snapshotMagic = "CDNSSNP1"
	fileHeader    = 16
	frameHeader   = 16
	maxFrame      = 1 << 28 // bytes; no batch comes near
)

// errTorn is a frame that is not whole or not what was written.
var errTorn = errors.New("the frame is not whole")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendFileHeader(out []byte, magic string, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append(out, magic...), first)
}

// appendFrame appends a batch as a frame.
func appendFrame(out []byte, number uint64, b Batch) []byte {
	start := len(out)
	out = append(out, make([]byte, 8)...)
	out = binary.BigEndian.AppendUint64(out, number)
	out = appendBatch(out, b)
	sealFrame(out[start:])
	return out
}

// sealFrame fills in length and checksum.
func sealFrame(frame []byte) {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-frameHeader))
	binary.BigEndian.PutUint32(frame[4:], checksum(frame))
}

// checksum covers the length, the number and the payload.
func checksum(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli(), frame[:4])
	return crc32.Update(sum, castagnoli(), frame[8:])
}

// frameReader reads the frames of one file.
type frameReader struct {
	r      *bufio.Reader
	next   uint64 // the number the next frame has to have
	offset int64  // where it begins
	buf    []byte
}

// errUnbegun says that a file is shorter than its header.
var errUnbegun = errors.New("it ends within its header")

// newFrameReader reads the header of a file.
func newFrameReader(r io.Reader, magic string) (*frameReader, error) {
	f := &frameReader{r: bufio.NewReaderSize(r, 1<<16), offset: fileHeader}
	head := make([]byte, fileHeader)
	switch _, err := io.ReadFull(f.r, head); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errUnbegun
	case err != nil:
		return nil, fmt.Errorf("read its header: %w", err)
	}
	if string(head[:8]) != magic {
		return nil, fmt.Errorf("it begins with %q, not with %q", head[:8], magic)
	}
	f.next = binary.BigEndian.Uint64(head[8:])
	return f, nil
}

// read returns the next payload, which is good until the next call; io.EOF where
// the file ends after a whole frame, errTorn where something else is.
func (f *frameReader) read() ([]byte, error) {
	head := make([]byte, frameHeader)
	n, err := io.ReadFull(f.r, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxFrame || binary.BigEndian.Uint64(head[8:]) != f.next {
		return nil, errTorn
	}
	frame, err := f.payload(head, int(size))
	if err != nil {
		return nil, err
	}
	if checksum(frame) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	f.next++
	f.offset += int64(len(frame))
	return frame[frameHeader:], nil
}

// payload reads size bytes behind head, growing as they come: a length that is
// wrong must not take memory that the file has no bytes for.
func (f *frameReader) payload(head []byte, size int) ([]byte, error) {
	const step = 1 << 20
	f.buf = append(f.buf[:0], head...)
	for size > 0 {
		n := min(size, step)
		start := len(f.buf)
		f.buf = append(f.buf, make([]byte, n)...)
		if _, err := io.ReadFull(f.r, f.buf[start:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, errTorn
			}
			return nil, err
		}
		size -= n
	}
	return f.buf, nil
}

// batch is read with the payload decoded.
func (f *frameReader) batch() (Batch, error) {
	payload, err := f.read()
	if err != nil {
		return Batch{}, err
	}
	return decodeBatch(payload)
}

// frameSize is the length of the payload of the frame that data begins with.
func frameSize(data []byte) int { return int(binary.BigEndian.Uint32(data)) }

// wholeFrameAfter reports where in data, the rest of a file, a whole frame
// stands whose number comes after the one that was expected; -1 for nowhere.
// After a torn write there is none: nothing is written behind one.
func wholeFrameAfter(data []byte, expected uint64) int {
	for at := 0; at+frameHeader <= len(data); at++ {
		size := frameSize(data[at:])
		number := binary.BigEndian.Uint64(data[at+8:])
		if size > len(data)-at-frameHeader || number < expected || expected > 0 && number > expected+1<<32 {
			continue
		}
		if checksum(data[at:at+frameHeader+size]) == binary.BigEndian.Uint32(data[at+4:]) {
			return at
		}
	}
	return -1
}
