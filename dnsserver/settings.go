package dnsserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// settings are what a server has of its Config beside the zones; a reload puts
// others in their place. They are immutable.
type settings struct {
	tokens      []token
	logQueries  bool
	metricsFrom []netip.Prefix
	addresses   string // the privacy setting

	accounts       Accounts // with defaults
	resolver       string
	registerFrom   []netip.Prefix
	trustedProxies []netip.Prefix

	keys    map[string]*key // by name
	updates Updates         // with defaults
	limits  Limits          // with defaults

	following   map[string]following // by apex
	transferLog int                  // bytes
	primaries   map[string][]primary // of copied zones, by apex
}

// newSettings makes them of a Config without problems.
func newSettings(config Config, tokens []token) *settings {
	from, _ := compileNetworks("metrics_from", config.MetricsFrom)
	register, _ := compileNetworks("register_from", config.Accounts.RegisterFrom)
	proxies, _ := compileNetworks("trusted_proxies", config.TrustedProxies)
	keys, _ := compileKeys(config.Keys, nil)
	followers, _ := compileFollowing(config.Zones, keys)
	primaries, _ := compilePrimaries(config.Zones, keys)
	return &settings{
		following: followers, primaries: primaries, transferLog: orDefault(config.TransferLog, DefaultTransferLog),
		keys: keys, updates: config.Updates.withDefaults(), limits: config.Limits.withDefaults(),
		accounts: config.Accounts.withDefaults(config.Zones), registerFrom: register, trustedProxies: proxies, resolver: config.Resolver,
		tokens: tokens, logQueries: config.LogQueries, metricsFrom: from, addresses: config.QueryLog.Addresses,
	}
}

// compileNetworks reads networks; an address is a network of one.
func compileNetworks(field string, texts []string) ([]netip.Prefix, []*ConfigError) {
	var networks []netip.Prefix
	var problems []*ConfigError
	for _, text := range texts {
		network, err := parseNetwork(text)
		if err != nil {
			problems = append(problems, &ConfigError{
				Field: field, Problem: err.Error(), Fix: "write networks like 192.0.2.0/24 or 2001:db8::/32, or addresses",
			})
		}
		networks = append(networks, network)
	}
	return networks, problems
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return network, fmt.Errorf("%q is not a network", text)
	case network != network.Masked():
		return network, fmt.Errorf("%q has bits behind its prefix, the network is %s", text, network.Masked())
	}
	return network, nil
}

// inNetworks reports whether one of the networks has the address.
func inNetworks(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr.Unmap().WithZone("")) })
}

// remoteAddr is where a request's connection comes from.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Rights of a token.
const (
	rightRead     = "read"     // records, queries, the status page
	rightWrite    = "write"    // put and delete records
	rightRegister = "register" // accounts, over the acme-dns API and /v1/delegations
	rightAdmin    = "admin"    // everything, everywhere
)

func allRights() []string { return []string{rightRead, rightWrite, rightRegister, rightAdmin} }

// may reports whether the token has a right; admin has all.
func (t *token) may(right string) bool {
	return slices.Contains(t.rights, right) || slices.Contains(t.rights, rightAdmin)
}

// permitted refuses a token without the right.
func permitted(w http.ResponseWriter, who *token, right string) bool {
	if who.may(right) {
		return true
	}
	refuse(w, http.StatusForbidden, fmt.Sprintf("token %q has no right to %s; it has %s. Use another token, or add the right in the server's configuration",
		who.name, right, strings.Join(who.rights, ", ")))
	return false
}

// covers refuses a name outside the zones, or outside what the token may touch.
func (s *Server) covers(w http.ResponseWriter, who *token, name string) bool {
	if v := s.view.Load(); v != nil && v.zoneOf(name, 0) == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("%s is outside every zone of this server; it has %s", display(name), v.zoneNames()))
		return false
	}
	if who.allows(name) {
		return true
	}
	refuse(w, http.StatusForbidden, fmt.Sprintf("token %q may not touch %s; it may touch %s. Use another token, or add the name in the server's configuration",
		who.name, display(name), who.scopeNames()))
	return false
}
