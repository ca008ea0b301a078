package challenge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	queryTimeout = 3 * time.Second
	maxCNAMEs    = 10
)

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

// exchange asks one server: over UDP, and over TCP when the answer is
// truncated.
func (r *Resolver) exchange(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	for _, network := range []string{"udp", "tcp"} {
		answer, err := r.ask(limited, network, server, question)
		switch {
		case err == nil && !answer.Truncated:
			return answer, nil
		case err == nil:
			continue
		case ctx.Err() != nil:
			return nil, ctx.Err() // the rest would be about the connection
		case limited.Err() != nil:
			return nil, fmt.Errorf("no answer within %s", queryTimeout)
		default:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s answers truncated over TCP", server)
}

// ask sends a question once, over a connection that is closed when ctx ends:
// the library would look at its deadline only, and fail before it has passed.
func (r *Resolver) ask(ctx context.Context, network, server string, question *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: 2 * queryTimeout, Dialer: &r.dialer}
	connection, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	answer, _, err := client.ExchangeWithConnContext(context.WithoutCancel(ctx), question, connection)
	return answer, err
}

// lookup asks the resolvers in turn until one answers.
func (r *Resolver) lookup(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, false)
	var failures []error
	for _, server := range r.Servers {
		answer, err := r.exchange(ctx, server, question)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("ask %s: %w", server, err))
		case answer.Rcode == dns.RcodeNameError:
			return answer, errNoName
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

// Follow returns the name a chain of CNAME records leads to, without the
// trailing dot; the name itself when there is none.
func (r *Resolver) Follow(ctx context.Context, name string) (string, error) {
	for current, hops := name, 0; ; hops++ {
		answer, err := r.lookup(ctx, current, dns.TypeCNAME)
		if err != nil && !errors.Is(err, errNoName) {
			return "", err
		}
		next := ""
		if answer != nil {
			next = cnameOf(answer.Answer, current)
		}
		if next == "" {
			return current, nil
		}
		if hops == maxCNAMEs {
			return "", fmt.Errorf("follow the CNAME records of %s: more than %d, is there a loop?", name, maxCNAMEs)
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

// Zone returns the zone a name lies in: the nearest ancestor, or the name
// itself, with an SOA record.
func (r *Resolver) Zone(ctx context.Context, name string) (string, error) {
	for ancestor := dns.Fqdn(name); ancestor != "."; {
		answer, err := r.lookup(ctx, ancestor, dns.TypeSOA)
		if err != nil && !errors.Is(err, errNoName) {
			return "", err
		}
		for _, record := range slices.Concat(answer.Answer, answer.Ns) {
			if soa, ok := record.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, ancestor) {
				return strings.ToLower(soa.Hdr.Name), nil
			}
		}
		_, end := dns.NextLabel(ancestor, 0)
		if end {
			break
		}
		offset, _ := dns.NextLabel(ancestor, 0)
		ancestor = ancestor[offset:]
	}
	return "", fmt.Errorf("find the zone of %s: no SOA record at it or above", name)
}

// nameServer is one authoritative server with all its addresses (host:port).
type nameServer struct {
	name      string
	addresses []string
}

// nameServers lists the authoritative servers of a zone.
func (r *Resolver) nameServers(ctx context.Context, zone string) ([]nameServer, error) {
	answer, err := r.lookup(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var servers []nameServer
	for _, record := range answer.Answer {
		ns, ok := record.(*dns.NS)
		if !ok {
			continue
		}
		addresses, err := r.addresses(ctx, ns.Ns)
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

func (r *Resolver) addresses(ctx context.Context, host string) ([]string, error) {
	port := strconv.Itoa(r.AuthoritativePort)
	var addresses []string
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := r.lookup(ctx, host, kind)
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
