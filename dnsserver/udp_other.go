//go:build !linux

package dnsserver

import (
	"net"
	"net/netip"
	"syscall"
)

// socketsPerAddress is how many sockets share an address: elsewhere the kernel
// does not spread clients over several.
func socketsPerAddress() int { return 1 }

// shareAddress is a net.ListenConfig.Control that changes nothing.
func shareAddress(string, string, syscall.RawConn) error { return nil }

// newDatagrams reads from a socket that is bound to local.
func newDatagrams(c *net.UDPConn, local netip.Addr) (datagrams, error) { return newSingle(c, local) }
