package dnsserver

import (
	"strings"

	"github.com/miekg/dns"
)

// maxTXTSet bounds the record data of one TXT rrset, in bytes, so that any set
// fits one TCP message of 65,535 with a chain of CNAMEs before it.
const maxTXTSet = 60000

// wireSize is the room one value takes in a message: the compressed owner and
// fixed fields (12 bytes), and a length byte for each 255 bytes of value.
func wireSize(value string) int {
	return 12 + len(value) + max(1, (len(value)+254)/255)
}

// newTXT returns the record for one value, cut into strings of at most 255
// bytes (RFC 1035 §3.3.14). What asks for validation records joins them again.
func newTXT(h dns.RR_Header, value string) *dns.TXT {
	var parts []string
	for len(value) > 255 {
		parts = append(parts, escapeTXT(value[:255]))
		value = value[255:]
	}
	return &dns.TXT{Hdr: h, Txt: append(parts, escapeTXT(value))}
}

// escapeTXT makes bytes into the form dns.TXT holds, where a backslash escapes.
func escapeTXT(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

// unescapeTXT is the bytes that a parsed dns.TXT string stands for: \DDD is a
// byte in decimal, \X is X (RFC 1035 §5.1).
func unescapeTXT(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			b.WriteByte((s[i]-'0')*100 + (s[i+1]-'0')*10 + s[i+2] - '0')
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
