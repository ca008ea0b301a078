package challenge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// CAA is what a CA will look for before it issues for a name (RFC 8659).
type CAA struct {
	Domain   string // without wildcard
	Wildcard bool
	// Identities are the names by which the CA knows itself in such records.
	Identities []string
	// AccountURL is what records may bind issuance to (RFC 8657 §3).
	AccountURL string
}

// CAAChecker is a Solver that can see what the CA will find.
type CAAChecker interface {
	// CheckCAA returns an ErrForbidden where the records of a name leave the CA
	// out. Where nobody answers it is the CA that will say so.
	CheckCAA(ctx context.Context, names []CAA) error
}

// ErrForbidden says that the CAA records of a name leave the CA out.
var ErrForbidden = errors.New("CAA records forbid the CA to issue")

// CheckCAA implements CAAChecker.
func (s *DNSSolver) CheckCAA(ctx context.Context, names []CAA) error {
	talk := s.Resolver.converse()
	defer talk.close()
	problems := make([]error, len(names))
	group, ctx := parallel(ctx)
	look := talk.caaOnce(ctx)
	for n, name := range names {
		group.Go(func() error {
			at, set, err := nearestCAA(name.Domain, look)
			if err != nil {
				s.Logger.DebugContext(ctx, "look at CAA records", "name", name.Domain, "error", err)
				return ctx.Err()
			}
			problems[n] = name.check(at, set)
			return nil
		})
	}
	return errors.Join(group.Wait(), errors.Join(problems...))
}

// nearestCAA returns the records that count for a name: its own, else those of
// the nearest name above (RFC 8659 §3).
func nearestCAA(name string, look func(name string) ([]*dns.CAA, error)) (at string, set []*dns.CAA, err error) {
	for at := dns.Fqdn(name); at != "."; at = parentOf(at) {
		if set, err = look(at); err != nil || len(set) > 0 {
			return strings.TrimSuffix(at, "."), set, err
		}
	}
	return "", nil, nil
}

// caaOnce asks for the records at a name, once for all that lie below it.
func (c *conversation) caaOnce(ctx context.Context) func(name string) ([]*dns.CAA, error) {
	var known sync.Map
	return func(name string) ([]*dns.CAA, error) {
		once, _ := known.LoadOrStore(name, sync.OnceValues(func() (set []*dns.CAA, err error) {
			answer, err := c.lookup(ctx, name, dns.TypeCAA)
			if err != nil && !errors.Is(err, errNoName) {
				return nil, err
			}
			for _, record := range answer.Answer {
				if one, ok := record.(*dns.CAA); ok {
					set = append(set, one)
				}
			}
			return set, nil
		}))
		ask, _ := once.(func() ([]*dns.CAA, error))
		return ask()
	}
}

// critical is the flag of a record that nobody may pass over.
const critical = 1 << 7

// check finds out whether a set of records leaves the CA out (RFC 8659 §4).
func (c CAA) check(at string, set []*dns.CAA) error {
	named := func(tag string) (found []*dns.CAA) {
		for _, record := range set {
			if strings.EqualFold(record.Tag, tag) {
				found = append(found, record)
			}
		}
		return found
	}
	tag := "issue"
	if c.Wildcard && len(named("issuewild")) > 0 {
		tag = "issuewild"
	}
	relevant := named(tag)
	for _, record := range set {
		known := slices.Contains([]string{"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"}, strings.ToLower(record.Tag))
		if record.Flag&critical != 0 && !known {
			return fmt.Errorf("%w: %s has a critical record of the unknown kind %q; remove it, or take its flag away", ErrForbidden, at, record.Tag)
		}
	}
	if len(relevant) == 0 {
		return nil
	}
	var why []string
	for _, record := range relevant {
		reason := c.refused(record.Value)
		if reason == "" {
			return nil
		}
		why = append(why, fmt.Sprintf("%q %s", record.Value, reason))
	}
	name := c.Domain
	if c.Wildcard {
		name = "*." + name
	}
	return fmt.Errorf("%w: for %s those at %s count, and of kind %s are there %s; add a record: %s. CAA 0 %s %q",
		ErrForbidden, name, at, tag, strings.Join(why, ", "), at, tag, c.Identities[0])
}

// refused says why one record does not let the CA issue; empty where it does.
func (c CAA) refused(value string) string {
	issuer, parameters, _ := strings.Cut(value, ";")
	issuer = strings.TrimSpace(issuer)
	switch {
	case issuer == "":
		return "(nobody)"
	case !slices.ContainsFunc(c.Identities, func(identity string) bool { return strings.EqualFold(identity, issuer) }):
		return "(another CA)"
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(parameter, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "accounturi":
			if c.AccountURL != "" && value != c.AccountURL {
				return "(another account than " + c.AccountURL + ")"
			}
		case "validationmethods":
			if !slices.Contains(strings.Split(value, ","), DNS01) {
				return "(another validation than " + DNS01 + ")"
			}
		}
	}
	return ""
}
