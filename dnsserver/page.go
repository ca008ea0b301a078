package dnsserver

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// pageFiles are the templates and the style sheet of the status page.
//
//go:embed web
var pageFiles embed.FS

// How much a page shows.
const (
	shownRecords = 200
	shownEvents  = 60
	shownDomains = 200
	sortedNames  = 50000 // up to so many names are sorted; of more the first found are shown
)

// frame is what every page has.
type frame struct {
	Title, Root, User, Now string
	State                  *tag
}

// tag is a word with a colour.
type tag struct{ Class, Text string }

type loginPage struct {
	frame
	Next, Problem string
}

// eventLine is one event for people.
type eventLine struct {
	Time, Exact, Class, Verb, Name, Type, Link, Who, Rcode, RcodeClass, Note string
	Values                                                                   []string
}

// recordLine is one record for people.
type recordLine struct {
	Name, Link, Type, Data, Expires string
	TTL                             uint32
}

// pages parses the templates once.
func pages() func() (*template.Template, error) {
	return sync.OnceValues(func() (*template.Template, error) {
		return template.ParseFS(pageFiles, "web/*.html")
	})
}

// addPages serves the status page. Forms of other sites cannot be sent to it.
func (s *Server) addPages(mux *http.ServeMux) {
	own := http.NewCrossOriginProtection()
	mux.HandleFunc("/{$}", s.guarded(s.handleStatusPage))
	mux.HandleFunc("/name/{name}", s.guarded(s.handleNamePage))
	mux.HandleFunc("/domain/{domain}", s.guarded(s.handleDomainPage))
	mux.Handle("/login", own.Handler(http.HandlerFunc(s.handleLogin)))
	mux.Handle("/logout", own.Handler(http.HandlerFunc(s.handleLogout)))
	mux.HandleFunc("/style.css", handleStyle)
}

func handleStyle(w http.ResponseWriter, r *http.Request) {
	text, err := pageFiles.ReadFile("web/style.css")
	if err != nil {
		http.Error(w, "the style sheet is missing; report this", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// guarded lets who has signed in to a page, and sends others to the form.
func (s *Server) guarded(page func(http.ResponseWriter, *http.Request, *view, *token)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseMethod(w, r, "GET, HEAD")
			return
		}
		who := s.visitor(r)
		if who == nil {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		v := s.view.Load()
		if v == nil {
			http.Error(w, "the records are not loaded; try again shortly", http.StatusServiceUnavailable)
			return
		}
		page(w, r, v, who)
	}
}

// render writes a page. Its policy lets nothing in but the style sheet.
func (s *Server) render(w http.ResponseWriter, status int, name string, page any) {
	templates, err := s.pages()
	var out bytes.Buffer
	if err == nil {
		err = templates.ExecuteTemplate(&out, name, page)
	}
	if err != nil {
		s.log.Error("a page cannot be written", "page", name, "error", err)
		http.Error(w, "the page cannot be written; the server’s log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // a client that went away is no concern of ours
}

// frameOf is the frame of a page for a visitor.
func (s *Server) frameOf(title string, who *token) frame {
	state := &tag{"ok", "answering"}
	if s.storageProblem() != "" {
		state = &tag{"bad", "storage fault"}
	}
	return frame{Title: title, Root: "/", User: who.name, State: state, Now: exact(s.clock.now())}
}

func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// short is a time of today without its date.
func short(t, now time.Time) string {
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05")
	}
	return t.UTC().Format("01-02 15:04:05")
}

func nameLink(name string) string { return "/name/" + url.PathEscape(name) }

// eventLines turns events into lines.
func eventLines(events []client.Event, now time.Time) []eventLine {
	var lines []eventLine
	for _, e := range events {
		l := eventLine{
			Time: short(e.Time, now), Exact: exact(e.Time), Name: e.Name, Type: e.Type, Link: nameLink(e.Name), Who: e.Client, Rcode: e.Rcode,
		}
		switch e.Kind {
		case client.EventQuery:
			l.Class, l.Verb, l.Values = "", "asked", e.Answers
			l.RcodeClass, l.Note = outcomeOf(e)
		case client.EventPut:
			l.Class, l.Verb, l.Values = "ok", "put", []string{e.Value}
		case client.EventRefuse:
			l.Class, l.Verb, l.Values, l.RcodeClass, l.Note = "bad", "refused", []string{e.Value}, "bad", e.Problem
		default:
			l.Class, l.Verb, l.Values = "warn", "deleted", []string{e.Value}
		}
		if e.By != "" {
			l.Who = strings.TrimSpace(e.By + " " + e.Client)
		}
		if e.Value == "" && e.Kind != client.EventQuery {
			l.Values = nil
		}
		lines = append(lines, l)
	}
	return lines
}

// outcomeOf is how the answer to a query is to be read.
func outcomeOf(e client.Event) (class, note string) {
	switch {
	case e.Truncated:
		class, note = "warn", "told to ask over TCP"
	case e.Rcode == "NOERROR" && len(e.Answers) == 0:
		class, note = "warn", "no record of this type"
	case e.Rcode == "NOERROR":
		class = "ok"
	case e.Rcode == "NXDOMAIN":
		class, note = "bad", "no such name"
	default:
		class = "bad"
	}
	if e.More {
		note = strings.TrimPrefix(note+"; more answers than are kept", "; ")
	}
	if note == "" {
		return class, "over " + strings.ToUpper(e.Transport)
	}
	return class, note + ", over " + strings.ToUpper(e.Transport)
}

// recordsOf are the records that come and go at a name.
func (v *view) recordsOf(name string) []recordLine {
	var lines []recordLine
	for set := range v.table.get(name).sets() {
		for r := range set.records() {
			l := recordLine{Name: display(name), Link: nameLink(display(name)), TTL: r.ttl}
			if r.expires > 0 {
				l.Expires = exact(time.Unix(r.expires, 0))
			}
			if rr, err := newRR(name, set.rrtype, r); err == nil {
				l.Type, l.Data, _ = strings.Cut(shownRecord(rr), " ")
			}
			lines = append(lines, l)
		}
	}
	return lines
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
