package postgres

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a store and its database and breaks connections.
type proxy struct {
	listener net.Listener
	to       string

	mu        sync.Mutex
	conns     map[net.Conn]bool
	swallow   bool // the next answer is not passed on, and the connection ends
	deaf      bool // the next request is not passed on, and the connection ends
	blackhole bool // connections stay open, and pass nothing on
	refusing  bool // new connections end at once
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes what the proxy does.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	p.mu.Lock()
	if err != nil || p.refusing {
		p.mu.Unlock()
		_ = client.Close()
		if server != nil {
			_ = server.Close()
		}
		return
	}
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, &p.deaf) })
	both.Go(func() { p.copy(client, server, &p.swallow) })
	both.Wait()
	p.set(func() {
		delete(p.conns, client)
		delete(p.conns, server)
	})
}

// copy passes on what comes until either side ends, or a fault is wanted.
func (p *proxy) copy(to, from net.Conn, fault *bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		broken, lost := *fault, p.blackhole
		*fault = false
		p.mu.Unlock()
		switch {
		case broken:
			return
		case lost:
			_, _ = io.Copy(io.Discard, from) // until it gives up
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
