package dnsserver

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// actor is who makes a change: a token, a key or an account, from an address.
type actor struct {
	by     string // such as: token "terraform"
	client netip.Addr
}

type actorKey struct{}

// withActor says who makes the changes of a context.
func withActor(ctx context.Context, by string, addr netip.Addr) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{by, addr.Unmap()})
}

// actorOf is who makes the changes of a context, the zero actor if nobody said.
func actorOf(ctx context.Context) actor {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a
}

// history remembers the last changes, beside the queries of the query log. A
// nil one remembers nothing.
type history struct {
	mu     sync.Mutex
	events []client.Event
	next   int
	limit  int
}

func newHistory(conf QueryLog) *history {
	if conf.Entries < 0 {
		return nil
	}
	return &history{limit: orDefault(conf.Entries, DefaultLogEntries)}
}

// add remembers a change that was made.
func (h *history) add(e client.Event) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) < h.limit {
		h.events = append(h.events, e)
		return
	}
	h.events[h.next] = e
	h.next = (h.next + 1) % h.limit
}

// matching returns the changes at names that keeps, the latest first.
func (h *history) matching(keeps func(name string) bool, since time.Time, limit int) []client.Event {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []client.Event
	for i := range h.events {
		e := h.events[(h.next-1-i+2*len(h.events))%len(h.events)]
		if len(events) == limit || e.Time.Before(since) {
			break
		}
		if keeps(e.Name + ".") {
			events = append(events, e)
		}
	}
	return events
}

// changed takes note of a change that was made.
func (s *Server) changed(ctx context.Context, c Change) {
	who := actorOf(ctx)
	e := client.Event{
		Time: time.Now().UTC(), Kind: client.EventPut, Name: display(c.Name), Type: "TXT", Value: c.Value, By: who.by,
	}
	if c.Alias {
		e.Type, e.Value = "CNAME", display(c.Value)
	}
	if c.Delete {
		e.Kind = client.EventDelete
	}
	if s.queries != nil {
		privacy := *s.queries.privacy.Load()
		e.Client = shownClient(private(who.client, privacy), privacy)
	}
	s.history.add(e)
}
