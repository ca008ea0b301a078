package dnsserver

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// aliveFor is how long after its last sign of life a server counts as running.
const aliveFor = 30 * time.Second

// condition is how a shared store is; nothing of one that is not shared.
func (s *Server) condition() (c Condition, ok bool) {
	if s.shared == nil {
		return c, false
	}
	return s.shared.Condition(), true
}

// storageProblem is why no change can be made, "" when it can.
func (s *Server) storageProblem() string {
	switch c, _ := s.condition(); {
	case c.Away != nil:
		return fmt.Sprintf("queries are answered as of %s, but no change is taken: %v", exact(c.Since), c.Away)
	case s.storageFault.Load():
		return "queries are answered, but the storage is at fault and takes no change; see the server's log"
	}
	return ""
}

// handleStatus is GET /v1/status.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	if _, ok := s.bearerFor(w, r, rightRead); !ok {
		return
	}
	v, ok := s.ready(w)
	if !ok {
		return
	}
	reply := client.Status{Since: s.since.UTC(), Zones: []client.Zone{}, Storage: client.Storage{Problem: s.storageProblem(), Servers: []client.Peer{}}}
	reply.Storage.Available = reply.Storage.Problem == ""
	queries := s.queriesByZone()
	for _, apex := range sortedKeys(v.zones, strings.Clone) {
		reply.Zones = append(reply.Zones, client.Zone{Name: display(apex), Serial: v.states[v.zones[apex].index].serial, Queries: queries[apex]})
	}
	c, _ := s.condition()
	reply.Storage.Sequence = c.Sequence
	for _, p := range c.Peers {
		reply.Storage.Servers = append(reply.Storage.Servers, client.Peer{
			Name: p.Name, Here: p.Here, Alive: s.alive(p), Seen: p.Seen.UTC(), Sequence: p.Sequence, Behind: p.Behind,
		})
	}
	replyJSON(w, http.StatusOK, reply)
}

func (s *Server) alive(p Peer) bool { return s.clock.now().Sub(p.Seen) < aliveFor }

// peerLine is one server for people.
type peerLine struct {
	Name, Class, State, Note, Seen, SeenExact string
	Sequence                                  string
}

// peerLines are the servers that share the storage.
func (s *Server) peerLines(now time.Time) []peerLine {
	c, _ := s.condition()
	var lines []peerLine
	for _, p := range c.Peers {
		l := peerLine{Name: p.Name, Class: "ok", State: "running", Seen: short(p.Seen, now), SeenExact: exact(p.Seen), Sequence: grouped(p.Sequence)}
		if p.Here {
			l.Name += " (this one)"
		}
		switch {
		case !s.alive(p):
			l.Class, l.State, l.Note = "bad", "not seen", "Start it, or see why it does not reach the database."
		case p.Behind > 0:
			l.Class, l.State, l.Note = "warn", "behind", "by "+plural(int(p.Behind), "change", "changes")+" when it was seen."
		}
		lines = append(lines, l)
	}
	return lines
}

// writeStorage says whether changes can be stored, and how far the servers are
// that share the storage.
func (s *Server) writeStorage(m *metric.Writer) {
	m.Single("certificate_dns_storage_available", metric.Gauge, "Whether changes can be stored.", boolean(s.storageProblem() == ""))
	c, ok := s.condition()
	if !ok {
		return
	}
	m.Single("certificate_dns_storage_sequence", metric.Gauge, "Number of the last change of the shared storage that this server shows.", float64(c.Sequence))
	m.Single("certificate_dns_storage_latest_sequence", metric.Gauge, "Number of the last change of the shared storage that is known of.", float64(max(c.Latest, c.Sequence)))
	m.Single("certificate_dns_storage_followed_total", metric.Counter, "Changes that other servers stored and this one followed.", float64(s.counters.followed.Load()))
	m.Single("certificate_dns_storage_reconnects_total", metric.Counter, "Times the shared storage had to be reached anew.", float64(c.Reconnects))
	m.Single("certificate_dns_storage_gaps_total", metric.Counter, "Times too much was missed, so that everything was loaded anew.", float64(c.Gaps))
	m.Family("certificate_dns_server_sequence", metric.Gauge, "Number of the last change that each server showed when it was seen last.")
	for _, p := range c.Peers {
		m.Sample(float64(p.Sequence), "server", p.Name)
	}
	m.Family("certificate_dns_server_behind", metric.Gauge, "How many more changes were stored than each server showed when it was seen last.")
	for _, p := range c.Peers {
		m.Sample(float64(p.Behind), "server", p.Name)
	}
	m.Family("certificate_dns_server_seen_timestamp_seconds", metric.Gauge, "When each server was seen last, as Unix time.")
	for _, p := range c.Peers {
		m.Sample(float64(p.Seen.UnixMilli())/1000, "server", p.Name)
	}
}
