package dnsserver

import (
	"net"
	"strings"
	"testing"
)

func TestInherit_refusesSocketsThatDoNotFit(t *testing.T) {
	tcp := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	udp := func() net.PacketConn {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	l, c, other := tcp(), udp(), tcp()
	for _, test := range []struct {
		title     string
		packets   []net.PacketConn
		listeners []net.Listener
		addr      string
		says      string
	}{
		{"no socket for datagrams", nil, []net.Listener{l}, l.Addr().String(), "add ListenDatagram=" + l.Addr().String()},
		{"no socket for streams", []net.PacketConn{c}, nil, c.LocalAddr().String(), "add ListenStream=" + c.LocalAddr().String()},
		{"an address that is not configured", nil, []net.Listener{other}, "127.0.0.1:0", "not to listen there"},
	} {
		s, err := New(testConfig(), NewMemoryStore(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Inherit(test.packets, test.listeners); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context(), test.addr); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.title, err, test.says)
		}
	}
}
