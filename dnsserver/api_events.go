package dnsserver

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// How many events a reply has.
const (
	defaultEvents = 200
	maxEvents     = 5000
)

// events returns what happened at names that keeps, the latest first.
func (s *Server) events(keeps func(name string) bool, since time.Time, limit int) []client.Event {
	privacy := s.settings.Load().addresses
	all := append(s.queries.matching(keeps, since, limit), s.history.matching(keeps, since, limit, privacy)...)
	slices.SortStableFunc(all, func(a, b client.Event) int { return b.Time.Compare(a.Time) })
	if len(all) > limit {
		all = all[:limit]
	}
	if all == nil {
		all = []client.Event{}
	}
	return all
}

// handleEvents is GET /v1/queries: of one name, or of all that the token may
// read.
func (s *Server) handleEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	who, ok := s.bearer(w, r)
	if !ok || !permitted(w, who, rightRead) {
		return
	}
	query := r.URL.Query()
	limit := defaultEvents
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxEvents {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("limit is not a number from 1 to %d; correct it", maxEvents))
			return
		}
		limit = n
	}
	var since time.Time
	if text := query.Get("since"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			refuse(w, http.StatusBadRequest, "since is not a time like 2026-01-02T15:04:05Z (RFC 3339); correct it")
			return
		}
		since = t
	}
	reply := client.Events{Skipped: s.skippedQueries()}
	keeps := who.allows
	if text := query.Get("name"); text != "" {
		name, err := canonicalName(strings.TrimSpace(text))
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("the name %v; correct the query", err))
			return
		}
		if !s.covers(w, who, name) {
			return
		}
		reply.Name, keeps = display(name), func(n string) bool { return n == name }
	}
	reply.Events = s.events(keeps, since, limit)
	replyJSON(w, http.StatusOK, reply)
}

// skippedQueries is how many queries were not remembered.
func (s *Server) skippedQueries() uint64 {
	if s.queries == nil {
		return 0
	}
	return s.queries.skipped.Load()
}
