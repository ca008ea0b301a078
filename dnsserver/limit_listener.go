package dnsserver

import (
	"net"
	"net/netip"
	"sync"
)

// LimitListener returns a listener whose connections are bounded as those of DNS
// over TCP are: in all, where the oldest gives way to a new one, and for each
// client (IPv4 address or IPv6 /64), unless exempt says that the address stands
// for many, as a proxy's does. 0 means DefaultMaxConnections and
// DefaultMaxPerClient.
func LimitListener(l net.Listener, most, perClient int, exempt func(netip.Addr) bool) net.Listener {
	conns := newConnections(orDefault(most, DefaultMaxConnections), orDefault(perClient, DefaultMaxPerClient))
	conns.exempt = exempt
	return &limitedListener{l, conns}
}

type limitedListener struct {
	net.Listener
	conns *connections
}

// Accept closes what there is no place for and goes on.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.conns.admit(conn) {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.conns.release(conn) })}, nil
		}
		_ = conn.Close() // nothing was read
	}
}

// limitedConn gives its place up when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
