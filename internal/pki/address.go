package pki

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// IsAddress reports whether a name that was normalized is an IP address.
func IsAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// NormalizeIdentifier is NormalizeName for what certificates are made for
// besides names: IP addresses (RFC 8738), in their canonical text form (RFC
// 5952). An IPv4 address that is written as an IPv6 one becomes the former.
func NormalizeIdentifier(name string) (string, error) {
	if !isAddress(name) {
		return NormalizeName(name)
	}
	address, err := netip.ParseAddr(unbracket(name))
	if err != nil {
		return "", fmt.Errorf("%q is no IP address: %w", name, err)
	}
	address = address.Unmap()
	switch {
	case address.Zone() != "":
		return "", fmt.Errorf("%q has a zone, which means nothing to a CA: write the address without it", name)
	case address.IsUnspecified(), address.IsMulticast(), address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "", fmt.Errorf("%q is the address of no host", name)
	}
	return address.String(), nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(unbracket(host))
	return err == nil
}

// unbracket takes the brackets off that IPv6 addresses have in URLs, and the dot
// that ends a name.
func unbracket(host string) string {
	host = strings.TrimSuffix(host, ".")
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") && strings.Contains(inner, ":") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}

// SplitNames tells the DNS names from the addresses.
func SplitNames(names []string) (hosts []string, addresses []net.IP) {
	for _, name := range names {
		if address, err := netip.ParseAddr(name); err == nil {
			addresses = append(addresses, net.IP(address.AsSlice()))
		} else {
			hosts = append(hosts, name)
		}
	}
	return hosts, addresses
}

// addressNames are addresses in their canonical text form.
func addressNames(addresses []net.IP) []string {
	names := make([]string, 0, len(addresses))
	for _, ip := range addresses {
		if address, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, address.Unmap().String())
		}
	}
	return names
}
