package dnsserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Defaults of a Config. Negative and dynamic answers live shortly, because a
// certificate authority asks again within seconds of a record's arrival.
const (
	DefaultTTL            = 300 // seconds
	DefaultDynamicTTL     = 5   // seconds
	DefaultNegativeTTL    = 5   // seconds
	DefaultMaxConnections = 1000
	DefaultMaxPerClient   = 100
	DefaultIdleTimeout    = 10 * time.Second
)

// maxTTL is the largest TTL there is (RFC 2181 §8).
const maxTTL = 1<<31 - 1

// Config is what a Server serves and who may change it. The zero value of
// every field but Zones is usable.
type Config struct {
	Zones  []Zone
	DNSSEC DNSSEC
	Tokens []Token // who may use the HTTP API; none means nobody

	MaxConnections int           // TCP connections at once; 0 means DefaultMaxConnections
	MaxPerClient   int           // of them, from one IPv4 address or IPv6 /64; 0 means DefaultMaxPerClient
	IdleTimeout    time.Duration // how long a TCP connection may be silent; 0 means DefaultIdleTimeout
	LogQueries     bool          // log each query: who asked what, and what was answered
	QueryLog       QueryLog      // what is remembered of queries and changes
	MetricsFrom    []string      // networks that may read /metrics without a token, such as 127.0.0.0/8
	TrustedProxies []string      // networks whose X-Forwarded-For is believed
	Resolver       string        // host:port, that finds the servers of domains; "" means the system's
	Limits         Limits        // of all that comes and goes
	Accounts       Accounts      // what is registered, and the acme-dns API

	Keys    []TSIGKey // who may send dynamic updates and transfer zones; none means nobody
	Updates Updates   // bounds of dynamic updates

	TransferLog int // bytes of changes remembered of each zone, for IXFR; 0 means DefaultTransferLog

	NSID      string // what the server calls itself to who asks (RFC 5001); empty: nothing
	Cookies   Cookies
	RateLimit RateLimit
}

// Zone is one zone: its apex, and the records that do not change.
type Zone struct {
	Name        string   // the apex, such as auth.example.com
	NameServers []string // at least one; those inside the zone need an address in Records
	Hostmaster  string   // a mail address, or a name as in an SOA; "" means hostmaster at the zone

	TTL         uint32 // seconds, of the SOA, the NS and every record without its own; 0 means DefaultTTL
	DynamicTTL  uint32 // seconds, of TXT values put over the API; 0 means DefaultDynamicTTL
	NegativeTTL uint32 // seconds, how long resolvers may keep a "no" (RFC 2308 §5); 0 means DefaultNegativeTTL
	Serial      uint32 // of the SOA; 0 means 1
	Signed      bool   // by DNSSEC, with keys in the folder of the Config's DNSSEC

	// Records are lines of a zone file (RFC 1035 §5.1) with names relative to
	// the zone: addresses, delegations, CNAMEs, wildcards, any type that holds
	// data. SOA and the zone's own NS come from the fields above.
	Records string

	Primaries    []Primary   // servers that the zone is copied from; then it has neither NameServers nor Records
	Secondaries  []Secondary // servers that follow this one
	TransferFrom []string    // networks that may transfer the zone without a key
}

// Token allows its bearer to put and delete TXT values at some names.
type Token struct {
	Name   string   // who it is for; appears in logs and errors
	SHA256 string   // of the token, 64 hex digits; the token itself is nowhere kept
	Names  []string // "_acme-challenge.example.com" is that name, "*.example.com" every name below
	Rights []string // of read, write, register and admin; none means read and write
	Types  []string // record types it may change; none means TXT and CNAME, ANY means all that can be kept
}

// ConfigError is one thing wrong with a Config. A caller that knows where the
// Config came from finds the place by Block, Index, Field and Line.
type ConfigError struct {
	Block   string // "zone", "token", "tsig_key", "query_log", …, or "" for the Config itself
	Index   int    // which zone or token, from 0
	Name    string // its name
	Field   string // as the command's configuration spells it: nameservers, records, sha256, …
	Line    int    // in Zone.Records, from 1; 0 when Field is another
	Problem string // what is wrong
	Fix     string // what to do
}

// Error names the block and field, the problem and the fix.
func (e *ConfigError) Error() string {
	where := e.Field
	if e.Line > 0 {
		where = fmt.Sprintf("%s, line %d", e.Field, e.Line)
	}
	switch {
	case e.Block != "" && e.Name != "":
		where = fmt.Sprintf("%s %q: %s", e.Block, e.Name, where)
	case e.Block != "":
		where = e.Block + ": " + where
	}
	return fmt.Sprintf("%s: %s; %s", where, e.Problem, e.Fix)
}

// Problems returns everything wrong with the Config, or nothing. New refuses a
// Config that has any.
func (c Config) Problems() []*ConfigError {
	_, _, problems := c.compile()
	return problems
}

// compile turns the Config into what answers and what authenticates.
func (c Config) compile() (map[string]*zone, []token, []*ConfigError) {
	var problems []*ConfigError
	if len(c.Zones) == 0 {
		problems = append(problems, &ConfigError{
			Field: "zone", Problem: "there is no zone", Fix: `add one: zone "auth.example.com" { … }`,
		})
	}
	zones, zoneProblems := compileZones(c.Zones)
	tokens, tokenProblems := compileTokens(c.Tokens, zones)
	_, metrics := compileNetworks("metrics_from", c.MetricsFrom)
	_, proxies := compileNetworks("trusted_proxies", c.TrustedProxies)
	keys, keyProblems := compileKeys(c.Keys, zones)
	_, followingProblems := compileFollowing(c.Zones, keys)
	_, primaryProblems := compilePrimaries(c.Zones, keys)
	return zones, tokens, slices.Concat(problems, zoneProblems, tokenProblems, keyProblems, followingProblems, primaryProblems, c.DNSSEC.problems(c.Zones), c.Updates.problems(), c.Limits.problems(), c.checkConnections(), c.QueryLog.problems(), metrics, proxies, c.Accounts.problems(zones), c.checkPolicy())
}

// checkConnections finds bounds that let nobody in.
func (c Config) checkConnections() []*ConfigError {
	var all []*ConfigError
	for _, f := range []struct {
		field string
		value int
	}{{"max_connections", c.MaxConnections}, {"max_connections_per_client", c.MaxPerClient}} {
		if f.value < 0 {
			all = append(all, &ConfigError{Block: "limits", Field: f.field, Problem: fmt.Sprintf("%d is too few", f.value), Fix: "write a number from 1, or remove it"})
		}
	}
	return all
}

// joined makes one error of several problems, nil of none.
func joined(problems []*ConfigError) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// mailbox turns a mail address into the name an SOA holds (RFC 1035 §8): the
// first label is the local part, its dots escaped.
func mailbox(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	if !ok {
		return s
	}
	return strings.ReplaceAll(local, ".", `\.`) + "." + domain
}

// orDefault is v, or d when v is the zero value.
func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}
