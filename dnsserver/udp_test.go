package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestUDP_repliesFromTheAddressAsked speaks to a server that listens on every
// address of the machine, through each kind of socket there is.
func TestUDP_repliesFromTheAddressAsked(t *testing.T) {
	kinds := map[string]func(*net.UDPConn, netip.Addr) (datagrams, error){
		"as this system does": newDatagrams,
		"one at a time": func(c *net.UDPConn, local netip.Addr) (datagrams, error) {
			return newSingle(c, local)
		},
	}
	for title, open := range kinds {
		for _, c := range []struct{ listen, ask string }{
			{"127.0.0.1:0", "127.0.0.1"},
			{"0.0.0.0:0", "127.0.0.1"},
			{"0.0.0.0:0", "127.0.0.7"},
			{"[::1]:0", "::1"},
			{"[::]:0", "::1"},
		} {
			t.Run(fmt.Sprintf("%s/%s asked at %s", title, c.listen, c.ask), func(t *testing.T) {
				addr := serveEcho(t, c.listen, open)
				// A connected socket takes no datagram from another address.
				conn, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(c.ask), addr.Port()).String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
				request := wire(t, ask("www.example.com. A"))
				for range 3 { // what the kernel overwrote is put back
					if _, err := conn.Write(request); err != nil {
						t.Fatal(err)
					}
					buf := [maxDatagram]byte{}
					n, err := conn.Read(buf[:])
					if err != nil {
						t.Fatal(err)
					}
					checkEcho(t, request, buf[:n])
				}
			})
		}
	}
}

// serveEcho answers on one socket of a kind until the test ends.
func serveEcho(t *testing.T, listen string, open func(*net.UDPConn, netip.Addr) (datagrams, error)) netip.AddrPort {
	t.Helper()
	s, err := New(testConfig(), NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(testView(t))
	at := netip.MustParseAddrPort(listen)
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(c, at.Addr())
	if err != nil {
		t.Fatal(err)
	}
	done := ended(func() { s.serveUDP(t.Context(), d, s.taps.add(overUDP, nil)) })
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ended runs f and closes what it returns when f has returned.
func ended(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	return done
}

// TestUDP_manyClientsAtOnce checks that a batch hands each client its own reply.
func TestUDP_manyClientsAtOnce(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	failed := make(chan error)
	for client := range 20 {
		put(t, s, fmt.Sprintf("client%d.example.com", client), fmt.Sprintf("value of %d", client))
	}
	for client := range 20 {
		go func() { failed <- askOften(s.Addr().String(), client, 100) }()
	}
	for range 20 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// askOften sends questions ten at a time and checks that each is answered, with
// what belongs to this client.
func askOften(addr string, client, rounds int) error {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, maxDatagram)
	for round := range rounds {
		open := map[uint16]bool{}
		for i := range 10 {
			m := ask(fmt.Sprintf("client%d.example.com. TXT", client))
			m.Id = uint16(client*1000 + round*10 + i)
			open[m.Id] = true
			msg, err := m.Pack()
			if err != nil {
				return err
			}
			if _, err := conn.Write(msg); err != nil {
				return err
			}
		}
		for len(open) > 0 {
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("client %d: %d questions have no reply", client, len(open))
			}
			var reply dns.Msg
			if err := errors.Join(err, reply.Unpack(buf[:n])); err != nil {
				return err
			}
			if !open[reply.Id] || len(reply.Answer) != 1 || reply.Answer[0].(*dns.TXT).Txt[0] != fmt.Sprintf("value of %d", client) {
				return fmt.Errorf("client %d got the reply of another: %v", client, reply.Answer)
			}
			delete(open, reply.Id)
		}
	}
	return nil
}

// TestUDP_replyThatCannotLeave checks that one client whose reply the kernel
// refuses does not cost the others theirs.
func TestUDP_replyThatCannotLeave(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := newDatagrams(c, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for i := range 3 {
		conn, err := net.Dial("udp", c.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, conn)
	}
	refused := 0
	for got := 0; got < len(clients); {
		n, err := d.receive()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			msg, _ := d.request(i)
			if msg[0] == 1 {
				d.answer(i, make([]byte, 70000)) // no datagram is as long
			} else {
				d.answer(i, append([]byte("to "), msg[0]))
			}
		}
		if d.send() != nil {
			refused++
		}
		got += n
	}
	if refused != 1 {
		t.Errorf("%d errors, want one", refused)
	}
	for i, conn := range clients {
		if i == 1 {
			continue
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "to "+string(rune(i)) {
			t.Errorf("client %d: %q (%v), want its own reply", i, buf[:n], err)
		}
	}
}

// TestUDP_aPortInUseIsAnError covers the sockets that share their address:
// among themselves they may, with another server they must not.
func TestUDP_aPortInUseIsAnError(t *testing.T) {
	first := startServer(t, testConfig(), NewMemoryStore())
	second, err := New(testConfig(), NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context(), first.Addr().String()); err == nil {
		t.Errorf("a second server starts at %s: %v", first.Addr(), second.Shutdown(t.Context()))
	}
}
