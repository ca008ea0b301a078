package transporttest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // NTLM is made of it
)

// ntlmKey finds what is known about a connection: NTLM authenticates connections,
// not requests (MS-NTHT).
type ntlmKey struct{}

type ntlmConnection struct {
	mu      sync.Mutex
	trusted bool
	greeted bool
}

func ntlmContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, ntlmKey{}, &ntlmConnection{})
}

// serverChallenge is any eight bytes.
const serverChallenge = "\x01\x23\x45\x67\x89\xab\xcd\xef"

// requireNTLM lets a connection pass after an NTLMv2 handshake (MS-NLMP).
func requireNTLM(user, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		c := request.Context().Value(ntlmKey{}).(*ntlmConnection)
		c.mu.Lock()
		defer c.mu.Unlock()
		kind, encoded, _ := strings.Cut(request.Header.Get("Authorization"), " ")
		message, err := base64.StdEncoding.DecodeString(encoded)
		if c.trusted && kind == "" {
			c.mu.Unlock()
			next.ServeHTTP(response, request)
			c.mu.Lock()
			return
		}
		refuse := func(header string) {
			_, _ = io.Copy(io.Discard, request.Body) // so that the connection can go on
			response.Header().Set("Www-Authenticate", header)
			response.WriteHeader(http.StatusUnauthorized)
		}
		if kind != "Negotiate" || err != nil || len(message) < 12 || string(message[:8]) != "NTLMSSP\x00" {
			refuse("Negotiate")
			return
		}
		switch binary.LittleEndian.Uint32(message[8:]) {
		case 1:
			c.greeted = true
			refuse("Negotiate " + base64.StdEncoding.EncodeToString(challengeMessage()))
		case 3:
			if !c.greeted || !checkNTLM(message, user, password) {
				refuse("Negotiate")
				return
			}
			c.trusted = true
			c.mu.Unlock()
			next.ServeHTTP(response, request)
			c.mu.Lock()
		default:
			refuse("Negotiate")
		}
	})
}

// challengeMessage is MS-NLMP 2.2.1.2, with the end of the target information
// only.
func challengeMessage() []byte {
	const flags = 0x00000001 | 0x00000200 | 0x00080000 | 0x00800000 | 0x20000000 // Unicode, NTLM, extended security, target information, 128 bits
	target := []byte{0, 0, 0, 0}
	message := []byte("NTLMSSP\x00")
	message = binary.LittleEndian.AppendUint32(message, 2)
	message = append(message, 0, 0, 0, 0, 56, 0, 0, 0) // no target name
	message = binary.LittleEndian.AppendUint32(message, flags)
	message = append(message, serverChallenge...)
	message = append(message, make([]byte, 8)...)
	message = append(message, byte(len(target)), 0, byte(len(target)), 0, 56, 0, 0, 0)
	message = append(message, make([]byte, 8)...) // version
	return append(message, target...)
}

// checkNTLM verifies the response of MS-NLMP 3.3.2.
func checkNTLM(message []byte, user, password string) bool {
	field := func(at int) []byte {
		if len(message) < at+8 {
			return nil
		}
		length, offset := int(binary.LittleEndian.Uint16(message[at:])), int(binary.LittleEndian.Uint32(message[at+4:]))
		if offset+length > len(message) {
			return nil
		}
		return message[offset : offset+length]
	}
	proof, domain, name := field(20), field(28), field(36)
	if len(proof) < 16 || !bytes.Equal(name, unicode(user)) {
		return false
	}
	sum := md4.New()
	_, _ = sum.Write(unicode(password)) // a hash never fails
	key := mac(sum.Sum(nil), unicode(strings.ToUpper(user)), domain)
	return hmac.Equal(mac(key, []byte(serverChallenge), proof[16:]), proof[:16])
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(md5.New, key)
	for _, part := range parts {
		_, _ = m.Write(part) // a hash never fails
	}
	return m.Sum(nil)
}

func unicode(text string) []byte {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return raw
}
