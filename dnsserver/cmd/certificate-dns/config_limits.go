package main

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// limitsBlock bounds what others can bring.
type limitsBlock struct {
	MaxNames       int      `hcl:"max_names,optional"`
	MaxBytes       int64    `hcl:"max_bytes,optional"`
	MaxConnections int      `hcl:"max_connections,optional"`
	MaxPerClient   int      `hcl:"max_connections_per_client,optional"`
	Body           hcl.Body `hcl:",body"`

	Range hcl.Range `hcl:",def_range"`
}

// apply makes the server's configuration of the block.
func (b *limitsBlock) apply(to *dnsserver.Config) {
	if b != nil {
		to.Limits = dnsserver.Limits{MaxNames: b.MaxNames, MaxBytes: b.MaxBytes}
		to.MaxConnections, to.MaxPerClient = b.MaxConnections, b.MaxPerClient
	}
}
