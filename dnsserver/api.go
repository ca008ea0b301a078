package dnsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// maxBody bounds a request's body in bytes: the longest value there is room
// for, with every byte escaped in JSON, fits.
const maxBody = 6*maxSet + 1024

// Handler returns the HTTP API:
//
//	PUT    /v1/txt/{name}            body {"value":"…"}; 204, idempotent
//	DELETE /v1/txt/{name}?value=…    204, idempotent
//	GET    /v1/txt/{name}            200 {"name":"…","values":["…"]}
//	PUT    /v1/cname/{name}          body {"value":"…"}; 204, idempotent
//	DELETE /v1/cname/{name}?value=…  204, idempotent
//	GET    /v1/cname/{name}          200 {"name":"…","value":"…"}
//	GET    /v1/settled/{name}?wait=… 200 {"settled":true,…}: waits until every secondary has the last change
//	GET    /v1/queries?name=…        200 {"name":"…","events":[…]}: who asked, what came and went
//	GET    /healthz                  200, or 503 while records are not loaded
//	GET    /readyz                   as /healthz, and 503 while changes cannot be stored
//	GET    /metrics                  200, for Prometheus
//
// A change with &wait=10s waits too: 204 when every secondary has it, 202 and
// who lags when one has not.
//
// All but /healthz and /readyz want "Authorization: Bearer" with a configured
// token, /metrics only from where MetricsFrom does not reach. A
// refusal is {"error":"what happened, what to do"}. The caller's http.Server
// sets the timeouts, and serves TLS wherever others could listen.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, r.handle)
	}
	s.addPages(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is nothing here; the API is at /v1/txt/{name} and /v1/cname/{name}")
	})
	return mux
}

// route is a path of the API. Each is in the description too.
type route struct {
	pattern string
	handle  http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		{"/healthz", s.handleHealth},
		{"/readyz", s.handleReady},
		{"/metrics", s.handleMetrics},
		{"/v1/queries", s.handleEvents},
		{"/v1/status", s.handleStatus},
		{"/v1/zones/{zone}/keys", s.handleZoneKeys},
		{"/v1/zones/{zone}/rollover", s.handleRollOver},
		{"/v1/settled/{name}", s.handleSettled},
		{"/v1/delegations", s.handleDelegations},
		{"/v1/delegations/{domain}", s.handleDelegation},
		{"/v1/delegations/{domain}/check", s.handleCheck},
		{"/v1/delegations/{domain}/rotate", s.handleRotate},
		{"/v1/accounts", s.handleAccounts},
		{"/v1/accounts/{username}", s.handleAccount},
		{"/v1/accounts/{username}/rotate", s.handleAccountRotate},
		{"/register", s.handleAcmeRegister},
		{"/update", s.handleAcmeUpdate},
		{"/health", s.handleAcmeHealth},
		{"/v1/records", s.handleRecordList},
		{"/v1/records/{name}", s.handleRecords},
		{"/v1/txt/{name}", s.handle(txtRecords(s))},
		{"/v1/cname/{name}", s.handle(aliases(s))},
		{"/v1/openapi.json", handleDescription},
	}
}

// handleDescription serves the description of the API, for everybody.
func handleDescription(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	text, err := pageFiles.ReadFile("web/openapi.json")
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the description is not in this build; report this")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a client that went away is no concern of the server's
}

func (s *Server) handleHealth(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuseMethod(w, r, "GET, HEAD")
	case s.view.Load() == nil:
		refuse(w, http.StatusServiceUnavailable, "the records are not loaded; try again shortly")
	default:
		replyJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}
}

// handleReady says whether queries are answered and changes can be made.
func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuseMethod(w, r, "GET, HEAD")
	case s.view.Load() == nil:
		refuse(w, http.StatusServiceUnavailable, "the records are not loaded; try again shortly")
	default:
		if problem := s.storageProblem(); problem != "" {
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, problem)
			return
		}
		replyJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	}
}

// records are those of one type, as the API has them.
type records struct {
	rrtype      uint16
	show        func(name string) (any, error)
	check       func(value string) error
	put, delete func(ctx context.Context, name, value string) error
}

func txtRecords(s *Server) records {
	show := func(name string) (any, error) {
		values, err := s.TXT(name)
		if values == nil {
			values = []string{}
		}
		return client.TXT{Name: display(name), Values: values}, err
	}
	return records{dns.TypeTXT, show, func(string) error { return nil }, s.PutTXT, s.DeleteTXT}
}

func aliases(s *Server) records {
	show := func(name string) (any, error) {
		target, err := s.CNAME(name)
		return client.CNAME{Name: display(name), Value: target}, err
	}
	check := func(target string) error {
		_, err := canonicalName(target)
		return err
	}
	return records{dns.TypeCNAME, show, check, s.PutCNAME, s.DeleteCNAME}
}

// handle authenticates, authorises and dispatches.
func (s *Server) handle(kind records) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.serveRecords(w, r, kind) }
}

func (s *Server) serveRecords(w http.ResponseWriter, r *http.Request, kind records) {
	r, who, name := s.admit(w, r)
	if r == nil || r.Method != http.MethodGet && !mayChange(w, who, kind.rrtype) {
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.handleGet(w, name, kind)
	case http.MethodPut:
		s.handlePut(w, r, who, name, kind)
	case http.MethodDelete:
		s.handleDelete(w, r, who, name, kind)
	default:
		refuseMethod(w, r, "DELETE, GET, PUT")
	}
}

// admit authenticates a request for a name and authorises it, and returns it
// with who changes what; or refuses and returns nil.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (admitted *http.Request, who *token, name string) {
	who, ok := s.bearer(w, r)
	if !ok {
		return nil, nil, ""
	}
	name, err := canonicalName(r.PathValue("name"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the name %v; correct the path", err))
		return nil, nil, ""
	}
	if _, ok := patienceOf(w, r.URL.Query()); !ok {
		return nil, nil, ""
	}
	right := rightWrite
	if r.Method == http.MethodGet {
		right = rightRead
	}
	if !s.covers(w, who, name) || !permitted(w, who, right) {
		return nil, nil, ""
	}
	return r.WithContext(withActor(r.Context(), fmt.Sprintf("token %q", who.name), s.clientOf(r))), who, name
}

// bearer returns the token of the request (RFC 6750 §2.1), or refuses.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request) (*token, bool) {
	scheme, presented, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="certificate-dns"`)
		refuse(w, http.StatusUnauthorized, "the request has no token; send it as Authorization: Bearer TOKEN")
		return nil, false
	}
	who := authenticate(s.settings.Load().tokens, strings.TrimSpace(presented))
	if who == nil {
		s.counters.authFailures.Add(1)
		s.log.LogAttrs(r.Context(), slog.LevelWarn, "unknown token refused", slog.String("client", r.RemoteAddr))
		w.Header().Set("WWW-Authenticate", `Bearer realm="certificate-dns", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "the token is unknown; check it, or add its SHA-256 to the server's configuration")
		return nil, false
	}
	return who, true
}

func (s *Server) handleGet(w http.ResponseWriter, name string, kind records) {
	body, err := kind.show(name)
	if err != nil {
		refuseError(w, err)
		return
	}
	replyJSON(w, http.StatusOK, body)
}

func (s *Server) handlePut(w http.ResponseWriter, r *http.Request, who *token, name string, kind records) {
	var given client.PutRequest
	if !readJSON(w, r, &given, `{"value":"…"}`) {
		return
	}
	if given.Value == "" {
		refuse(w, http.StatusBadRequest, `the body has no value; send {"value":"…"}`)
		return
	}
	if err := kind.check(given.Value); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the value %v; send the name that the CNAME leads to", err))
		return
	}
	s.finish(w, r, who, name, kind.put(r.Context(), name, given.Value))
}

func (s *Server) handleDelete(w http.ResponseWriter, r *http.Request, who *token, name string, kind records) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	wait := 0
	if query.Has("wait") {
		wait = 1
	}
	if err != nil || len(query["value"]) != 1 || query.Get("value") == "" || len(query) != 1+wait || kind.check(query.Get("value")) != nil {
		refuse(w, http.StatusBadRequest, "the query does not name one value; send ?value=… with the value percent-encoded")
		return
	}
	s.finish(w, r, who, name, kind.delete(r.Context(), name, query.Get("value")))
}

// finish says how a change went, and logs it without its value.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, who *token, name string, err error) {
	if err != nil {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "record changed",
		slog.String("method", r.Method), slog.String("name", display(name)),
		slog.String("token", who.name), slog.String("client", r.RemoteAddr))
	if patience, _ := patienceOf(w, r.URL.Query()); patience > 0 {
		if reply, err := s.settled(w, r, name, patience); err == nil && !reply.Settled {
			replyJSON(w, http.StatusAccepted, reply) // the change is made, and not everywhere
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuseError maps what a change reports to a status.
func refuseError(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, ErrNotInZone):
		status = http.StatusNotFound
	case errors.Is(err, ErrConflict):
		status = http.StatusConflict
	case errors.Is(err, ErrRecord):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, ErrNoAccount):
		status = http.StatusNotFound
	case errors.Is(err, ErrTaken):
		status = http.StatusConflict
	case errors.Is(err, ErrForbidden):
		status = http.StatusUnauthorized
	case errors.Is(err, ErrFull):
		status = http.StatusInsufficientStorage
	case errors.Is(err, ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	refuse(w, status, err.Error())
}

func refuseMethod(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is not allowed here; use %s", r.Method, allowed))
}

func refuse(w http.ResponseWriter, status int, message string) {
	replyJSON(w, status, client.ErrorReply{Error: message})
}

// replyJSON writes JSON. A client that went away is no concern of the server's.
func replyJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the reply cannot be written as JSON; report this"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
