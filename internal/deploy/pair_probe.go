package deploy

import (
	"context"
	"fmt"
	"net"
)

// probe is Probe by the protocol of the proof.
func (p Proof) probe(ctx context.Context) (Served, error) {
	if !p.TLCP {
		return Probe(ctx, p.Endpoint)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", p.Endpoint.Address)
	if err != nil {
		return Served{}, fmt.Errorf("connect to %s: %w", p.Endpoint.Address, err)
	}
	// The deferred close is the last use of a connection that carried no data.
	defer func() { _ = raw.Close() }()
	served, err := inspectTLCP(ctx, raw, p.Endpoint.ServerName)
	if err != nil {
		return Served{}, fmt.Errorf("TLCP handshake with %s (server name %q): %w", p.Endpoint.Address, p.Endpoint.ServerName, err)
	}
	return served, nil
}
