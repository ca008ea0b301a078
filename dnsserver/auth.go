package dnsserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// token is one configured Token, compiled.
type token struct {
	name   string
	sum    [sha256.Size]byte
	scopes []scope
	rights []string
	types  []uint16 // record types it may change; dns.TypeANY among them means all
}

// scope is one name, or every name below one.
type scope struct {
	name  string // canonical
	below bool
}

func (s scope) covers(name string) bool {
	if s.below {
		return name != s.name && within(name, s.name)
	}
	return name == s.name
}

func (s scope) String() string {
	if s.below {
		return "*." + display(s.name)
	}
	return display(s.name)
}

// allows reports whether the token's bearer may touch a name.
func (t *token) allows(name string) bool {
	if slices.Contains(t.rights, rightAdmin) && len(t.scopes) == 0 {
		return true
	}
	for _, s := range t.scopes {
		if s.covers(name) {
			return true
		}
	}
	return false
}

// scopeNames lists the scope for an error message.
func (t *token) scopeNames() string {
	var names []string
	for _, s := range t.scopes {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}

// authenticate returns the token that a bearer presents, or nil. Tokens are
// random and long, so one round of SHA-256 is enough; every hash is compared
// in full, so the time taken tells nothing.
func authenticate(tokens []token, presented string) *token {
	sum := sha256.Sum256([]byte(presented))
	var who *token
	for i := range tokens {
		if subtle.ConstantTimeCompare(sum[:], tokens[i].sum[:]) == 1 {
			who = &tokens[i]
		}
	}
	return who
}

// compileTokens returns the tokens, and what is wrong with them.
func compileTokens(confs []Token, zones map[string]*zone) ([]token, []*ConfigError) {
	var tokens []token
	var problems []*ConfigError
	names, sums := map[string]bool{}, map[[sha256.Size]byte]string{}
	for i, conf := range confs {
		problem := func(field, fix, format string, args ...any) {
			problems = append(problems, &ConfigError{
				Block: "token", Index: i, Name: conf.Name, Field: field,
				Problem: fmt.Sprintf(format, args...), Fix: fix,
			})
		}
		t := token{name: conf.Name}
		if names[conf.Name] {
			problem("name", "give each token its own name", "the name is used twice")
		}
		names[conf.Name] = true
		sum, err := hex.DecodeString(conf.SHA256)
		if err != nil || len(sum) != sha256.Size {
			problem("sha256", "run certificate-dns token and copy its line", "it is not a SHA-256 in 64 hex digits")
		} else {
			copy(t.sum[:], sum)
			if other, ok := sums[t.sum]; ok {
				problem("sha256", "make a token for each", "it is the hash of token %q too", other)
			}
			sums[t.sum] = conf.Name
		}
		t.rights = conf.Rights
		if len(t.rights) == 0 {
			t.rights = []string{rightRead, rightWrite}
		}
		for _, right := range t.rights {
			if !slices.Contains(allRights(), right) {
				problem("rights", "write some of "+strings.Join(allRights(), ", "), "%q is none of the rights", right)
			}
		}
		t.types = compileTypes(conf.Types, []uint16{dns.TypeTXT, dns.TypeCNAME}, problem)
		if len(conf.Names) == 0 && !t.may(rightAdmin) {
			problem("names", `list names, such as "*.auth.example.com" for all below it`, "there is none, so the token may do nothing")
		}
		for _, pattern := range conf.Names {
			s, err := parseScope(pattern)
			switch {
			case err != nil:
				problem("names", `write a name, or "*." and a name for all below it`, "%v", err)
			case !reachesZone(s, zones):
				problem("names", "correct it, or add the zone", "%s is in no zone of this server", s)
			}
			t.scopes = append(t.scopes, s)
		}
		tokens = append(tokens, t)
	}
	return tokens, problems
}

func parseScope(pattern string) (scope, error) {
	rest, below := strings.CutPrefix(pattern, "*.")
	name, err := canonicalName(rest)
	if err == nil && strings.Contains(name, "*") {
		err = fmt.Errorf("%q has a * that is not its first label", pattern)
	}
	return scope{name, below}, err
}

// reachesZone reports whether a scope covers anything that is served here.
func reachesZone(s scope, zones map[string]*zone) bool {
	for apex := range zones {
		if within(s.name, apex) || s.below && within(apex, s.name) {
			return true
		}
	}
	return false
}
