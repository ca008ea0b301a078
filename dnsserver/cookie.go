package dnsserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Sizes of a DNS cookie in bytes (RFC 7873 §4).
const (
	clientCookieSize = 8
	serverCookieSize = 16 // as RFC 9018 §4 makes them
	longestCookie    = 40 // another server's may be this long
)

// How old a server cookie may be (RFC 9018 §4.3).
const (
	cookieLife    = time.Hour
	cookieRenewal = 30 * time.Minute // after which the client gets a new one
	cookieAhead   = 5 * time.Minute  // by how much a clock may be before ours
)

// secretLife is how long a secret that the server made is used; the one before
// it is accepted for as long.
const secretLife = 24 * time.Hour

// CookieSecret is a secret of DNS cookies. It does not print.
type CookieSecret [16]byte

// ParseCookieSecret reads 32 hex digits, as other servers' configurations have
// them.
func ParseCookieSecret(s string) (CookieSecret, error) {
	var secret CookieSecret
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(secret) {
		return secret, errors.New("a cookie secret is 32 hex digits")
	}
	copy(secret[:], b)
	return secret, nil
}

// String implements fmt.Stringer.
func (CookieSecret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (CookieSecret) GoString() string { return "(secret)" }

// Format implements fmt.Formatter, so that no verb shows the bytes.
func (CookieSecret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(secret)")) }

// LogValue implements slog.LogValuer.
func (CookieSecret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// cookies makes and checks server cookies (RFC 9018). With configured secrets
// the first makes them and all are accepted, so several servers of one address
// can share them; without, the server makes a secret that it replaces daily.
type cookies struct {
	configured []CookieSecret
	master     [32]byte
	rotated    atomic.Pointer[rotation]
}

// rotation is the secrets of one period.
type rotation struct {
	period  int64
	secrets []CookieSecret
}

func newCookies(secrets []CookieSecret) *cookies {
	c := &cookies{configured: secrets}
	_, _ = rand.Read(c.master[:]) // never fails
	return c
}

// secrets are those in use, the one that makes cookies first.
func (c *cookies) secrets(now time.Time) []CookieSecret {
	if len(c.configured) > 0 {
		return c.configured
	}
	period := now.Unix() / int64(secretLife/time.Second)
	if r := c.rotated.Load(); r != nil && r.period == period {
		return r.secrets
	}
	r := &rotation{period, []CookieSecret{c.derive(period), c.derive(period - 1)}}
	c.rotated.Store(r)
	return r.secrets
}

func (c *cookies) derive(period int64) CookieSecret {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(c.master[:len(c.master):len(c.master)], uint64(period)))
	return CookieSecret(sum[:16])
}

// check reports whether the option of a client holds a server cookie of ours,
// and appends the option's data for the reply: the client's cookie and a server
// cookie, the same one while it is fresh (RFC 9018 §4.3).
func (c *cookies) check(out, option []byte, client netip.Addr, now time.Time) (data []byte, valid bool) {
	secrets := c.secrets(now)
	out = append(out, option[:clientCookieSize]...)
	theirs := option[clientCookieSize:]
	if len(theirs) == serverCookieSize && theirs[0] == 1 {
		made := time.Unix(int64(binary.BigEndian.Uint32(theirs[4:])), 0)
		age := now.Sub(made)
		if age <= cookieLife && age >= -cookieAhead {
			for i := range secrets {
				if cookieHash(secrets[i], option, client) == binary.LittleEndian.Uint64(theirs[8:]) {
					if age <= cookieRenewal && i == 0 {
						return append(out, theirs...), true
					}
					valid = true
					break
				}
			}
		}
	}
	start := len(out) - clientCookieSize
	out = append(out, 1, 0, 0, 0) // version and reserved
	out = binary.BigEndian.AppendUint32(out, uint32(now.Unix()))
	return binary.LittleEndian.AppendUint64(out, cookieHash(secrets[0], out[start:], client)), valid
}

// cookieHash hashes client cookie, version, reserved, time and the client's
// address (RFC 9018 §4.4).
func cookieHash(secret CookieSecret, option []byte, client netip.Addr) uint64 {
	var buf [16 + 16]byte
	n := copy(buf[:], option[:16])
	if client.Is4() {
		ip := client.As4()
		n += copy(buf[n:], ip[:])
	} else {
		ip := client.As16()
		n += copy(buf[n:], ip[:])
	}
	return sipHash(secret, buf[:n])
}

// goodCookie reports whether a cookie option has a length that there is
// (RFC 7873 §5.2.2).
func goodCookie(option []byte) bool {
	n := len(option)
	return n == clientCookieSize || n >= 16 && n <= longestCookie
}
