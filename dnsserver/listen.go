package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// socketBuffer is how much the kernel is asked to keep of what has come over
// UDP and is not read yet, in bytes. It gives less where its limit is lower.
const socketBuffer = 4 << 20

// portTries is how often a port that the kernel picked for TCP may turn out to
// be taken for UDP before listening fails.
const portTries = 32

// endpoint is one address that answers over both transports.
type endpoint struct {
	addr netip.AddrPort
	udp  []*net.UDPConn // on Linux one for each processor
	tcp  *net.TCPListener
}

// parseListen reads an address to listen on. A host name could mean several
// addresses, so it is refused.
func parseListen(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return addr, fmt.Errorf("%q is not an IP address and port; write it like 192.0.2.53:53 or [2001:db8::53]:53", s)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

// listen opens UDP and TCP on the same port. With port 0 the kernel picks one;
// it knows nothing of the other transport, so several are tried.
func listen(ctx context.Context, addr netip.AddrPort) (endpoint, error) {
	for try := 1; ; try++ {
		e, err := listenOnce(ctx, addr)
		if err == nil || addr.Port() != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return e, err
		}
	}
}

// listenOnce opens TCP first: sockets of UDP that share their address could
// share it with another process unnoticed, and TCP cannot.
func listenOnce(ctx context.Context, addr netip.AddrPort) (endpoint, error) {
	tcp, err := listenStream(ctx, addr)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{addr: netip.AddrPortFrom(addr.Addr(), tcp.Addr().(*net.TCPAddr).AddrPort().Port()), tcp: tcp}
	conf := net.ListenConfig{Control: shareAddress}
	for range socketsPerAddress() {
		c, err := conf.ListenPacket(ctx, "udp"+family(addr), e.addr.String())
		if err != nil {
			return endpoint{}, errors.Join(err, e.close())
		}
		udp, ok := c.(*net.UDPConn)
		if !ok {
			return endpoint{}, errors.Join(fmt.Errorf("listen on %s: not UDP", e.addr), c.Close(), e.close())
		}
		_ = udp.SetReadBuffer(socketBuffer) // best effort
		e.udp = append(e.udp, udp)
	}
	return e, nil
}

// family is how the net package tells the address families apart: [::] is IPv6
// only, so that 0.0.0.0 may be listed beside it.
func family(addr netip.AddrPort) string {
	if addr.Addr().Is4() {
		return "4"
	}
	return "6"
}

func listenStream(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp"+family(addr), addr.String())
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not TCP", addr), l.Close())
	}
	return tcp, nil
}

func (e endpoint) close() error {
	var errs []error
	if e.tcp != nil {
		errs = append(errs, e.tcp.Close())
	}
	for _, udp := range e.udp {
		errs = append(errs, udp.Close())
	}
	return errors.Join(errs...)
}
