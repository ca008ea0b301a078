package delegation

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// ErrNoServer says that no server of a zone could be asked.
var ErrNoServer = errors.New("no name server of the parent zone has an address")

// DS asks every authoritative server of the parent for the DS records of a zone,
// and returns what each has. The error tells which could not be asked; then
// nothing is returned, for a server that is down may have others.
func (c Checker) DS(ctx context.Context, zone string) ([][]*dns.DS, error) {
	off, end := dns.NextLabel(zone, 0)
	if end {
		return nil, fmt.Errorf("%s has no parent zone", zone)
	}
	parent, hosts, err := c.zoneOf(ctx, zone[off:])
	if err != nil {
		return nil, fmt.Errorf("find the parent of %s: %w", undot(zone), err)
	}
	var addrs []netip.Addr
	for _, host := range hosts {
		found, err := c.addresses(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("find %s, a server of %s: %w", undot(host), undot(parent), err)
		}
		addrs = append(addrs, found...)
	}
	var all [][]*dns.DS
	ipv6 := canReachIPv6()
	for _, addr := range addrs {
		if addr.Is6() && !ipv6 {
			continue
		}
		at := netip.AddrPortFrom(addr, 53)
		if c.Dial != nil {
			at = c.Dial(addr)
		}
		m := new(dns.Msg).SetQuestion(zone, dns.TypeDS)
		m.SetEdns0(1232, true)
		reply, err := exchange(ctx, m, at.String())
		if err == nil && reply.Rcode != dns.RcodeSuccess {
			err = errors.New(dns.RcodeToString[reply.Rcode])
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s, a server of %s, for the DS of %s: %w", addr, undot(parent), undot(zone), err)
		}
		set := []*dns.DS{}
		for _, rr := range reply.Answer {
			if ds, ok := rr.(*dns.DS); ok {
				set = append(set, ds)
			}
		}
		all = append(all, set)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoServer, undot(parent))
	}
	return all, nil
}
