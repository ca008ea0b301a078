package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Secondary is a server that follows a zone of this one: it is told of changes
// (RFC 1996), may transfer the zone, and is waited for.
type Secondary struct {
	Name    string // for logs, metrics and whoever waits, such as ns2.example.com
	Address string // IP address, or address and port; the port is 53 without
	Key     string // the TSIGKey of its transfers and of what it is told; "" means that its address is enough
}

// secondary is one configured Secondary, compiled.
type secondary struct {
	name    string
	address netip.AddrPort
	key     *key // nil: none
}

// following says who may transfer a zone, and who is told of its changes.
type following struct {
	secondaries []secondary
	from        []netip.Prefix // may transfer without a key
}

// mayTransfer reports whether the zone is for whoever signed, or for this
// address without a signature.
func (s *Server) mayTransfer(z *zone, who identity, client netip.Addr) bool {
	f := s.settings.Load().following[z.name]
	if who.key != nil {
		return who.key.mayTransfer(z.name) ||
			slices.ContainsFunc(f.secondaries, func(x secondary) bool { return x.key != nil && x.key.Name() == who.key.Name() })
	}
	return inNetworks(f.from, client) ||
		slices.ContainsFunc(f.secondaries, func(x secondary) bool { return x.key == nil && x.address.Addr() == client.Unmap().WithZone("") })
}

// compileFollowing returns by apex who follows, and what is wrong with it.
func compileFollowing(confs []Zone, keys map[string]*key) (map[string]following, []*ConfigError) {
	all := map[string]following{}
	var problems []*ConfigError
	for i, conf := range confs {
		apex, err := canonicalName(conf.Name)
		if err != nil {
			continue // said of the zone
		}
		problem := func(field, fix, format string, args ...any) {
			problems = append(problems, &ConfigError{
				Block: "zone", Index: i, Name: conf.Name, Field: field, Problem: fmt.Sprintf(format, args...), Fix: fix,
			})
		}
		var f following
		var wrong []*ConfigError
		f.from, wrong = compileNetworks("transfer_from", conf.TransferFrom)
		for _, p := range wrong {
			problem(p.Field, p.Fix, "%s", p.Problem)
		}
		for _, of := range conf.Secondaries {
			one := secondary{name: of.Name}
			if one.address, err = serverAddress(of.Address); err != nil {
				problem("secondary", "write its address like 192.0.2.54 or [2001:db8::54]:53", "%q: %v", of.Name, err)
			}
			if one.key, err = keyNamed(keys, of.Key); err != nil {
				problem("secondary", "add the tsig_key, or correct the name", "%q: %v", of.Name, err)
			}
			if slices.ContainsFunc(f.secondaries, func(x secondary) bool { return x.name == one.name }) {
				problem("secondary", "give each its own name", "%q is there twice", of.Name)
			}
			f.secondaries = append(f.secondaries, one)
		}
		if conf.Signed && len(f.secondaries)+len(f.from) > 0 {
			problem("secondary", "have the servers share a storage, so that each signs; or remove dnssec = true",
				"the zone is signed as it is asked, so a secondary would serve it without signatures, and whoever checks them refuses that")
		}
		all[apex] = f
	}
	return all, problems
}

// keyNamed finds a key by the name in a configuration; none is nil.
func keyNamed(keys map[string]*key, text string) (*key, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no key is wanted
	}
	name, err := canonicalName(text)
	if err != nil || keys[name] == nil {
		return nil, fmt.Errorf("there is no key %q", text)
	}
	return keys[name], nil
}

// serverAddress reads the address of a DNS server.
func serverAddress(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), 53), nil
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil || ap.Port() == 0 {
		return ap, fmt.Errorf("%q is no IP address", text)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}
