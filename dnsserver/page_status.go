package dnsserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// How long the result of a check is good for the list of domains, and how long
// the page waits for new ones.
const (
	verifiedFor  = 5 * time.Minute
	pagePatience = 2500 * time.Millisecond
)

type statusPage struct {
	frame
	Lead, Fault, DelegationNote, RecordNote, EventNote, Filter string
	Figures                                                    []figure
	Delegations                                                []delegationLine
	Zones                                                      []zoneLine
	Servers                                                    []peerLine
	Secondaries                                                []secondaryLine
	Records                                                    []recordLine
	Events                                                     []eventLine
}

type figure struct{ Name, Value string }

type delegationLine struct {
	Domain, Link, Class, State, Problem, Target, Updated, UpdatedExact string
	Values                                                             []string
}

type zoneLine struct {
	Name, Link, NameServers, Records, Queries string
	Serial                                    uint32
}

// handleStatusPage is the page at /.
func (s *Server) handleStatusPage(w http.ResponseWriter, r *http.Request, v *view, who *token) {
	now := s.clock.now()
	p := statusPage{frame: s.frameOf("Status", who), Filter: strings.TrimSpace(r.URL.Query().Get("name"))}
	p.Lead = fmt.Sprintf("Running since %s. Open a name to see who asked for it, what they were told, and which records came and went.", exact(s.since))
	if problem := s.storageProblem(); problem != "" {
		p.Fault = "The storage is at fault: " + problem
	}
	p.Servers = s.peerLines(now)
	p.Secondaries = s.secondaryLines(now)
	names, counts := v.liveNames(who, p.Filter)
	p.Records, p.RecordNote = v.shownRecords(names, p.Filter)
	p.Zones = s.zoneLines(v, counts)
	var problem error
	if p.Delegations, p.DelegationNote, problem = s.delegationLines(r.Context(), v, who, now); problem != nil {
		p.Fault = "The accounts cannot be read: " + problem.Error()
	}
	events := s.events(who.allows, time.Time{}, shownEvents)
	p.Events = eventLines(events, now)
	p.EventNote = s.eventNote(len(events))
	p.Figures = s.figures(v, now)
	s.render(w, http.StatusOK, "status.html", p)
}

// eventNote says what is not shown.
func (s *Server) eventNote(shown int) string {
	note := plural(shown, "line", "lines")
	if shown == shownEvents {
		note = fmt.Sprintf("the last %d", shownEvents)
	}
	if n := s.skippedQueries(); n > 0 {
		note += fmt.Sprintf("; %d queries were not kept, for too many came at once", n)
	}
	return note
}

// figures are the numbers at the top.
func (s *Server) figures(v *view, now time.Time) []figure {
	total := uint64(0)
	for _, n := range s.queriesByZone() {
		total += n
	}
	return []figure{
		{"Queries answered", grouped(total)},
		{"Changes made", grouped(s.counters.changes.Load())},
		{"Names with records", grouped(uint64(v.table.size))},
		{"Accounts", grouped(uint64(max(s.accounts.Load(), 0)))},
		{"TCP connections", grouped(uint64(s.conns.count()))},
		{"Up for", upFor(now.Sub(s.since))},
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// upFor is a duration in the two largest units it has.
func upFor(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// queriesByZone adds up what the sockets counted.
func (s *Server) queriesByZone() map[string]uint64 {
	sums := map[string]uint64{}
	for _, t := range s.taps.list() {
		for zone, n := range *t.zones.Load() {
			for place := range n {
				for rcode := range n[place] {
					sums[zone] += n[place][rcode].Load()
				}
			}
		}
	}
	return sums
}

// liveNames returns names with records that the visitor may see and that have
// the filter in them, and how many records each zone has. Of a large table it
// counts nothing and stops when a page is full.
func (v *view) liveNames(who *token, filter string) (names []string, counts map[string]int) {
	filter = lower(filter)
	large := v.table.size > sortedNames
	counts = map[string]int{}
	for l := range v.table.all() {
		if !l.holds() {
			continue
		}
		if !large {
			if z := v.zoneOf(l.name(), dns.TypeTXT); z != nil {
				for set := range l.sets() {
					counts[z.name] += set.count
				}
			}
		}
		if who.allows(l.name()) && strings.Contains(l.name(), filter) {
			names = append(names, l.name())
			if large && len(names) > shownRecords {
				break
			}
		}
	}
	slices.Sort(names)
	if large {
		counts = nil
	}
	return names, counts
}

// shownRecords are the records of names, as many as a page has room for.
func (v *view) shownRecords(names []string, filter string) (lines []recordLine, note string) {
	for _, name := range names {
		if len(lines) >= shownRecords {
			break
		}
		lines = append(lines, v.recordsOf(name)...)
	}
	note = plural(len(names), "name", "names")
	if filter != "" {
		note += fmt.Sprintf(" with “%s”", filter)
	}
	if len(lines) >= shownRecords {
		note = fmt.Sprintf("the first %d records; filter for others", len(lines))
	}
	return lines, note
}

func (s *Server) zoneLines(v *view, counts map[string]int) []zoneLine {
	var lines []zoneLine
	queries := s.queriesByZone()
	for _, apex := range sortedKeys(v.zones, strings.Clone) {
		z := v.zones[apex]
		l := zoneLine{
			Name: display(apex), Link: nameLink(display(apex)), Serial: v.states[z.index].serial, Queries: grouped(queries[apex]),
			Records: "many",
		}
		if counts != nil {
			l.Records = grouped(uint64(counts[apex]))
		}
		var hosts []string
		for _, rr := range v.records(z, v.at(z, apex), apex, dns.TypeNS) {
			if ns, ok := rr.(*dns.NS); ok {
				hosts = append(hosts, display(lower(ns.Ns)))
			}
		}
		l.NameServers = strings.Join(hosts, ", ") + s.copyNote(v, z)
		lines = append(lines, l)
	}
	return lines
}

// delegationLines are the registered domains, with what the last checks found.
func (s *Server) delegationLines(ctx context.Context, v *view, who *token, now time.Time) ([]delegationLine, string, error) {
	all, err := v.accounts(func(a account) bool { return who.allows(a.Target) })
	if err != nil {
		return nil, "", err
	}
	note := plural(len(all), "registered", "registered")
	if len(all) > shownDomains {
		all, note = all[:shownDomains], fmt.Sprintf("the first %d of %d", shownDomains, len(all))
	}
	s.verifyAll(ctx, v, all, now)
	var lines []delegationLine
	for _, a := range all {
		l := delegationLine{Domain: display(a.Domain), Link: "/domain/" + display(a.Domain), Target: display(a.Target), Values: v.txtValues(a.Target)}
		if last := s.lastPut(a); !last.IsZero() {
			l.Updated, l.UpdatedExact = short(last, now), exact(last)
		}
		found, ok := s.verified.get(a.Domain)
		switch {
		case a.Domain == "":
			l.Domain, l.Link, l.State = a.subdomain(), nameLink(l.Target), "domain unknown"
			l.Problem = "Registered over the acme-dns API, which does not say for which domain."
		case !ok:
			l.State = "checking"
			l.Problem = "Open the domain, or reload the page."
		case found.Verified:
			l.Class, l.State = "ok", "yes"
		default:
			l.Class, l.State, l.Problem = "bad", "no", found.Problem
		}
		lines = append(lines, l)
	}
	return lines, note, nil
}

// lastPut is when a value came last: from the account itself or, as far back as
// changes are remembered, from anybody.
func (s *Server) lastPut(a account) time.Time {
	last := a.Updated
	for _, e := range s.history.matching(func(n string) bool { return n == a.Target }, last, 1, PrivacyNone) {
		if e.Kind == client.EventPut {
			last = e.Time
		}
	}
	return last
}

// verifyAll checks domains whose last check is old, as many as there is time
// for.
func (s *Server) verifyAll(ctx context.Context, v *view, all []account, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	var checking sync.WaitGroup
	for _, a := range all {
		if found, ok := s.verified.get(a.Domain); a.Domain == "" || ok && now.Sub(found.Checked) < verifiedFor {
			continue
		}
		select {
		case s.checking <- struct{}{}:
		case <-ctx.Done():
			checking.Wait()
			return
		}
		checking.Go(func() {
			defer func() { <-s.checking }()
			s.verify(ctx, v, a.Domain, a.Target)
		})
	}
	checking.Wait()
}

type namePage struct {
	frame
	Name, Lead, Refused, EventNote string
	Verification                   *client.Verification
	Values                         []recordLine
	Events                         []eventLine
}

// handleNamePage shows one name: what is there, and its timeline.
func (s *Server) handleNamePage(w http.ResponseWriter, r *http.Request, v *view, who *token) {
	name, err := canonicalName(r.PathValue("name"))
	p := namePage{frame: s.frameOf(r.PathValue("name"), who), Name: r.PathValue("name")}
	switch {
	case err != nil:
		p.Refused = "This is no domain name."
	case !who.allows(name):
		p.Refused = fmt.Sprintf("The token %q may not see this name; it may see %s.", who.name, who.scopeNames())
	default:
		p.Name, p.Title = display(name), display(name)
		p.Lead = "What happened at this name, the latest first."
		s.fillName(&p, v, name, nil)
	}
	status := http.StatusOK
	if p.Refused != "" {
		status = http.StatusNotFound
	}
	s.render(w, status, "name.html", p)
}

// fillName adds records and timeline of a name, and of another one that leads
// to it.
func (s *Server) fillName(p *namePage, v *view, name string, also []string) {
	p.Values = v.recordsOf(name)
	events := s.events(func(n string) bool { return n == name || slices.Contains(also, n) }, time.Time{}, maxEvents/10)
	p.Events = eventLines(events, s.clock.now())
	p.EventNote = plural(len(events), "line", "lines")
}

// handleDomainPage shows a registered domain: whether the world leads here, and
// the timeline of its name.
func (s *Server) handleDomainPage(w http.ResponseWriter, r *http.Request, v *view, who *token) {
	p := namePage{frame: s.frameOf(r.PathValue("domain"), who), Name: r.PathValue("domain")}
	domain, err := domainName(r.PathValue("domain"))
	var a account
	ok := false
	if err == nil {
		a, ok, err = v.accountAt(domainPrefix + domain)
	}
	if err != nil || !ok || !who.allows(a.Target) {
		p.Refused = "This domain is not registered here, or not for this token."
		s.render(w, http.StatusNotFound, "name.html", p)
		return
	}
	p.Name, p.Title = display(domain), display(domain)
	p.Lead = fmt.Sprintf("CAs ask for %s, which has to lead to %s.", display(challengeLabel+domain), display(a.Target))
	select {
	case s.checking <- struct{}{}:
		found := s.verify(r.Context(), v, domain, a.Target)
		<-s.checking
		p.Verification = &found
	case <-r.Context().Done():
		return
	}
	s.fillName(&p, v, a.Target, []string{challengeLabel + domain})
	s.render(w, http.StatusOK, "name.html", p)
}
