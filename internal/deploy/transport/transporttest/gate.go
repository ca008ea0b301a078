package transporttest

import (
	"net"
	"sync"
	"testing"
)

// Gate passes TCP connections on, until it is shut: then bytes wait in it, as
// they do in a network that has swallowed a packet.
type Gate struct {
	Address string

	mu     sync.Mutex
	opened *sync.Cond
	shut   bool
	closed bool
	all    []net.Conn
}

// NewGate stands in front of address.
func NewGate(t testing.TB, address string) *Gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Address: listener.Addr().String()}
	g.opened = sync.NewCond(&g.mu)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				_ = in.Close() // as a refused connection looks
				continue
			}
			g.keep(in, out)
			all.Go(func() { g.pass(in, out) })
			all.Go(func() { g.pass(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // ends the loop
		g.Cut()
		all.Wait()
	})
	return g
}

func (g *Gate) keep(connections ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, connections...)
}

func (g *Gate) pass(from, to net.Conn) {
	defer func() { _ = from.Close(); _ = to.Close() }() // one end takes the other with it
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !g.wait() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait holds until the gate is open, and says whether there is still a use.
func (g *Gate) wait() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut && !g.closed {
		g.opened.Wait()
	}
	return !g.closed
}

// Shut holds everything back.
func (g *Gate) Shut() { g.set(true) }

// Open lets everything through again.
func (g *Gate) Open() { g.set(false) }

func (g *Gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.opened.Broadcast()
}

// Cut ends all connections, and those to come.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, connection := range g.all {
		_ = connection.Close() // it may have ended already
	}
	g.opened.Broadcast()
}
