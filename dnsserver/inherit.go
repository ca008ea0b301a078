package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Inherit has Start use sockets that somebody else opened, as systemd does, for
// the addresses that they are bound to. Each address needs one for datagrams
// and one for streams; several for datagrams are served side by side. It is to
// be called before Start, and the server closes the sockets.
func (s *Server) Inherit(packets []net.PacketConn, listeners []net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inherited = map[netip.AddrPort]endpoint{}
	for _, p := range packets {
		udp, ok := p.(*net.UDPConn)
		if !ok {
			return fmt.Errorf("inherit a socket for datagrams: it is for %s, want UDP", p.LocalAddr().Network())
		}
		addr := unmapped(udp.LocalAddr().(*net.UDPAddr).AddrPort())
		e := s.inherited[addr]
		e.addr, e.udp = addr, append(e.udp, udp)
		s.inherited[addr] = e
	}
	for _, l := range listeners {
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			return fmt.Errorf("inherit a socket for streams: it is for %s, want TCP", l.Addr().Network())
		}
		addr := unmapped(tcp.Addr().(*net.TCPAddr).AddrPort())
		e := s.inherited[addr]
		if e.tcp != nil {
			return fmt.Errorf("inherit a socket for streams at %s: there are two; remove one", addr)
		}
		e.addr, e.tcp = addr, tcp
		s.inherited[addr] = e
	}
	return nil
}

func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// inheritedAt takes the sockets of an address out, and reports whether there are
// any.
func (s *Server) inheritedAt(addr netip.AddrPort) (endpoint, bool, error) {
	e, ok := s.inherited[addr]
	if !ok {
		return endpoint{}, false, nil
	}
	delete(s.inherited, addr)
	if e.tcp == nil || len(e.udp) == 0 {
		missing := "ListenStream"
		if len(e.udp) == 0 {
			missing = "ListenDatagram"
		}
		return endpoint{}, true, errors.Join(fmt.Errorf("inherit the sockets of %s: one is missing; add %s=%s to the socket unit", addr, missing, addr), e.close())
	}
	return e, true, nil
}

// inheritedStream takes the socket for streams alone at an address out; nil where
// there is none.
func (s *Server) inheritedStream(addr netip.AddrPort) *net.TCPListener {
	e, ok := s.inherited[addr]
	if !ok || e.tcp == nil || len(e.udp) > 0 {
		return nil
	}
	delete(s.inherited, addr)
	return e.tcp
}

// unused reports inherited sockets that no address stands for.
func (s *Server) unused() error {
	for addr, e := range s.inherited {
		return errors.Join(fmt.Errorf("inherit the sockets of %s: the server is not to listen there; add the address to listen, or remove it from the socket unit", addr), e.close())
	}
	return nil
}
