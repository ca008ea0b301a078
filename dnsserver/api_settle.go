package dnsserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// maxWait bounds how long a request waits for the secondaries.
const maxWait = time.Minute

// patienceOf reads the wait of a query, 0 without one, or refuses.
func patienceOf(w http.ResponseWriter, query url.Values) (time.Duration, bool) {
	text := query.Get("wait")
	if text == "" && !query.Has("wait") {
		return 0, true
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxWait {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("wait: %q is no duration up to %s; write one like 10s", text, maxWait))
		return 0, false
	}
	return d, true
}

// handleSettled waits until the secondaries have what this server has.
func (s *Server) handleSettled(w http.ResponseWriter, r *http.Request) {
	r, _, name := s.admit(w, r)
	if r == nil {
		return
	}
	if r.Method != http.MethodGet {
		refuseMethod(w, r, "GET")
		return
	}
	patience, ok := patienceOf(w, r.URL.Query())
	if !ok {
		return
	}
	reply, err := s.settled(w, r, name, patience)
	if err != nil {
		refuseError(w, err)
		return
	}
	replyJSON(w, http.StatusOK, reply)
}

// settled waits for the secondaries of the zone that name is in.
func (s *Server) settled(w http.ResponseWriter, r *http.Request, name string, patience time.Duration) (client.Settled, error) {
	zone, serial, err := s.Serial(name)
	if err != nil {
		return client.Settled{}, err
	}
	// The server's timeout is for requests that wait for nothing. Where it cannot
	// be moved, the client sees it end.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + transferTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	reply := client.Settled{Zone: display(zone), Serial: serial, Lagging: []client.Lag{}}
	lagging, err := s.Settled(ctx, zone, serial)
	if reply.Settled = err == nil; err != nil {
		reply.Lagging = append(reply.Lagging, lagging...)
	}
	return reply, nil
}

// secondaryLine is one secondary for people.
type secondaryLine struct {
	Zone, Name, Address, Class, State, Seen, SeenExact string
	Serial                                             uint32
}

// secondaryLines are the servers that follow zones of this one.
func (s *Server) secondaryLines(now time.Time) []secondaryLine {
	var lines []secondaryLine
	v := s.view.Load()
	for _, apex := range sortedKeys(v.zones, display) {
		serial, _ := s.serialAt(apex)
		for _, f := range s.followers.of(apex) {
			seen, _, problem := f.state()
			l := secondaryLine{Zone: display(apex), Name: f.name, Address: f.address.String(), Serial: seen, Class: "ok", State: "has everything"}
			f.mu.Lock()
			at := f.at
			f.mu.Unlock()
			if !at.IsZero() {
				l.Seen, l.SeenExact = short(at, now), exact(at)
			}
			switch {
			case problem != nil:
				l.Class, l.State = "bad", problem.Error()
			case seen == 0:
				l.Class, l.State = "warn", "has not answered yet"
			case !has(seen, serial):
				l.Class, l.State = "warn", fmt.Sprintf("%d behind", serial-seen)
			}
			lines = append(lines, l)
		}
	}
	return lines
}
