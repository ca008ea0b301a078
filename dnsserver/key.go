package dnsserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// TSIGKey allows whoever has its secret to sign dynamic updates (RFC 2136) and
// zone transfers (RFC 8945).
type TSIGKey struct {
	Name      string      // as both sides write it, such as certbot or _acme-challenge.www.example.com
	Algorithm string      // one of tsig.Algorithms; "" means hmac-sha256
	Secret    tsig.Secret // base64, at least tsig.MinSecret bytes
	Updates   []string    // names it may change, as in Token.Names
	Self      bool        // it may change records at the very name it has
	Types     []string    // record types it may change; none means TXT, ANY means all that can be kept
	Transfers []string    // zones it may transfer
}

// key is one configured TSIGKey, compiled.
type key struct {
	*tsig.Key
	scopes    []scope
	self      bool
	types     []uint16 // dns.TypeANY among them means all
	transfers []string // apexes
}

// mayChange reports whether the key may change records of a type at a name.
func (k *key) mayChange(name string, rrtype uint16) bool {
	return k.reaches(name) && (slices.Contains(k.types, rrtype) || slices.Contains(k.types, dns.TypeANY))
}

// reaches reports whether the key may change anything at a name.
func (k *key) reaches(name string) bool {
	return k.self && name == k.Name() || slices.ContainsFunc(k.scopes, func(s scope) bool { return s.covers(name) })
}

// mayTransfer reports whether the key may transfer a zone.
func (k *key) mayTransfer(apex string) bool { return slices.Contains(k.transfers, apex) }

// label is the key for logs, and for the history of a name.
func (k *key) label() string { return fmt.Sprintf("key %q", display(k.Name())) }

// keyBuilder compiles one TSIGKey and gathers its problems.
type keyBuilder struct {
	conf     TSIGKey
	index    int
	zones    map[string]*zone // nil: they are not checked
	problems []*ConfigError
}

func (b *keyBuilder) problem(field, fix, format string, args ...any) {
	b.problems = append(b.problems, &ConfigError{
		Block: "tsig_key", Index: b.index, Name: b.conf.Name, Field: field, Problem: fmt.Sprintf(format, args...), Fix: fix,
	})
}

// compileKeys returns the keys by name, and what is wrong with them. Without
// zones what the keys reach is not checked.
func compileKeys(confs []TSIGKey, zones map[string]*zone) (map[string]*key, []*ConfigError) {
	keys := map[string]*key{}
	var problems []*ConfigError
	for i, conf := range confs {
		b := &keyBuilder{conf: conf, index: i, zones: zones}
		if k := b.compile(); k != nil {
			if keys[k.Name()] != nil {
				b.problem("name", "give each key its own name", "the name is used twice")
			}
			keys[k.Name()] = k
		}
		problems = append(problems, b.problems...)
	}
	return keys, problems
}

// compile returns nil for what cannot be a key.
func (b *keyBuilder) compile() *key {
	name, err := canonicalName(b.conf.Name)
	if err != nil {
		b.problem("name", "write a name such as certbot", "%v", err)
		return nil
	}
	k := &key{self: b.conf.Self}
	k.Key, err = tsig.NewKey(name, b.conf.Algorithm, b.conf.Secret)
	switch {
	case errors.Is(err, tsig.ErrAlgorithm):
		b.problem("algorithm", "write one of "+strings.Join(tsig.Algorithms(), ", "), "%v", err)
		return nil
	case err != nil:
		b.problem("secret", "make one with: tsig-keygen "+display(name), "%v", err)
		return nil
	}
	b.scopes(k)
	b.types(k)
	for _, text := range b.conf.Transfers {
		apex, err := canonicalName(text)
		if err != nil || b.zones != nil && b.zones[apex] == nil {
			b.problem("transfers", "write the name of one of the zones", "%q is no zone of this server", text)
		} else if b.zones != nil && b.zones[apex].signed {
			b.problem("transfers", "remove it: the servers of a signed zone share a storage", "the zone %q is signed as it is asked, and a transfer of it has no signatures", text)
		}
		k.transfers = append(k.transfers, apex)
	}
	return k
}

// scopes reads the names that the key may change.
func (b *keyBuilder) scopes(k *key) {
	for _, pattern := range b.conf.Updates {
		s, err := parseScope(pattern)
		switch {
		case err != nil:
			b.problem("updates", `write a name, or "*." and a name for all below it`, "%v", err)
		case b.zones != nil && !reachesZone(s, b.zones):
			b.problem("updates", "correct it, or add the zone", "%s is in no zone of this server", s)
		}
		k.scopes = append(k.scopes, s)
	}
	if k.self && b.zones != nil && !reachesZone(scope{name: k.Name()}, b.zones) {
		b.problem("self", "name the key like the name it may change, such as _acme-challenge.www.example.com", "the key's name is in no zone of this server")
	}
}

// types reads the record types that the key may change.
func (b *keyBuilder) types(k *key) {
	k.types = compileTypes(b.conf.Types, []uint16{dns.TypeTXT}, b.problem)
	if len(b.conf.Types) > 0 && len(b.conf.Updates) == 0 && !b.conf.Self {
		b.problem("types", "list names in updates, or write self = true", "the key may change no name")
	}
}

// compileTypes reads record types that somebody may change; none means those of
// otherwise.
func compileTypes(texts []string, otherwise []uint16, problem func(field, fix, format string, args ...any)) []uint16 {
	var types []uint16
	for _, text := range texts {
		rrtype, err := parseType(text)
		switch {
		case err != nil:
			problem("types", "write types such as TXT, CNAME or A, or ANY", "%v", err)
			continue
		case rrtype != dns.TypeANY && !storable(rrtype):
			problem("types", "remove it", "%s records are not kept here", dns.Type(rrtype))
		}
		types = append(types, rrtype)
	}
	if len(types) == 0 {
		return otherwise
	}
	return types
}

// parseType reads a record type by its name, or as TYPE and its number (RFC 3597
// §5).
func parseType(text string) (uint16, error) {
	upper := strings.ToUpper(text)
	if rrtype, ok := dns.StringToType[upper]; ok {
		return rrtype, nil
	}
	number, ok := strings.CutPrefix(upper, "TYPE")
	rrtype, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no record type", text)
	}
	return uint16(rrtype), nil
}

// Defaults of Updates.
const (
	DefaultUpdateRecords = 1000
	DefaultUpdateValues  = 500
	DefaultUpdateBytes   = tcpSize
	DefaultUpdatePending = 1024
)

// Updates bounds dynamic updates, whoever signs them. The zero value has the
// defaults.
type Updates struct {
	MaxRecords int // prerequisites and changes of one message; 0 means DefaultUpdateRecords
	MaxValues  int // records of one type at one name, after the update; 0 means DefaultUpdateValues
	MaxBytes   int // of one message; 0 means DefaultUpdateBytes
	MaxPending int // that are being made at once, others are dropped; 0 means DefaultUpdatePending
}

func (u Updates) withDefaults() Updates {
	u.MaxRecords = orDefault(u.MaxRecords, DefaultUpdateRecords)
	u.MaxValues = orDefault(u.MaxValues, DefaultUpdateValues)
	u.MaxBytes = orDefault(u.MaxBytes, DefaultUpdateBytes)
	u.MaxPending = orDefault(u.MaxPending, DefaultUpdatePending)
	return u
}

// problems are those of the block.
func (u Updates) problems() []*ConfigError {
	var all []*ConfigError
	fields := map[string]int{
		"max_records": u.MaxRecords, "max_values": u.MaxValues, "max_bytes": u.MaxBytes, "max_pending": u.MaxPending,
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if fields[field] < 0 {
			all = append(all, &ConfigError{
				Block: "updates", Field: field, Problem: fmt.Sprintf("%d is too few", fields[field]), Fix: "write a number from 1, or remove it",
			})
		}
	}
	return all
}
