package challenge

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/miekg/dns"
)

// The types of challenges that can be answered.
const (
	DNS01     = "dns-01"      // a TXT record, RFC 8555 §8.4
	HTTP01    = "http-01"     // a file on the web server, RFC 8555 §8.3
	TLSALPN01 = "tls-alpn-01" // a certificate for the protocol acme-tls/1, RFC 8737
)

// The types of records that CAs without ACME ask for, at names of their own.
const (
	TXT   = "TXT"
	CNAME = "CNAME"
)

// Record is what answers one challenge.
type Record struct {
	// Type is the challenge's.
	Type string `json:"type,omitempty"`
	// Domain is the name or address being validated.
	Domain string `json:"domain"`
	// Name is where the CA looks: the name of a TXT record, the URL of a file,
	// or the server name of a handshake.
	Name string `json:"name"`
	// Target is where that leads and the record is written: the name after
	// CNAMEs, or the file.
	Target string `json:"target"`
	// Value is the text of the TXT record or the file, or the digest in the
	// certificate in hex.
	Value string `json:"value"`
	// Creates is the first folder on the way to the file that was not there
	// before.
	Creates string `json:"creates,omitempty"`
}

// Solver answers the challenges of one type.
type Solver interface {
	Type() string
	// Present makes the records visible to the CA and returns once they are.
	// Records that are there already are no error. On an error some may be
	// there: call Withdraw.
	Present(ctx context.Context, records []Record) error
	// Withdraw removes the records, going on past failures. Records that are
	// gone already are no error.
	Withdraw(ctx context.Context, records []Record) error
}

// Locator is a Solver that finds out where records have to be written.
type Locator interface {
	// Locate fills that in; it writes nothing.
	Locate(ctx context.Context, records []Record) ([]Record, error)
}

// RecordWriter is a Solver that also writes the records of CAs without ACME.
type RecordWriter interface {
	// Writes tells whether records of a type, TXT or CNAME, can be written.
	Writes(kind string) bool
}

// AliasPublisher is a Publisher that also writes CNAME records, which are alone
// at their names.
type AliasPublisher interface {
	PublishAlias(ctx context.Context, name, target string) error
	WithdrawAlias(ctx context.Context, name, target string) error
}

// Publisher writes TXT records and removes them. Both leave other values at the
// name alone, and doing either twice is no error.
type Publisher interface {
	Publish(ctx context.Context, name, value string) error
	Withdraw(ctx context.Context, name, value string) error
}

// Settler is a Publisher that knows servers of the zone which follow the one that
// it writes to. Settle returns when all have what was published, or an error that
// names who has not; with ctx it ends.
type Settler interface {
	Settle(ctx context.Context, name string) error
}

// Name is where the TXT record for a domain (without wildcard) is looked for.
func Name(domain string) string { return "_acme-challenge." + domain }

// wellKnown is the path of the files that the CA asks for (RFC 8555 §8.3).
const wellKnown = "/.well-known/acme-challenge/"

// NewRecord is the record that answers a challenge for a domain (without
// wildcard) or an IP address.
func NewRecord(kind, domain, token, keyAuthorization string) (Record, error) {
	digest := sha256.Sum256([]byte(keyAuthorization))
	r := Record{Type: kind, Domain: domain}
	switch kind {
	case DNS01:
		r.Name, r.Value = Name(domain), base64.RawURLEncoding.EncodeToString(digest[:])
		r.Target = r.Name
	case HTTP01:
		// The token becomes the name of a file (RFC 8555 §8.3 has it base64url).
		if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(token) {
			return Record{}, fmt.Errorf("the token %q of the challenge for %s is not base64url", token, domain)
		}
		r.Target, r.Value = wellKnown+token, keyAuthorization
		r.Name = "http://" + hostOf(domain) + r.Target
	case TLSALPN01:
		r.Name, r.Value = serverName(domain), hex.EncodeToString(digest[:])
		r.Target = r.Name
	default:
		return Record{}, fmt.Errorf("challenges of the type %q cannot be answered", kind)
	}
	return r, nil
}

// path is that of the URL of an http-01 record.
func (r Record) path() string { return r.Name[max(strings.Index(r.Name, wellKnown), 0):] }

// rrType is the type of the record in DNS.
func (r Record) rrType() string {
	if r.Type == CNAME {
		return CNAME
	}
	return TXT
}

// hostOf is a name or address as URLs have it.
func hostOf(domain string) string {
	if strings.Contains(domain, ":") {
		return "[" + domain + "]"
	}
	return domain
}

// serverName is what the CA asks for in the handshake; for an address the name
// of its reverse mapping (RFC 8738 §6).
func serverName(domain string) string {
	if _, err := netip.ParseAddr(domain); err != nil {
		return domain
	}
	name, err := dns.ReverseAddr(domain)
	if err != nil {
		return domain
	}
	return strings.TrimSuffix(name, ".")
}

// Suits returns why a name or address cannot be validated by challenges of a
// type; nil when it can be.
func Suits(kind, name string) error {
	_, err := netip.ParseAddr(name)
	switch {
	case err == nil && kind == DNS01:
		return fmt.Errorf("%s is an IP address, which has no DNS records of its own: validate it with validation.http_01 or validation.tls_alpn_01 (RFC 8738)", name)
	case strings.HasPrefix(name, "*.") && kind != DNS01:
		return fmt.Errorf("%s is a wildcard, which %s cannot validate: use a validation by DNS records, validation.responder or validation.rfc2136, or write the names one by one", name, kind)
	}
	return nil
}
