package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// portTries is how often a port that the kernel picked for TCP may turn out to
// be taken for UDP before listening fails.
const portTries = 32

// pair is one address that answers over both transports.
type pair struct {
	addr netip.AddrPort
	udp  *net.UDPConn
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
// it knows nothing of the pair, so several are tried.
func listen(ctx context.Context, addr netip.AddrPort) (pair, error) {
	for try := 1; ; try++ {
		p, err := listenOnce(ctx, addr)
		if err == nil || addr.Port() != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return p, err
		}
	}
}

func listenOnce(ctx context.Context, addr netip.AddrPort) (pair, error) {
	family := "6" // [::] is IPv6 only, so that 0.0.0.0 may be listed beside it
	if addr.Addr().Is4() {
		family = "4"
	}
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp"+family, addr.String())
	if err != nil {
		return pair{}, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return pair{}, errors.Join(fmt.Errorf("listen on %s: not TCP", addr), l.Close())
	}
	addr = netip.AddrPortFrom(addr.Addr(), tcp.Addr().(*net.TCPAddr).AddrPort().Port())
	c, err := conf.ListenPacket(ctx, "udp"+family, addr.String())
	if err != nil {
		return pair{}, errors.Join(err, tcp.Close())
	}
	udp, ok := c.(*net.UDPConn)
	if !ok {
		return pair{}, errors.Join(fmt.Errorf("listen on %s: not UDP", addr), tcp.Close(), c.Close())
	}
	return pair{addr, udp, tcp}, nil
}

func (p pair) close() error { return errors.Join(p.udp.Close(), p.tcp.Close()) }
