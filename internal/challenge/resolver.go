package challenge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const maxCNAMEs = 10

// errNoName says that DNS has no such name at all (NXDOMAIN).
var errNoName = errors.New("the name does not exist")

// Resolver asks recursive resolvers, and authoritative servers directly.
type Resolver struct {
	// Servers are recursive resolvers, as host:port.
	Servers []string
	// AuthoritativePort is where authoritative servers listen; 53 but in tests.
	AuthoritativePort int

	// dialer is the zero one but in tests.
	dialer net.Dialer
}

// SystemResolver uses the resolvers of the operating system.
func SystemResolver() (*Resolver, error) {
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("read the system's resolvers: %w; set validation.resolvers", err)
	}
	r := &Resolver{AuthoritativePort: 53}
	for _, server := range config.Servers {
		r.Servers = append(r.Servers, net.JoinHostPort(server, config.Port))
	}
	return r, nil
}

// ErrBogus says that a resolver that checks DNSSEC finds a zone signed wrongly:
// a CA would not believe it either.
var ErrBogus = errors.New("DNSSEC does not hold: signatures have expired, or the DS at the parent zone is of another key; mend it, or take the DS away")

// answersUnchecked reports whether a resolver answers a question once it need
// not check the signatures (RFC 4035 §3.2.2).
func (c *conversation) answersUnchecked(ctx context.Context, server string, question *dns.Msg) bool {
	unchecked := question.Copy()
	unchecked.CheckingDisabled = true
	answer, err := c.exchange(ctx, server, unchecked)
	return err == nil && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError)
}

// lookup asks the resolvers in turn until one answers.
func (c *conversation) lookup(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	question := newQuestion(name, kind)
	var failures []error
	for _, server := range c.Servers {
		answer, err := c.exchange(ctx, server, question)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("ask %s: %w", server, err))
		case answer.Rcode == dns.RcodeNameError:
			return answer, errNoName
		case answer.Rcode == dns.RcodeServerFailure && c.answersUnchecked(ctx, server, question):
			// A CA checks too, so that no other resolver would help.
			return nil, fmt.Errorf("look up %s %s: %w, says %s", dns.TypeToString[kind], name, ErrBogus, server)
		case answer.Rcode != dns.RcodeSuccess:
			failures = append(failures, fmt.Errorf("ask %s: it answers %s", server, dns.RcodeToString[answer.Rcode]))
		default:
			return answer, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 0 {
		failures = append(failures, errors.New("no resolver is known"))
	}
	return nil, fmt.Errorf("look up %s %s: %w; check validation.resolvers", dns.TypeToString[kind], name, errors.Join(failures...))
}

// follow returns the name a chain of CNAME records leads to, without the
// trailing dot; the name itself when there is none. The answer that ends the
// chain mostly says in which zone the name lies; zone is empty where not.
func (c *conversation) follow(ctx context.Context, name string) (target, zone string, err error) {
	for current, hops := name, 0; ; hops++ {
		answer, err := c.lookup(ctx, current, dns.TypeCNAME)
		if err != nil && !errors.Is(err, errNoName) {
			return "", "", err
		}
		next := cnameOf(answer.Answer, current)
		if next == "" {
			return current, zoneOf(answer, dns.Fqdn(current)), nil
		}
		if hops == maxCNAMEs {
			return "", "", fmt.Errorf("follow the CNAME records of %s: more than %d, is there a loop?", name, maxCNAMEs)
		}
		current = next
	}
}

func cnameOf(records []dns.RR, name string) string {
	for _, record := range records {
		if cname, ok := record.(*dns.CNAME); ok && strings.EqualFold(cname.Hdr.Name, dns.Fqdn(name)) {
			return strings.ToLower(strings.TrimSuffix(cname.Target, "."))
		}
	}
	return ""
}

// zone returns the zone a name lies in: the nearest ancestor, or the name
// itself, with an SOA record.
func (c *conversation) zone(ctx context.Context, name string) (string, error) {
	for ancestor := dns.Fqdn(name); ancestor != "."; ancestor = parentOf(ancestor) {
		answer, err := c.lookup(ctx, ancestor, dns.TypeSOA)
		if err != nil && !errors.Is(err, errNoName) {
			return "", err
		}
		if zone := zoneOf(answer, ancestor); zone != "" {
			return zone, nil
		}
	}
	return "", fmt.Errorf("find the zone of %s: no SOA record at it or above", name)
}

// parentOf takes the first label off an absolute name.
func parentOf(name string) string {
	offset, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[offset:]
}

// zoneOf is the owner of the SOA record that an answer about a name has, or
// gives as the reason why it has nothing else (RFC 2308 §3). That of a zone
// elsewhere is not believed.
func zoneOf(answer *dns.Msg, name string) string {
	for _, record := range slices.Concat(answer.Answer, answer.Ns) {
		if soa, ok := record.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, name) {
			return strings.ToLower(soa.Hdr.Name)
		}
	}
	return ""
}

// nameServer is one authoritative server with all its addresses (host:port).
type nameServer struct {
	name      string
	addresses []string
}

// nameServers lists the authoritative servers of a zone.
func (c *conversation) nameServers(ctx context.Context, zone string) ([]nameServer, error) {
	answer, err := c.lookup(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var servers []nameServer
	for _, record := range answer.Answer {
		ns, ok := record.(*dns.NS)
		if !ok {
			continue
		}
		addresses, err := c.addresses(ctx, ns.Ns)
		if err != nil {
			return nil, fmt.Errorf("find the name server %s of %s: %w", ns.Ns, zone, err)
		}
		servers = append(servers, nameServer{ns.Ns, addresses})
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("the zone %s has no NS records", zone)
	}
	return servers, nil
}

func (c *conversation) addresses(ctx context.Context, host string) ([]string, error) {
	port := strconv.Itoa(c.AuthoritativePort)
	var addresses []string
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := c.lookup(ctx, host, kind)
		if errors.Is(err, errNoName) {
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		for _, record := range answer.Answer {
			switch a := record.(type) {
			case *dns.A:
				addresses = append(addresses, net.JoinHostPort(a.A.String(), port))
			case *dns.AAAA:
				addresses = append(addresses, net.JoinHostPort(a.AAAA.String(), port))
			}
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("it has no address")
	}
	return addresses, nil
}
