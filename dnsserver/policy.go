package dnsserver

import (
	"fmt"
	"net/netip"
	"time"
)

// Defaults of a RateLimit. A certificate authority asks a few hundred questions
// a second at most, from several networks.
const (
	DefaultResponsesPerSecond = 500
	DefaultSlip               = 2
)

// RateLimit bounds the replies over UDP to one network (IPv4 /24, IPv6 /56)
// for each kind of reply. A client with a DNS cookie of ours has proven its
// address and is not limited. The zero value limits with the defaults.
type RateLimit struct {
	Disabled  bool
	PerSecond uint32         // 0 means DefaultResponsesPerSecond
	Slip      uint32         // over the rate one reply in so many says TC, the rest is dropped; 1 drops none; 0 means DefaultSlip
	Exempt    []netip.Prefix // networks that are not limited; nil means this machine's own
}

// Cookies are DNS cookies (RFC 7873). The zero value has them, with a secret
// that the server makes and replaces daily.
type Cookies struct {
	Disabled bool
	Secrets  []CookieSecret // shared by all servers of one address: the first makes cookies, all are accepted
}

// maxNSID bounds a name server identifier, which is in many replies, in bytes.
const maxNSID = 128

// checkPolicy finds what is wrong with how replies are given.
func (c Config) checkPolicy() []*ConfigError {
	var problems []*ConfigError
	if len(c.NSID) > maxNSID {
		problems = append(problems, &ConfigError{
			Field: "nsid", Problem: fmt.Sprintf("it has %d bytes", len(c.NSID)), Fix: fmt.Sprintf("write at most %d", maxNSID),
		})
	}
	for i, secret := range c.Cookies.Secrets {
		if secret == (CookieSecret{}) {
			problems = append(problems, &ConfigError{
				Field: "cookies", Problem: fmt.Sprintf("secret %d is all zeros", i+1), Fix: "make one with: openssl rand -hex 16",
			})
		}
	}
	return problems
}

// ownNetworks are this machine's: nobody elsewhere can send in their name.
func ownNetworks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// policy is what of a configuration concerns every reply.
type policy struct {
	nsid    []byte                 // empty: none
	cookies *cookies               // nil: off
	limiter *limiter               // nil: off
	signers map[string]*zoneSigner // of signed zones, by apex
}

func (c Config) policy() *policy {
	p := &policy{nsid: []byte(c.NSID), limiter: newLimiter(c.RateLimit)}
	if !c.Cookies.Disabled {
		p.cookies = newCookies(c.Cookies.Secrets)
	}
	return p
}

// terms are what a reply depends on besides the records and the message.
type terms struct {
	policy   *policy    // nil: no option of EDNS is known
	limit    int        // the longest reply that the transport carries, in bytes
	reserved int        // of them, for a signature
	client   netip.Addr // who asks
	port     uint16     // of the client
	now      time.Time
}
