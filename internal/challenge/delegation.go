package challenge

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"
)

const (
	maxLabel   = 63 // bytes, RFC 1035 §2.3.4
	maxDNSName = 253
	digestSize = 10 // characters of five bits
)

// Delegation is a CNAME record that leads the validation of a domain into a zone
// where its records can be published. It is created once and serves all
// certificates of the domain, wildcards included.
type Delegation struct {
	Domain string // without wildcard
	Name   string // owner of the CNAME, where the CA looks
	Target string // where it leads
}

// Delegate names the delegation of a domain into a zone. Both are normalized
// names; that of a wildcard is that of the domain below it, since both are
// validated at the same name (RFC 8555 §8.4).
func Delegate(domain, zone string) (Delegation, error) {
	domain = strings.TrimPrefix(domain, "*.")
	target := DelegationLabel(domain) + "." + zone
	if len(target) > maxDNSName {
		return Delegation{}, fmt.Errorf("%s is %d bytes long, a name has at most %d (RFC 1035): use a zone with a shorter name", target, len(target), maxDNSName)
	}
	return Delegation{Domain: domain, Name: Name(domain), Target: target}, nil
}

// DelegationLabel is the label of a domain's validation records in a zone that
// holds those of many domains: the domain with hyphens for its dots, so that
// people recognize it, and ten characters of its SHA-256 in base32, since
// a.b-c.example and a-b.c.example read the same. It depends on nothing but the
// domain and never changes.
//
// Hyphens in a row become one: "xn--" at the beginning of a label would have it
// taken for an internationalized one (RFC 5890 §2.3.1).
func DelegationLabel(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	digest := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:digestSize]
	readable := regexp.MustCompile(`[.-]+`).ReplaceAllString(domain, "-")
	if most := maxLabel - digestSize - 1; len(readable) > most {
		readable = strings.TrimSuffix(readable[:most], "-")
	}
	return readable + "-" + digest
}
