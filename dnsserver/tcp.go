package dnsserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// transferTimeout is how long one message may take to arrive once it has
// begun, and one reply to leave.
const transferTimeout = 5 * time.Second

// firstRead is how much of a connection is read at once, in bytes: more than
// most queries have.
const firstRead = 512

// connections counts open TCP connections, in all and by client, so that one
// client cannot take every place (RFC 7766 §6.1, §10).
type connections struct {
	mu                sync.Mutex
	max, maxPerClient int
	all               map[net.Conn]netip.Prefix
	byClient          map[netip.Prefix]int
}

func newConnections(limit, perClient int) *connections {
	return &connections{
		max: limit, maxPerClient: perClient,
		all: map[net.Conn]netip.Prefix{}, byClient: map[netip.Prefix]int{},
	}
}

// clientOf groups addresses that one client can choose among.
func clientOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	size := 32
	if ip.Is6() {
		size = 64
	}
	prefix, err := ip.WithZone("").Prefix(size)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// admit counts a connection in, or reports that there is no place for it.
func (c *connections) admit(conn net.Conn) bool {
	client := clientOf(conn.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= c.max || c.byClient[client] >= c.maxPerClient {
		return false
	}
	c.all[conn] = client
	c.byClient[client]++
	return true
}

func (c *connections) release(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.all[conn]
	if !ok {
		return
	}
	delete(c.all, conn)
	if c.byClient[client]--; c.byClient[client] == 0 {
		delete(c.byClient, client)
	}
}

// count is how many connections are open.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// interrupt ends every wait for a next message; replies still leave.
func (c *connections) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.all {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
	}
}

// closeAll cuts every connection off.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.all {
		_ = conn.Close() // its reader and writer see it
	}
}

// serveTCP accepts connections until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener, t *tap) {
	for ctx.Err() == nil {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				_ = conn.Close() // nothing was read
			}
			return
		case err != nil:
			s.log.LogAttrs(ctx, slog.LevelWarn, "tcp accept", slog.Any("error", err))
			pause(ctx, faultPause)
			continue
		}
		if !s.conns.admit(conn) {
			s.counters.refusedConnections.Add(1)
			s.log.LogAttrs(ctx, slog.LevelDebug, "tcp connection refused: too many",
				slog.String("client", conn.RemoteAddr().String()))
			_ = conn.Close() // nothing was read
			continue
		}
		s.running.Go(func() {
			defer s.conns.release(conn)
			s.serveConn(ctx, conn, t)
		})
	}
}

// serveConn answers the messages of one connection in their order, as many as
// the client sends (RFC 7766 §6.2.1), until it is silent too long.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, t *tap) {
	defer func() { _ = conn.Close() }() // nothing is left to be sent
	r := bufio.NewReaderSize(conn, firstRead)
	var buf []byte // as long as the longest message so far
	for {
		msg, err := s.readMessage(ctx, conn, r, buf)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.log.LogAttrs(ctx, slog.LevelDebug, "tcp connection ends", slog.Any("error", err))
			}
			return
		}
		began := time.Now()
		reply := s.view.Load().respond(msg, tcpSize)
		s.logQuery(ctx, overTCP, conn.RemoteAddr(), reply)
		if reply.wire == nil {
			t.refused()
			return
		}
		buf = binary.BigEndian.AppendUint16(msg[:0], uint16(len(reply.wire)))
		buf = append(buf, reply.wire...)
		if err := conn.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
			return
		}
		if _, err := conn.Write(buf); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "tcp write", slog.Any("error", err))
			return
		}
		t.answered(s.view.Load().zoneName(reply), addrPort(conn.RemoteAddr()), reply.wire, began, time.Since(began))
	}
}

// readMessage waits for the next message (RFC 1035 §4.2.2) and reads it into
// buf, or into a longer one. A client that is silent too long, or takes too long
// over one message, is an error, and so is a server that is shutting down.
func (s *Server) readMessage(ctx context.Context, conn net.Conn, r *bufio.Reader, buf []byte) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(s.idleTimeout)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // after the deadline is set, so that interrupt is not undone
		return nil, err
	}
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(transferTimeout)); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // only what is here already is still answered
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			return nil, err
		}
	}
	length := slices.Grow(buf[:0], 2)[:2]
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(length))
	msg := slices.Grow(length[:0], size)[:size]
	if _, err := io.ReadFull(r, msg); err != nil {
		return nil, err
	}
	return msg, nil
}
