package dnsserver

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

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
	mu    sync.Mutex
	slots []done
	text  slab // of names, data and who made it
	next  int
	limit int
}

// done is one change that was made, or refused.
type done struct {
	at      time.Time
	by      actor
	change  Change
	rcode   string // of a refusal, "" otherwise
	problem string
}

// keptRefused is how many records of one refused update are remembered.
const keptRefused = 5

func newHistory(conf QueryLog) *history {
	if conf.Entries < 0 {
		return nil
	}
	return &history{limit: orDefault(conf.Entries, DefaultLogEntries)}
}

// add remembers changes that were made.
func (h *history) add(by actor, changes []Change) { h.keep(by, changes, nil) }

// refuse remembers changes that somebody who is known wanted and did not get.
func (h *history) refuse(by actor, changes []Change, err error) {
	h.keep(by, changes[:min(len(changes), keptRefused)], err)
}

func (h *history) keep(by actor, changes []Change, err error) {
	if h == nil || len(changes) == 0 {
		return
	}
	now := time.Now().UTC()
	h.mu.Lock()
	defer h.mu.Unlock()
	by.by = h.text.text(by.by)
	for _, c := range changes {
		c.Name, c.Data = h.text.text(c.Name), h.text.text(c.Data)
		e := done{at: now, by: by, change: c}
		if err != nil {
			e.rcode, e.problem = rcodeName(rcodeOf(err)), err.Error()
		}
		if len(h.slots) < h.limit {
			h.slots = append(h.slots, e)
			continue
		}
		h.slots[h.next] = e
		h.next = (h.next + 1) % h.limit
	}
}

// matching returns the changes at names that keeps, the latest first.
func (h *history) matching(keeps func(name string) bool, since time.Time, limit int, privacy string) []client.Event {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []client.Event
	for i := range h.slots {
		d := h.slots[(h.next-1-i+2*len(h.slots))%len(h.slots)]
		if len(events) == limit || d.at.Before(since) {
			break
		}
		if keeps(d.change.Name) {
			events = append(events, d.event(privacy))
		}
	}
	return events
}

func (d done) event(privacy string) client.Event {
	c := d.change
	e := client.Event{Time: d.at, Kind: client.EventPut, Name: display(c.Name), Type: dns.Type(c.Type).String(), By: d.by.by}
	e.Client = shownClient(private(d.by.client, privacy), privacy)
	if c.Op != Put && c.Op != Extend {
		e.Kind = client.EventDelete
	}
	if d.rcode != "" {
		e.Kind, e.Rcode, e.Problem = client.EventRefuse, d.rcode, d.problem
	}
	if c.Op == DeleteName {
		e.Type = "ANY"
	}
	if rr, err := newRR(c.Name, c.Type, record{data: c.Data}); err == nil && c.Data != "" {
		_, e.Value, _ = strings.Cut(shownRecord(rr), " ")
	}
	return e
}
