package dnsserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// faultPause keeps a socket that reports one error after another from taking
// a whole processor.
const faultPause = 10 * time.Millisecond

// packetConn reads and writes datagrams. On an address that stands for all of
// the machine's, a reply leaves from the address the query came to: a resolver
// drops it otherwise.
type packetConn interface {
	read(buf []byte) (n int, from route, err error)
	write(msg []byte, to route) error
}

// route is where a datagram came from and, if that can vary, went to.
type route struct {
	client net.Addr
	local  net.IP // nil: the socket has one address
	zone   int    // the interface, for link-local addresses
}

// newPacketConn picks the implementation for a socket.
func newPacketConn(c *net.UDPConn, local netip.Addr) (packetConn, error) {
	switch {
	case !local.IsUnspecified():
		return fixedConn{c}, nil
	case local.Is4():
		p := ipv4.NewPacketConn(c)
		return conn4{p}, p.SetControlMessage(ipv4.FlagDst, true)
	}
	p := ipv6.NewPacketConn(c)
	return conn6{p}, p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
}

type fixedConn struct{ c *net.UDPConn }

func (f fixedConn) read(buf []byte) (int, route, error) {
	n, client, err := f.c.ReadFrom(buf)
	return n, route{client: client}, err
}

func (f fixedConn) write(msg []byte, to route) error {
	_, err := f.c.WriteTo(msg, to.client)
	return err
}

type conn4 struct{ p *ipv4.PacketConn }

func (c conn4) read(buf []byte) (int, route, error) {
	n, cm, client, err := c.p.ReadFrom(buf)
	r := route{client: client}
	if cm != nil {
		r.local = cm.Dst
	}
	return n, r, err
}

func (c conn4) write(msg []byte, to route) error {
	_, err := c.p.WriteTo(msg, &ipv4.ControlMessage{Src: to.local}, to.client)
	return err
}

type conn6 struct{ p *ipv6.PacketConn }

func (c conn6) read(buf []byte) (int, route, error) {
	n, cm, client, err := c.p.ReadFrom(buf)
	r := route{client: client}
	if cm != nil {
		r.local = cm.Dst
		if cm.Dst.IsLinkLocalUnicast() {
			r.zone = cm.IfIndex
		}
	}
	return n, r, err
}

func (c conn6) write(msg []byte, to route) error {
	_, err := c.p.WriteTo(msg, &ipv6.ControlMessage{Src: to.local, IfIndex: to.zone}, to.client)
	return err
}

// serveUDP answers datagrams until the socket is closed or its deadline is
// set. Several may serve one socket.
func (s *Server) serveUDP(ctx context.Context, c packetConn, t *tap) {
	buf := make([]byte, tcpSize)
	for ctx.Err() == nil {
		n, from, err := c.read(buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.LogAttrs(ctx, slog.LevelWarn, "udp read", slog.Any("error", err))
			pause(ctx, faultPause)
			continue
		}
		began := time.Now()
		r := s.view.Load().respond(buf[:n], edns0UDPSize)
		s.logQuery(ctx, overUDP, from.client, r)
		if r.wire == nil {
			t.refused()
			continue
		}
		if err := c.write(r.wire, from); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "udp write", slog.Any("error", err))
		}
		t.answered(s.view.Load().zoneName(r), addrPort(from.client), r.wire, began, time.Since(began))
	}
}

// pause waits for d or for ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
