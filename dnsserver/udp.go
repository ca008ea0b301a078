package dnsserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"
)

// faultPause keeps a socket that reports one error after another from taking
// a whole processor.
const faultPause = 10 * time.Millisecond

// processors is how many can answer at the same time: as many goroutines wait at
// each socket or, where sockets share an address, as many sockets there are.
func processors() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// maxDatagram is the longest request read over UDP, in bytes: several times
// what EDNS advertises. What is cut off there is no message.
const maxDatagram = 4096

// datagrams reads and answers datagrams, several with one system call where
// the system can. On an address that stands for all of the machine's, a reply
// leaves from the address the query came to: a resolver drops it otherwise.
// One goroutine uses it at a time.
type datagrams interface {
	receive() (int, error)                   // waits for some, and says how many came
	request(i int) (msg []byte, room []byte) // the i-th, and an empty buffer for its reply, until the next receive
	client(i int) netip.AddrPort             // who sent it
	answer(i int, msg []byte)                // queues the reply
	later(i int) func(msg []byte) error      // sends a reply at any time, from any goroutine
	send() error                             // sends what is queued; one that cannot be sent does not keep the others
}

// serveUDP answers datagrams until the socket is closed or its deadline is
// set. Nothing on the way of a usual query allocates or locks.
func (s *Server) serveUDP(ctx context.Context, c datagrams, t *tap) {
	r := s.responder(t, edns0UDPSize)
	for ctx.Err() == nil {
		n, err := c.receive()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.LogAttrs(ctx, slog.LevelWarn, "udp read", slog.Any("error", err))
			pause(ctx, faultPause)
			continue
		}
		v, now := s.view.Load(), s.clock.now()
		r.terms.policy = s.policy.Load()
		for i := range n {
			msg, room := c.request(i)
			if deferred(msg) {
				r.later(ctx, bytes.Clone(msg), c.client(i), c.later(i))
				continue
			}
			c.answer(i, r.datagram(ctx, v, msg, room, c.client(i), now))
		}
		if err := c.send(); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "udp write", slog.Any("error", err))
		}
		t.took(n, s.clock.now().Sub(now))
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
