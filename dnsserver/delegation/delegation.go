// Package delegation finds out whether a name in the public DNS leads to this
// server: it asks every authoritative server of the zone that the name is in, as
// CAs do from several places.
//
// It believes a recursive resolver only for where those servers are. Its
// invariant: a name is verified only when each of them was reached and said so.
package delegation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// Limits of one check.
const (
	askTimeout = 3 * time.Second // one question of one server, over one transport
	maxServers = 24              // addresses that are asked
	maxChain   = 8               // CNAMEs that are followed
)

// Checker asks. Its zero value uses the resolvers of the system.
type Checker struct {
	Resolver string // host:port; "" means the first of /etc/resolv.conf
	// Dial is where an address of a server is asked; nil means port 53.
	Dial func(netip.Addr) netip.AddrPort
}

// Here says which names are the server's.
type Here struct {
	Zones       []string // apexes, canonical
	NameServers []string // that the zones name, canonical
}

func (h Here) has(name string) bool { return h.zoneOf(name) != "" }

// zoneOf is the zone that a name is in, "" for none.
func (h Here) zoneOf(name string) string {
	best := ""
	for _, z := range h.Zones {
		if dns.IsSubDomain(z, name) && len(z) > len(best) {
			best = z
		}
	}
	return best
}

// Check asks whether name leads to target, or to anywhere here when target is
// "". Both are canonical. What it could not find out it says in the result.
func (c Checker) Check(ctx context.Context, name, target string, here Here) client.Verification {
	v := client.Verification{Name: undot(name), Target: undot(target), Servers: []client.NameServer{}, Checked: time.Now().UTC()}
	if zone := here.zoneOf(name); zone != "" {
		return c.checkOwn(ctx, v, zone, here)
	}
	zone, hosts, err := c.zoneOf(ctx, name)
	if err != nil {
		v.Problem = fmt.Sprintf("the zone of %s could not be found: %v", undot(name), err)
		v.Fix = "check that the domain is registered and its name servers answer, and that this server can reach a resolver"
		return v
	}
	v.Zone = undot(zone)
	v.Servers = c.askAll(ctx, name, target, hosts, here)
	v.Verified = len(v.Servers) > 0
	for _, s := range v.Servers {
		v.Verified = v.Verified && s.Leads
	}
	if !v.Verified {
		v.Problem, v.Fix = judge(v, name, target, zone)
	}
	return v
}

// checkOwn asks whether the world leads to a zone of this server.
func (c Checker) checkOwn(ctx context.Context, v client.Verification, zone string, here Here) client.Verification {
	v.Zone = undot(zone)
	reply, err := c.resolve(ctx, zone, dns.TypeNS)
	if err != nil {
		v.Problem, v.Fix = oneLine(err), "check that this server can reach a resolver"
		return v
	}
	for _, rr := range reply.Answer {
		if ns, ok := rr.(*dns.NS); ok {
			host := strings.ToLower(ns.Ns)
			v.Servers = append(v.Servers, client.NameServer{Host: undot(host), Leads: slices.Contains(here.NameServers, host), Answer: "NS"})
		}
	}
	v.Verified = len(v.Servers) > 0 && !slices.ContainsFunc(v.Servers, func(s client.NameServer) bool { return !s.Leads })
	if !v.Verified {
		v.Problem = fmt.Sprintf("the zone %s is not delegated to the name servers of its configuration", v.Zone)
		v.Fix = fmt.Sprintf("at its parent, create NS for %s to %s, with their addresses", v.Zone, undot(strings.Join(here.NameServers, ", ")))
	}
	return v
}

// judge says what is missing, in a sentence, and what to do.
func judge(v client.Verification, name, target, zone string) (problem, fix string) {
	if len(v.Servers) == 0 {
		return fmt.Sprintf("no name server of %s has an address", undot(zone)), "mend the delegation of that zone"
	}
	lagging, first := 0, ""
	for _, s := range v.Servers {
		if !s.Leads {
			lagging++
			if first == "" {
				first = fmt.Sprintf("%s (%s): %s", s.Host, s.Address, s.Answer)
			}
		}
	}
	create := fmt.Sprintf("create %s CNAME %s in %s", undot(name), undot(target), undot(zone))
	if target == "" {
		create = fmt.Sprintf("register the domain, then create the CNAME at %s in %s that is named there", undot(name), undot(zone))
	}
	if lagging < len(v.Servers) {
		return fmt.Sprintf("%d of %d servers of %s do not lead here: %s", lagging, len(v.Servers), undot(zone), first),
			"wait until all have the change; if one stays behind, mend its transfers"
	}
	return fmt.Sprintf("%s does not lead here; %s", undot(name), first), create
}

func undot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// zoneOf finds the zone that name is in, and its servers.
func (c Checker) zoneOf(ctx context.Context, name string) (zone string, hosts []string, err error) {
	for at := name; zone == ""; {
		reply, err := c.resolve(ctx, at, dns.TypeSOA)
		if err != nil {
			return "", nil, err
		}
		for _, rr := range append(reply.Answer, reply.Ns...) {
			owner := strings.ToLower(rr.Header().Name)
			if _, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(owner, at) && owner != "." {
				zone = owner
			}
		}
		next, end := dns.NextLabel(at, 0)
		if zone == "" && end {
			return "", nil, errors.New("no server knows a zone that it is in")
		}
		at = at[next:]
	}
	reply, err := c.resolve(ctx, zone, dns.TypeNS)
	if err != nil {
		return "", nil, err
	}
	for _, rr := range reply.Answer {
		if ns, ok := rr.(*dns.NS); ok {
			hosts = append(hosts, strings.ToLower(ns.Ns))
		}
	}
	slices.Sort(hosts)
	return zone, hosts, nil
}

// resolve asks the recursive resolver.
func (c Checker) resolve(ctx context.Context, name string, rrtype uint16) (*dns.Msg, error) {
	resolver := c.Resolver
	if resolver == "" {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(conf.Servers) == 0 {
			return nil, errors.New("the system names no resolver; set resolver in the configuration")
		}
		resolver = net.JoinHostPort(conf.Servers[0], conf.Port)
	}
	m := new(dns.Msg)
	m.SetQuestion(name, rrtype)
	m.SetEdns0(1232, false)
	reply, err := exchange(ctx, m, resolver)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s for %s %s: %w", resolver, undot(name), dns.Type(rrtype), err)
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("ask %s for %s %s: %s", resolver, undot(name), dns.Type(rrtype), dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

// exchange asks over UDP, and over TCP what does not fit.
func exchange(ctx context.Context, m *dns.Msg, addr string) (*dns.Msg, error) {
	udp := dns.Client{Net: "udp", Timeout: askTimeout}
	reply, _, err := udp.ExchangeContext(ctx, m, addr)
	if err == nil && !reply.Truncated {
		return reply, nil
	}
	tcp := dns.Client{Net: "tcp", Timeout: askTimeout}
	over, _, tcpErr := tcp.ExchangeContext(ctx, m, addr)
	if tcpErr != nil {
		return nil, errors.Join(err, tcpErr)
	}
	return over, nil
}

// addresses are those of a host.
func (c Checker) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	var errs []error
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply, err := c.resolve(ctx, host, rrtype)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rr := range reply.Answer {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if addr, ok := netip.AddrFromSlice(ip); ok {
				all = append(all, addr.Unmap())
			}
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, errors.Join(append(errs, errors.New("it has no address"))...)
}

// askAll asks every address of every host, all at once.
func (c Checker) askAll(ctx context.Context, name, target string, hosts []string, here Here) []client.NameServer {
	var all []client.NameServer
	var addrs []netip.Addr
	for _, host := range hosts {
		found, err := c.addresses(ctx, host)
		if err != nil {
			all, addrs = append(all, client.NameServer{Host: undot(host), Answer: oneLine(err)}), append(addrs, netip.Addr{})
		}
		for _, addr := range found {
			all, addrs = append(all, client.NameServer{Host: undot(host), Address: addr.String()}), append(addrs, addr)
		}
	}
	all = all[:min(len(all), maxServers)]
	v6 := canReachIPv6()
	var asking sync.WaitGroup
	for i := range all {
		if !addrs[i].IsValid() {
			continue
		}
		asking.Go(func() { all[i].Leads, all[i].Answer = c.ask(ctx, addrs[i], name, target, here) })
	}
	asking.Wait()
	// Without IPv6 here nothing is known of servers that were asked over it.
	return slices.DeleteFunc(all, func(s client.NameServer) bool { return !v6 && strings.Contains(s.Address, ":") && !s.Leads })
}

// canReachIPv6 reports whether the system has a route to the IPv6 Internet; no
// packet is sent.
func canReachIPv6() bool {
	conn, err := net.Dial("udp6", "[2001:500:2::c]:53")
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// ask asks one server and says whether it leads here, and what it said.
func (c Checker) ask(ctx context.Context, addr netip.Addr, name, target string, here Here) (leads bool, said string) {
	at := netip.AddrPortFrom(addr, 53)
	if c.Dial != nil {
		at = c.Dial(addr)
	}
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeCNAME)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	reply, err := exchange(ctx, m, at.String())
	if err != nil {
		return false, oneLine(err)
	}
	for _, rr := range reply.Answer {
		if cname, ok := rr.(*dns.CNAME); ok && strings.EqualFold(rr.Header().Name, name) {
			return c.follow(ctx, strings.ToLower(cname.Target), target, here)
		}
	}
	switch {
	case reply.Rcode != dns.RcodeSuccess:
		return false, dns.RcodeToString[reply.Rcode]
	case !reply.Authoritative:
		return false, "it is not authoritative for the name"
	}
	return false, "no CNAME"
}

// follow goes on from the target of a CNAME, by the resolver, until it is here.
func (c Checker) follow(ctx context.Context, at, target string, here Here) (leads bool, said string) {
	said = "CNAME " + undot(at)
	for range maxChain {
		switch {
		case at == target || target == "" && here.has(at):
			return true, said
		case here.has(at):
			return false, said + ", which is here and not " + undot(target)
		}
		reply, err := c.resolve(ctx, at, dns.TypeCNAME)
		if err != nil {
			return false, said + "; " + oneLine(err)
		}
		next := ""
		for _, rr := range reply.Answer {
			if cname, ok := rr.(*dns.CNAME); ok && strings.EqualFold(rr.Header().Name, at) {
				next = strings.ToLower(cname.Target)
			}
		}
		if next == "" {
			return false, said + ", which is elsewhere"
		}
		at = next
		said += " → " + undot(at)
	}
	return false, said + ", and further"
}
