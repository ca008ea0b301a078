package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
)

// endpoints are all places that a proof asks, each once.
func (p Proof) endpoints(ctx context.Context) ([]Endpoint, error) {
	var all []string
	for _, address := range append([]string{p.Endpoint.Address}, p.Others...) {
		members := []string{address}
		if p.Members {
			var err error
			if members, err = p.members(ctx, address); err != nil {
				return nil, err
			}
		}
		for _, member := range members {
			if !slices.Contains(all, member) {
				all = append(all, member)
			}
		}
	}
	places := make([]Endpoint, len(all))
	for n, address := range all {
		places[n] = Endpoint{address, p.Endpoint.ServerName}
	}
	return places, nil
}

// members are all addresses that the name in an address stands for. A resolver
// that fails is asked again for as long as ctx lasts, as a server would be.
func (p Proof) members(ctx context.Context, address string) ([]string, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	resolver := p.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		found, err := resolver.LookupNetIP(ctx, "ip", name)
		if err == nil {
			var members []string
			for _, ip := range found {
				members = append(members, net.JoinHostPort(ip.Unmap().String(), port))
			}
			slices.Sort(members)
			return slices.Compact(members), nil
		}
		if pause(ctx, wait) != nil {
			return nil, fmt.Errorf("resolve %s: %w", name, err)
		}
	}
}

// ask asks every place once. The errors are of those that did not answer.
func (p Proof) ask(ctx context.Context) ([]Served, error) {
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	endpoints, err := p.endpoints(within)
	cancel()
	if err != nil {
		return nil, err
	}
	served, problems := make([]Served, len(endpoints)), make([]error, len(endpoints))
	var group sync.WaitGroup
	for n, endpoint := range endpoints {
		group.Go(func() { served[n], problems[n] = p.Way.probe(ctx, endpoint) })
	}
	group.Wait()
	answers := slices.DeleteFunc(served, func(s Served) bool { return s.Chain == nil })
	return answers, errors.Join(problems...)
}

// at is the proof at places that answered before, and at no other.
func (p Proof) at(answers []Served) Proof {
	p.Members, p.Others = false, nil
	for n, one := range answers {
		if n == 0 {
			p.Endpoint.Address = one.Address
		} else {
			p.Others = append(p.Others, one.Address)
		}
	}
	return p
}
