package dnsserver

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// single is datagrams one at a time, which every system can.
type single struct {
	conn   *net.UDPConn
	four   *ipv4.PacketConn // set where the socket has many addresses
	six    *ipv6.PacketConn
	buf    [maxDatagram]byte
	out    [edns0UDPSize]byte
	n      int
	from   netip.AddrPort
	local  net.IP // where the request went; nil: the socket has one address
	zone   int    // the interface, for link-local addresses
	queued []byte
}

// newSingle reads from a socket that is bound to local.
func newSingle(c *net.UDPConn, local netip.Addr) (*single, error) {
	s := &single{conn: c}
	switch {
	case !local.IsUnspecified():
		return s, nil
	case local.Is4():
		s.four = ipv4.NewPacketConn(c)
		return s, s.four.SetControlMessage(ipv4.FlagDst, true)
	}
	s.six = ipv6.NewPacketConn(c)
	return s, s.six.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
}

// receive implements datagrams.
func (s *single) receive() (int, error) {
	var err error
	var from net.Addr
	s.local, s.zone, s.queued = nil, 0, nil
	switch {
	case s.four != nil:
		var cm *ipv4.ControlMessage
		if s.n, cm, from, err = s.four.ReadFrom(s.buf[:]); cm != nil {
			s.local = cm.Dst
		}
	case s.six != nil:
		var cm *ipv6.ControlMessage
		if s.n, cm, from, err = s.six.ReadFrom(s.buf[:]); cm != nil {
			s.local = cm.Dst
			if cm.Dst.IsLinkLocalUnicast() {
				s.zone = cm.IfIndex
			}
		}
	default:
		s.n, s.from, err = s.conn.ReadFromUDPAddrPort(s.buf[:])
	}
	if err != nil {
		return 0, err
	}
	if udp, ok := from.(*net.UDPAddr); ok {
		s.from = udp.AddrPort()
	}
	return 1, nil
}

// request implements datagrams.
func (s *single) request(int) (msg, room []byte) { return s.buf[:s.n], s.out[:0] }

// client implements datagrams.
func (s *single) client(int) netip.AddrPort {
	return netip.AddrPortFrom(s.from.Addr().Unmap(), s.from.Port())
}

// answer implements datagrams.
func (s *single) answer(_ int, msg []byte) { s.queued = msg }

// later implements datagrams.
func (s *single) later(int) func([]byte) error {
	own := single{conn: s.conn, four: s.four, six: s.six, from: s.from, local: s.local, zone: s.zone}
	return func(msg []byte) error {
		own.queued = msg
		return own.send()
	}
}

// send implements datagrams.
func (s *single) send() error {
	if len(s.queued) == 0 {
		return nil
	}
	var err error
	switch {
	case s.four != nil:
		_, err = s.four.WriteTo(s.queued, &ipv4.ControlMessage{Src: s.local}, net.UDPAddrFromAddrPort(s.from))
	case s.six != nil:
		_, err = s.six.WriteTo(s.queued, &ipv6.ControlMessage{Src: s.local, IfIndex: s.zone}, net.UDPAddrFromAddrPort(s.from))
	default:
		_, err = s.conn.WriteToUDPAddrPort(s.queued, s.from)
	}
	return err
}
