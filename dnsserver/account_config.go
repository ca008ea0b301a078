package dnsserver

import (
	"fmt"
	"time"
)

// Defaults of Accounts.
const (
	DefaultValues           = 5
	DefaultMaxAccounts      = 100000
	DefaultUpdatesPerMinute = 600
)

// Accounts says what of accounts is allowed, and whether the acme-dns API is
// served. Administrators register over /v1/delegations whatever it says.
type Accounts struct {
	AcmeDNS          bool          // serve POST /update and GET /health as acme-dns does
	Zone             string        // where new accounts get their names; "" means the first of the Config's
	Register         bool          // serve POST /register to whoever RegisterFrom lets
	RegisterFrom     []string      // networks; none means everybody
	Values           int           // TXT values an account keeps, the oldest goes; 0 means DefaultValues
	ValueLifetime    time.Duration // after which a value goes by itself; 0 means never
	MaxAccounts      int           // in all; 0 means DefaultMaxAccounts
	UpdatesPerMinute int           // of one account; 0 means DefaultUpdatesPerMinute, less than 0 any number
}

// withDefaults fills in what is not said.
func (a Accounts) withDefaults(zones []Zone) Accounts {
	if a.Zone == "" && len(zones) > 0 {
		a.Zone = zones[0].Name
	}
	if zone, err := canonicalName(a.Zone); err == nil {
		a.Zone = zone
	}
	a.Values = orDefault(a.Values, DefaultValues)
	a.MaxAccounts = orDefault(a.MaxAccounts, DefaultMaxAccounts)
	a.UpdatesPerMinute = orDefault(a.UpdatesPerMinute, DefaultUpdatesPerMinute)
	return a
}

// problems are those of the block.
func (a Accounts) problems(zones map[string]*zone) []*ConfigError {
	var all []*ConfigError
	problem := func(field, fix, format string, args ...any) {
		all = append(all, &ConfigError{Block: "acme_dns", Field: field, Problem: fmt.Sprintf(format, args...), Fix: fix})
	}
	if a.Zone != "" {
		if name, err := canonicalName(a.Zone); err != nil || zones[name] == nil {
			problem("zone", "write the name of one of the zones", "%q is no zone of this server", a.Zone)
		}
	}
	if len(a.RegisterFrom) > 0 && !a.Register {
		problem("register_from", "write register = true beside it, or remove it", "nobody can register")
	}
	for field, n := range map[string]int{"values": a.Values, "max_accounts": a.MaxAccounts} {
		if n < 0 {
			problem(field, "write a number from 1, or remove it", "%d is too few", n)
		}
	}
	if a.Values > 500 {
		problem("values", "write at most 500", "%d values do not fit one answer", a.Values)
	}
	if a.ValueLifetime < 0 {
		problem("value_lifetime", `write a duration such as "24h", or remove it`, "%s is in the past", a.ValueLifetime)
	}
	_, networks := compileNetworks("register_from", a.RegisterFrom)
	for _, p := range networks {
		p.Block = "acme_dns"
	}
	return append(all, networks...)
}
