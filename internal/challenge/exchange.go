package challenge

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	queryTimeout = 3 * time.Second
	// resendAfter is when a question is sent again over UDP, which loses some.
	resendAfter = time.Second
	// ednsSize is the longest answer over UDP that is asked for, in bytes (RFC
	// 9715); readSize leaves room for servers that do not look.
	ednsSize = 1232
	readSize = 4096
)

// conversation asks any number of questions at once over one UDP socket for
// each server. It ends with close.
type conversation struct {
	*Resolver

	mu      sync.Mutex
	sockets map[string]*socket
	readers sync.WaitGroup
}

func (r *Resolver) converse() *conversation {
	return &conversation{Resolver: r, sockets: map[string]*socket{}}
}

func (c *conversation) close() {
	c.mu.Lock()
	for _, s := range c.sockets {
		_ = s.conn.Close() // its reader sees it
	}
	c.mu.Unlock()
	c.readers.Wait()
}

// exchange asks one server: over UDP, and over TCP when the answer is
// truncated.
func (c *conversation) exchange(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := c.ask(limited, server, question)
	if err == nil && answer.Truncated {
		answer, err = c.askTCP(limited, server, question)
	}
	switch {
	case err == nil && answer.Truncated:
		return nil, fmt.Errorf("%s answers truncated over TCP", server)
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err() // the rest would be about the connection
	case limited.Err() != nil:
		return nil, fmt.Errorf("no answer within %s", queryTimeout)
	default:
		return nil, err
	}
}

// ask sends a question over UDP, again where no answer comes, until ctx ends.
func (c *conversation) ask(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	wire, err := question.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack the question: %w", err)
	}
	s, err := c.socket(ctx, server)
	if err != nil {
		return nil, err
	}
	id, answered, err := s.expect(question.Question[0])
	if err != nil {
		return nil, err
	}
	defer s.forget(id)
	binary.BigEndian.PutUint16(wire, id)
	for {
		if _, err := s.conn.Write(wire); err != nil {
			return nil, err
		}
		again := time.NewTimer(resendAfter)
		select {
		case a := <-answered:
			again.Stop()
			return a.message, a.err
		case <-ctx.Done():
			again.Stop()
			return nil, ctx.Err()
		case <-again.C:
		}
	}
}

// socket returns the socket to a server, making one where there is none or the
// last one failed.
func (c *conversation) socket(ctx context.Context, server string) (*socket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sockets[server]; ok && s.usable() {
		return s, nil
	}
	conn, err := c.dialer.DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, waiting: map[uint16]waiter{}}
	c.sockets[server] = s
	c.readers.Go(s.read)
	return s, nil
}

// socket is a UDP socket to one server, on which several questions wait for
// their answers.
type socket struct {
	conn net.Conn

	mu      sync.Mutex
	waiting map[uint16]waiter // by the question's ID
	failed  error
}

type waiter struct {
	question dns.Question
	answered chan answer
}

type answer struct {
	message *dns.Msg
	err     error
}

func (s *socket) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed == nil
}

// expect takes an ID that no other question on the socket has, until forget.
func (s *socket) expect(question dns.Question) (id uint16, answered <-chan answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return 0, nil, s.failed
	}
	for taken := true; taken; _, taken = s.waiting[id] {
		id = dns.Id()
	}
	w := waiter{question, make(chan answer, 1)}
	s.waiting[id] = w
	return id, w.answered, nil
}

func (s *socket) forget(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// read hands answers out until the socket is closed or fails.
func (s *socket) read() {
	buffer := make([]byte, readSize)
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			s.fail(err)
			return
		}
		message := new(dns.Msg)
		if message.Unpack(buffer[:n]) == nil {
			s.deliver(message)
		}
	}
}

// deliver gives an answer to who asked. A second one, one to no question or to
// another one than was asked is dropped: anybody may have sent it.
func (s *socket) deliver(message *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.waiting[message.Id]
	if !ok || !message.Response || !answers(message, w.question) {
		return
	}
	w.give(answer{message: message})
}

func (w waiter) give(a answer) {
	select {
	case w.answered <- a:
	default: // it has one
	}
}

// answers reports whether a message repeats the question, which servers may
// leave out of an error.
func answers(message *dns.Msg, question dns.Question) bool {
	if len(message.Question) == 0 {
		return message.Rcode != dns.RcodeSuccess && message.Rcode != dns.RcodeNameError
	}
	asked := message.Question[0]
	return asked.Qtype == question.Qtype && asked.Qclass == question.Qclass && strings.EqualFold(asked.Name, question.Name)
}

// fail ends all waits: an ICMP message, say, tells that nobody listens.
func (s *socket) fail(err error) {
	_ = s.conn.Close() // it is of no more use
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
	for _, w := range s.waiting {
		w.give(answer{err: err})
	}
}

// askTCP sends a question once.
func (c *conversation) askTCP(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	return exchangeTCP(ctx, &dns.Client{Dialer: &c.dialer}, server, question)
}

// exchangeTCP sends a message over a connection that is closed when ctx ends:
// the library would look at its deadline only, and fail before it has passed. As
// the library does, it may return a message beside an error.
func exchangeTCP(ctx context.Context, client *dns.Client, server string, message *dns.Msg) (*dns.Msg, error) {
	client.Net, client.Timeout = "tcp", 2*queryTimeout
	connection, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	answer, _, err := client.ExchangeWithConnContext(context.WithoutCancel(ctx), message, connection)
	return answer, err
}

// newQuestion is a question with EDNS.
func newQuestion(name string, kind uint16) *dns.Msg {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(ednsSize, false)
	return question
}
