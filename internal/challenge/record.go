package challenge

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
)

// DNS01 is the challenge type that a TXT record answers (RFC 8555 §8.4).
const DNS01 = "dns-01"

// Record is one TXT record to be published.
type Record struct {
	// Domain is the name being validated.
	Domain string `json:"domain"`
	// Name is where the CA looks.
	Name string `json:"name"`
	// Target is where Name leads after CNAMEs, and where the record is written.
	Target string `json:"target"`
	// Value is the record's text.
	Value string `json:"value"`
}

// Publisher writes TXT records and removes them. Both leave other values at the
// name alone, and doing either twice is no error.
type Publisher interface {
	Publish(ctx context.Context, name, value string) error
	Withdraw(ctx context.Context, name, value string) error
}

// Name is where the record for a domain (without wildcard) is looked for.
func Name(domain string) string { return "_acme-challenge." + domain }

// DNSRecord is the record that answers a dns-01 challenge: the digest of the
// key authorization (RFC 8555 §8.4).
func DNSRecord(domain, keyAuthorization string) Record {
	digest := sha256.Sum256([]byte(keyAuthorization))
	name := Name(domain)
	return Record{Domain: domain, Name: name, Target: name, Value: base64.RawURLEncoding.EncodeToString(digest[:])}
}
