package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The protocols that do not speak in lines.

// askPostgres sends an SSLRequest, which is answered by one letter.
func askPostgres(conversation io.ReadWriter) error {
	if _, err := conversation.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return fmt.Errorf("send an SSLRequest: %w", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(conversation, answer[:]); err != nil {
		return fmt.Errorf("read the answer to an SSLRequest: %w", err)
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		return fmt.Errorf("%w: it answers that it has no TLS: set ssl = on", ErrNoStartTLS)
	}
	return fmt.Errorf("%w: it answers an SSLRequest with %q", ErrNoStartTLS, answer[:])
}

// startTLSOID is the name of LDAP's extended operation.
const startTLSOID = "1.3.6.1.4.1.1466.20037"

// The tags of BER that an extended response is made of.
const (
	tagSequence   = 0x30
	tagInteger    = 0x02
	tagEnumerated = 0x0a
	tagText       = 0x04
	tagExtended   = 0x78 // [APPLICATION 24]
)

// askLDAP sends the extended request and reads the response to it. Servers write
// lengths in BER, longer than DER would have them, so encoding/asn1 does not read
// them all.
func askLDAP(conversation io.ReadWriter) error {
	request := []byte{tagSequence, byte(7 + len(startTLSOID)), tagInteger, 1, 1, 0x77, byte(2 + len(startTLSOID)), 0x80, byte(len(startTLSOID))}
	if _, err := conversation.Write(append(request, startTLSOID...)); err != nil {
		return fmt.Errorf("send an extended request: %w", err)
	}
	message, err := element(conversation, tagSequence)
	if err != nil {
		return fmt.Errorf("read the extended response: %w", err)
	}
	reader := bytes.NewReader(message)
	_, err = element(reader, tagInteger)
	var response, code, words []byte
	if err == nil {
		response, err = element(reader, tagExtended)
	}
	reader = bytes.NewReader(response)
	if err == nil {
		code, err = element(reader, tagEnumerated)
	}
	if err == nil {
		_, err = element(reader, tagText) // matchedDN
	}
	if err == nil {
		words, err = element(reader, tagText)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: its extended response cannot be read: %w", ErrNoStartTLS, err)
	case !bytes.Equal(code, []byte{0}):
		return fmt.Errorf("%w: it answers with result code %d: %q", ErrNoStartTLS, code, abridged(string(words)))
	}
	return nil
}

var errElement = errors.New("not an element of LDAP")

// element reads one element of BER with a definite length, and returns its
// content.
func element(reader io.Reader, tag byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return nil, err
	}
	length := int(head[1])
	if length >= 0x80 {
		long := make([]byte, length&0x7f)
		if len(long) == 0 || len(long) > 4 {
			return nil, errElement
		}
		if _, err := io.ReadFull(reader, long); err != nil {
			return nil, err
		}
		length = 0
		for _, b := range long {
			length = length<<8 | int(b)
		}
	}
	if head[0] != tag || length < 0 || length > mostLine {
		return nil, errElement
	}
	content := make([]byte, length)
	_, err := io.ReadFull(reader, content)
	return content, err
}
