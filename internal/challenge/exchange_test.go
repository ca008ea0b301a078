package challenge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestExchange_truncatedAnswers(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	for n := range 40 {
		server.put("big.test", fmt.Sprintf("%d-%s", n, strings.Repeat("x", 60)))
	}
	question := new(dns.Msg).SetQuestion("big.test.", dns.TypeTXT)
	answer, err := talk(t, &Resolver{}).exchange(t.Context(), server.addr, question)
	if err != nil || len(answer.Answer) != 40 {
		t.Fatalf("%v, want 40 records", err)
	}
	if server.asked != 2 {
		t.Errorf("%d questions, want one over UDP and one over TCP", server.asked)
	}
	server.set(func(_, answer *dns.Msg) *dns.Msg { answer.Truncated = true; return answer })
	_, err = talk(t, &Resolver{}).exchange(t.Context(), server.addr, question)
	wantParts(t, err, "truncated over TCP", server.addr)
}

func TestExchange_endsWithItsContext(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.set(func(*dns.Msg, *dns.Msg) *dns.Msg { return nil })
	ctx, cancel := context.WithCancel(t.Context())
	c := talk(t, &Resolver{})
	done := make(chan error, 1)
	go func() {
		_, err := c.exchange(ctx, server.addr, newQuestion("a.test", dns.TypeTXT))
		done <- err
	}()
	<-server.seen
	cancel()
	wantCanceled(t, done)
}

// Many questions at once share a socket, and each gets its own answer in
// whatever order they come.
func TestExchange_oneSocketForManyQuestions(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	const many = 50
	all := make(chan struct{})
	var mu sync.Mutex
	arrived := 0
	server.set(func(_, answer *dns.Msg) *dns.Msg { // the last one first
		mu.Lock()
		if arrived++; arrived == many {
			close(all)
		}
		mu.Unlock()
		<-all
		return answer
	})
	c := talk(t, &Resolver{})
	var group sync.WaitGroup
	for n := range many {
		name := fmt.Sprintf("n%d.test", n)
		server.put(name, name)
		group.Go(func() {
			answer, err := c.exchange(t.Context(), server.addr, newQuestion(name, dns.TypeTXT))
			if err != nil {
				t.Error(err)
				return
			}
			if reason := missing(answer, Record{Value: name}); reason != "" {
				t.Errorf("%s: %s", name, reason)
			}
		})
	}
	group.Wait()
	server.mu.Lock()
	defer server.mu.Unlock()
	if got := len(server.clients); got != 1 {
		t.Errorf("%d sockets, want 1", got)
	}
}

func TestExchange_asksAgainWhatWasLost(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.put("a.test", "value")
	var lost atomic.Bool
	server.set(func(_, answer *dns.Msg) *dns.Msg {
		if lost.CompareAndSwap(false, true) {
			return nil
		}
		return answer
	})
	answer, err := talk(t, &Resolver{}).exchange(t.Context(), server.addr, newQuestion("a.test", dns.TypeTXT))
	if err != nil || len(answer.Answer) != 1 {
		t.Errorf("%v, %v, want the record", answer, err)
	}
}

// What does not answer the question is not taken for its answer.
func TestExchange_dropsStrangeAnswers(t *testing.T) {
	t.Parallel()
	for sentence, spoil := range map[string]func(answer *dns.Msg){
		"another ID":       func(answer *dns.Msg) { answer.Id++ },
		"a question":       func(answer *dns.Msg) { answer.Response = false },
		"another name":     func(answer *dns.Msg) { answer.Question[0].Name = "b.test." },
		"another type":     func(answer *dns.Msg) { answer.Question[0].Qtype = dns.TypeA },
		"without question": func(answer *dns.Msg) { answer.Question = nil },
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			server := newServers(t, 1)[0]
			server.set(func(_, answer *dns.Msg) *dns.Msg { spoil(answer); return answer })
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			answer, err := talk(t, &Resolver{}).exchange(ctx, server.addr, newQuestion("a.test", dns.TypeTXT))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v, want none", answer, err)
			}
		})
	}
}

// After an ICMP error the next question is asked over a new socket.
func TestExchange_goesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := udp.LocalAddr().String()
	_ = udp.Close()
	c := talk(t, &Resolver{})
	_, err = c.exchange(t.Context(), addr, newQuestion("a.test", dns.TypeTXT))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want %v", err, syscall.ECONNREFUSED)
	}
	if udp, err = net.ListenPacket("udp", addr); err != nil {
		t.Fatal(err)
	}
	serve(t, &dns.Server{PacketConn: udp, Handler: newNameserver(addr)})
	if _, err := c.exchange(t.Context(), addr, newQuestion("a.test", dns.TypeTXT)); err != nil {
		t.Error(err)
	}
}

// An ID is free again when its owner forgets it, not when the answer is there:
// whoever took it in between would be forgotten too.
func TestSocket_keepsAnIDUntilItIsForgotten(t *testing.T) {
	t.Parallel()
	s := &socket{waiting: map[uint16]waiter{}}
	question := newQuestion("a.test", dns.TypeTXT)
	id, answered, err := s.expect(question.Question[0])
	if err != nil {
		t.Fatal(err)
	}
	question.Id = id
	for range 2 { // the second is dropped
		s.deliver(new(dns.Msg).SetReply(question))
	}
	if _, taken := s.waiting[id]; !taken {
		t.Error("the ID is free before its owner has read the answer")
	}
	if a := <-answered; a.err != nil || a.message.Id != id {
		t.Errorf("got %v, want the answer", a)
	}
	s.forget(id)
	if len(s.waiting) != 0 {
		t.Errorf("%d IDs are taken, want none", len(s.waiting))
	}
}
