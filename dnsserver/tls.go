package dnsserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// alpnDoT is what DNS over TLS is called in a handshake (RFC 7858 §3.1 and the
// registry of RFC 7301).
const alpnDoT = "dot"

// UseTLS has Start listen for DNS over TLS (RFC 7858) on these addresses too,
// with the certificates of config. What is bounded over TCP is bounded with it.
// It is to be called before Start.
func (s *Server) UseTLS(config *tls.Config, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	config = config.Clone()
	config.NextProtos = []string{alpnDoT}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12) // RFC 9325 §3.1.1
	s.tlsConfig, s.tlsAddrs = config, addrs
}

// TLSAddrs are all addresses the server listens on for DNS over TLS, in the
// order given to UseTLS.
func (s *Server) TLSAddrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]netip.AddrPort, len(s.tlsListeners))
	for i, l := range s.tlsListeners {
		addrs[i] = addrPortOf(l.Addr())
	}
	return addrs
}

// openTLS opens the sockets of UseTLS.
func (s *Server) openTLS(ctx context.Context) error {
	for _, text := range s.tlsAddrs {
		addr, err := parseListen(text)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		l := s.inheritedStream(addr)
		if l == nil {
			if l, err = listenStream(ctx, addr); err != nil {
				return fmt.Errorf("listen for DNS over TLS on %s: %w", addr, err)
			}
		}
		s.tlsListeners = append(s.tlsListeners, l)
	}
	return nil
}

// handshake returns the connection once it is encrypted. A client that takes
// too long is an error, and so is a server that is shutting down.
func (s *Server) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	encrypted := tls.Server(conn, s.tlsConfig)
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	if err := encrypted.HandshakeContext(ctx); err != nil { // closes the connection when ctx ends
		s.counters.failedHandshakes.Add(1)
		return nil, err
	}
	return encrypted, conn.SetDeadline(time.Time{})
}

// bare is the connection below an encrypted one.
func bare(conn net.Conn) net.Conn {
	if encrypted, ok := conn.(*tls.Conn); ok {
		return encrypted.NetConn()
	}
	return conn
}
