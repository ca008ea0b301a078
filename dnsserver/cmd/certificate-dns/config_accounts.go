package main

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// acmeDNSBlock switches the acme-dns API on, and bounds accounts.
type acmeDNSBlock struct {
	Zone             string    `hcl:"zone,optional"`
	Register         bool      `hcl:"register,optional"`
	RegisterFrom     []string  `hcl:"register_from,optional"`
	Values           int       `hcl:"values,optional"`
	ValueLifetime    string    `hcl:"value_lifetime,optional"`
	MaxAccounts      int       `hcl:"max_accounts,optional"`
	UpdatesPerMinute int       `hcl:"updates_per_minute,optional"`
	Body             hcl.Body  `hcl:",body"`
	Range            hcl.Range `hcl:",def_range"`
}

// apply adds the block to the server's configuration.
func (b *acmeDNSBlock) apply(to *dnsserver.Accounts) []error {
	if b == nil {
		return nil
	}
	*to = dnsserver.Accounts{
		AcmeDNS: true, Zone: b.Zone, Register: b.Register, RegisterFrom: b.RegisterFrom, Values: b.Values,
		MaxAccounts: b.MaxAccounts, UpdatesPerMinute: b.UpdatesPerMinute,
	}
	life, err := duration(b.ValueLifetime)
	if err != nil {
		return []error{fmt.Errorf("%s: acme_dns: value_lifetime: %w", linePlace(b.Range), err)}
	}
	to.ValueLifetime = life
	return nil
}

// duration reads what the configuration has as text; "" is 0.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf(`%q is no duration; write one like "90s" or "24h"`, text)
	}
	return d, nil
}
