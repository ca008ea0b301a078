package dnsserver

import (
	"bufio"
	"container/list"
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

// Sizes of a connection's buffers in bytes.
const (
	firstRead = 4096  // read at once: more than several queries have
	keptSpace = 4096  // of a buffer that has grown, what a silent connection keeps
	maxQueued = 65535 // replies to messages that came together and leave together
)

// connections counts open TCP connections, in all and by client, so that one
// client cannot take every place (RFC 7766 §6.1, §10). When all places are
// taken, the connection whose last message is longest ago gives way.
type connections struct {
	mu                sync.Mutex
	max, maxPerClient int
	all               map[net.Conn]*connection
	byClient          map[netip.Prefix]int
	silent            *list.List            // of net.Conn, the longest silent first
	exempt            func(netip.Addr) bool // who may have as many as there are; nil: nobody
}

// connection is what is known of an open one.
type connection struct {
	client netip.Prefix
	place  *list.Element // in silent
}

func newConnections(limit, perClient int) *connections {
	return &connections{
		max: limit, maxPerClient: perClient,
		all: map[net.Conn]*connection{}, byClient: map[netip.Prefix]int{}, silent: list.New(),
	}
}

// clientOf groups addresses that one client can choose among.
func clientOf(addr netip.Addr) netip.Prefix {
	size := 32
	if addr.Is6() {
		size = 64
	}
	prefix, err := addr.WithZone("").Prefix(size)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// admit counts a connection in, or reports that there is no place for it.
func (c *connections) admit(conn net.Conn) bool {
	addr := addrPortOf(conn.RemoteAddr()).Addr()
	client := clientOf(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byClient[client] >= c.maxPerClient && (c.exempt == nil || !c.exempt(addr)) {
		return false
	}
	if len(c.all) >= c.max {
		oldest, ok := c.silent.Front().Value.(net.Conn)
		if !ok {
			return false
		}
		c.forget(oldest)
		_ = oldest.Close() // its reader and writer see it
	}
	c.all[conn] = &connection{client, c.silent.PushBack(conn)}
	c.byClient[client]++
	return true
}

// spoke says that a whole message has come.
func (c *connections) spoke(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.all[bare(conn)]; known != nil {
		c.silent.MoveToBack(known.place)
	}
}

func (c *connections) release(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(conn)
}

// forget is release for who holds the lock.
func (c *connections) forget(conn net.Conn) {
	known := c.all[conn]
	if known == nil {
		return
	}
	delete(c.all, conn)
	c.silent.Remove(known.place)
	if c.byClient[known.client]--; c.byClient[known.client] == 0 {
		delete(c.byClient, known.client)
	}
}

// count is how many connections are open.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// limit puts other bounds into force; connections over them stay until they
// end.
func (c *connections) limit(most, perClient int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max, c.maxPerClient = most, perClient
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

// serveTCP accepts connections until the listener is closed, for DNS over TLS
// where the tap counts that.
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
			served := conn
			if t.transport == overTLS {
				if served, err = s.handshake(ctx, conn); err != nil {
					s.log.LogAttrs(ctx, slog.LevelDebug, "tls handshake", slog.String("client", conn.RemoteAddr().String()), slog.Any("error", err))
					_ = conn.Close() // nothing was read
					return
				}
			}
			s.serveConn(ctx, served, t)
		})
	}
}

// serveConn answers the messages of one connection, as many as the client
// sends (RFC 7766 §6.2.1), until it is silent too long. Replies keep the order
// of their questions, and those to messages that came together leave together.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, t *tap) {
	defer func() { _ = conn.Close() }() // nothing is left to be sent
	client := addrPortOf(conn.RemoteAddr())
	answers := s.responder(t, tcpSize)
	r := bufio.NewReaderSize(conn, firstRead)
	var in, out []byte
	for {
		if len(out) > 0 && (!holdsMessage(r) || len(out) >= maxQueued) {
			if err := send(conn, out); err != nil {
				s.log.LogAttrs(ctx, slog.LevelDebug, "tcp write", slog.Any("error", err))
				return
			}
			in, out = kept(in), kept(out)
		}
		msg, err := s.readMessage(ctx, conn, r, in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.log.LogAttrs(ctx, slog.LevelDebug, "tcp connection ends", slog.Any("error", err))
			}
			return
		}
		s.conns.spoke(conn)
		if transferType(msg) != 0 {
			if len(out) > 0 {
				if err := send(conn, out); err != nil {
					return
				}
				out = kept(out)
			}
			if done, err := s.transfer(ctx, conn, msg, client, answers); err != nil {
				return
			} else if done {
				in = msg
				continue
			}
		}
		start := len(out)
		if out = answers.message(ctx, msg, out, client); len(out) == start {
			return
		}
		in = msg
	}
}

// send writes what is queued; a client that does not take it in time is an
// error.
func send(conn net.Conn, out []byte) error { return sendWithin(conn, out, transferTimeout) }

func sendWithin(conn net.Conn, out []byte, patience time.Duration) error {
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := conn.Write(out)
	return err
}

// kept empties a buffer, and gives a large one back.
func kept(buf []byte) []byte {
	if cap(buf) > keptSpace {
		return nil
	}
	return buf[:0]
}

// holdsMessage reports whether a whole further message has been read already.
func holdsMessage(r *bufio.Reader) bool {
	if r.Buffered() < 2 {
		return false
	}
	length, err := r.Peek(2)
	return err == nil && r.Buffered() >= 2+int(binary.BigEndian.Uint16(length))
}

// addrPortOf is the address of a peer; the zero AddrPort of one that has none.
func addrPortOf(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// readMessage waits for the next message (RFC 1035 §4.2.2) and reads it into
// buf, or into a longer one. A client that is silent too long, or takes too long
// over one message, is an error, and so is a server that is shutting down.
func (s *Server) readMessage(ctx context.Context, conn net.Conn, r *bufio.Reader, buf []byte) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(time.Duration(s.idleTimeout.Load()))); err != nil {
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
