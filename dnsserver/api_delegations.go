package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/delegation"
)

// checkTimeout bounds one check of a delegation.
const checkTimeout = 20 * time.Second

// domainName reads a domain as people write it: canonical, without "*.".
func domainName(text string) (string, error) {
	name, err := canonicalName(strings.TrimPrefix(text, "*."))
	switch {
	case err != nil:
		return "", err
	case strings.Contains(name, "*") || name == ".":
		return "", fmt.Errorf("%q is no domain that certificates are for", text)
	case strings.HasPrefix(name, challengeLabel):
		return "", fmt.Errorf("%q begins with _acme-challenge., leave that out", text)
	}
	return name, nil
}

// shown is an account for the API. The key is not in it.
func (v *view) shown(a account) client.Delegation {
	d := client.Delegation{
		Target: display(a.Target), Subdomain: a.subdomain(), Zone: display(a.Zone), AllowFrom: prefixTexts(a.AllowFrom),
		Created: a.Created, Updated: a.Updated, Values: v.txtValues(a.Target), Username: a.Username,
	}
	if a.Domain != "" {
		d.Domain, d.Name = display(a.Domain), display(challengeLabel+a.Domain)
	}
	return d
}

// ready returns the view, or refuses.
func (s *Server) ready(w http.ResponseWriter) (*view, bool) {
	v := s.view.Load()
	if v == nil {
		refuseError(w, ErrStopped)
	}
	return v, v != nil
}

// bearerFor returns the token of a request that has a right, or refuses.
func (s *Server) bearerFor(w http.ResponseWriter, r *http.Request, right string) (*token, bool) {
	who, ok := s.bearer(w, r)
	return who, ok && permitted(w, who, right)
}

// handleDelegations lists and registers domains.
func (s *Server) handleDelegations(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.listAccounts(w, r, rightRead, func(a account) bool { return a.Domain != "" })
	case http.MethodPost:
		s.registerDomain(w, r)
	default:
		refuseMethod(w, r, "GET, POST")
	}
}

// listAccounts replies with the accounts that the token may touch.
func (s *Server) listAccounts(w http.ResponseWriter, r *http.Request, right string, keeps func(account) bool) {
	who, ok := s.bearerFor(w, r, right)
	if !ok {
		return
	}
	v, ok := s.ready(w)
	if !ok {
		return
	}
	all, err := v.accounts(func(a account) bool { return who.allows(a.Target) && keeps(a) })
	if err != nil {
		refuseError(w, err)
		return
	}
	reply := client.Delegations{Delegations: []client.Delegation{}}
	for _, a := range all {
		reply.Delegations = append(reply.Delegations, v.shown(a))
	}
	replyJSON(w, http.StatusOK, reply)
}

func (s *Server) registerDomain(w http.ResponseWriter, r *http.Request) {
	who, ok := s.bearerFor(w, r, rightRegister)
	if !ok {
		return
	}
	var body client.Registration
	if !readJSON(w, r, &body, `{"domain":"www.example.com"} and, if wanted, subdomain, zone and allow_from`) {
		return
	}
	n, err := s.registration(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	probe := n.subdomain
	if probe == "" {
		probe = "any"
	}
	if !s.covers(w, who, lower(probe)+"."+n.zone) {
		return
	}
	a, key, err := s.register(withActor(r.Context(), fmt.Sprintf("token %q", who.name), s.clientOf(r)), n)
	if err != nil {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "domain registered", slog.String("domain", display(a.Domain)),
		slog.String("name", display(a.Target)), slog.String("token", who.name), slog.String("client", s.clientOf(r).String()))
	s.replyAccount(w, http.StatusCreated, a, key)
}

// replyAccount replies with an account and, when it is new, its key.
func (s *Server) replyAccount(w http.ResponseWriter, status int, a account, key string) {
	v, ok := s.ready(w)
	if !ok {
		return
	}
	d := v.shown(a)
	d.Password = key
	replyJSON(w, status, d)
}

// registration checks a body. Its error is for the client.
func (s *Server) registration(body client.Registration) (newAccount, error) {
	n := newAccount{zone: s.settings.Load().accounts.Zone, subdomain: body.Subdomain}
	var err error
	if body.Domain != "" { // without one it is an account for the acme-dns API only
		if n.domain, err = domainName(body.Domain); err != nil {
			return n, fmt.Errorf("the domain %w; write it like www.example.com", err)
		}
	}
	if body.Zone != "" {
		if n.zone, err = canonicalName(body.Zone); err != nil {
			return n, fmt.Errorf("the zone %w; write one of the server's", err)
		}
	}
	if v := s.view.Load(); v != nil && v.zones[n.zone] == nil {
		return n, fmt.Errorf("%s is no zone of this server; it has %s", display(n.zone), v.zoneNames())
	}
	if _, err := canonicalName(strings.TrimSuffix(n.subdomain, ".") + "." + n.zone); n.subdomain != "" && (err != nil || strings.Contains(n.subdomain, "*")) {
		return n, fmt.Errorf("the subdomain %q is none; write a label such as www-example-com, or leave it out", n.subdomain)
	}
	networks, problems := compileNetworks("allow_from", body.AllowFrom)
	if len(problems) > 0 {
		return n, fmt.Errorf("allow_from: %s; %s", problems[0].Problem, problems[0].Fix)
	}
	n.allowFrom = networks
	return n, nil
}

// registered returns the account of the domain in the path, or refuses. A domain
// that the token may not see is as one that is not there.
func (s *Server) registered(w http.ResponseWriter, r *http.Request, who *token) (account, bool) {
	v, ok := s.ready(w)
	if !ok {
		return account{}, false
	}
	domain, err := domainName(r.PathValue("domain"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the domain %v; correct the path", err))
		return account{}, false
	}
	a, ok, err := v.accountAt(domainPrefix + domain)
	if err == nil && (!ok || !who.allows(a.Target)) {
		err = fmt.Errorf("%w: %s is not registered; register it with POST /v1/delegations", ErrNoAccount, display(domain))
	}
	if err != nil {
		refuseError(w, err)
		return account{}, false
	}
	return a, true
}

// handleDelegation reads and forgets a domain.
func (s *Server) handleDelegation(w http.ResponseWriter, r *http.Request) {
	right := rightRead
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		right = rightRegister
	default:
		refuseMethod(w, r, "DELETE, GET")
		return
	}
	who, ok := s.bearerFor(w, r, right)
	if !ok {
		return
	}
	if r.Method == http.MethodGet {
		if a, ok := s.registered(w, r, who); ok {
			s.replyAccount(w, http.StatusOK, a, "")
		}
		return
	}
	v, ok := s.ready(w)
	if !ok {
		return
	}
	if domain, err := domainName(r.PathValue("domain")); err == nil {
		if a, ok, err := v.accountAt(domainPrefix + domain); err == nil && (!ok || !who.allows(a.Target)) {
			w.WriteHeader(http.StatusNoContent) // it is not there, as asked
			return
		}
	}
	if a, ok := s.registered(w, r, who); ok {
		s.forget(w, r, who, a)
	}
}

// forget removes an account and says so.
func (s *Server) forget(w http.ResponseWriter, r *http.Request, who *token, a account) {
	err := s.removeAccount(withActor(r.Context(), fmt.Sprintf("token %q", who.name), s.clientOf(r)), a.Username)
	if err != nil && !errors.Is(err, ErrNoAccount) {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "account deleted", slog.String("account", a.Username), slog.String("domain", display(a.Domain)),
		slog.String("token", who.name), slog.String("client", s.clientOf(r).String()))
	w.WriteHeader(http.StatusNoContent)
}

// handleRotate gives the account of a domain another key.
func (s *Server) handleRotate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	who, ok := s.bearerFor(w, r, rightRegister)
	if !ok {
		return
	}
	if a, ok := s.registered(w, r, who); ok {
		s.rotate(w, r, who, a)
	}
}

func (s *Server) rotate(w http.ResponseWriter, r *http.Request, who *token, a account) {
	a, key, err := s.rekey(r.Context(), a.Username)
	if err != nil {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "account got another key", slog.String("account", a.Username),
		slog.String("token", who.name), slog.String("client", s.clientOf(r).String()))
	s.replyAccount(w, http.StatusOK, a, key)
}

// handleCheck asks the world whether a domain leads here.
func (s *Server) handleCheck(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, r, "GET")
		return
	}
	who, ok := s.bearerFor(w, r, rightRead)
	if !ok {
		return
	}
	v, ok := s.ready(w)
	if !ok {
		return
	}
	domain, err := domainName(r.PathValue("domain"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the domain %v; correct the path", err))
		return
	}
	target := ""
	if a, ok, err := v.accountAt(domainPrefix + domain); err == nil && ok && who.allows(a.Target) {
		target = a.Target
	}
	select {
	case s.checking <- struct{}{}:
		defer func() { <-s.checking }()
	case <-r.Context().Done():
		return
	}
	replyJSON(w, http.StatusOK, s.verify(r.Context(), v, domain, target))
}

// verify checks one domain and remembers the result for the status page.
func (s *Server) verify(ctx context.Context, v *view, domain, target string) client.Verification {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	here := delegation.Here{Zones: slices.Sorted(maps.Keys(v.zones))}
	for _, z := range v.zones {
		for _, rr := range z.nodes[z.name].rrsets[dns.TypeNS] {
			if ns, ok := rr.(*dns.NS); ok {
				here.NameServers = append(here.NameServers, lower(ns.Ns))
			}
		}
	}
	checker := delegation.Checker{Resolver: s.settings.Load().resolver, Dial: s.dial}
	result := checker.Check(ctx, challengeLabel+domain, target, here)
	result.Domain = display(domain)
	if ctx.Err() == nil { // else the patience ended, not the check
		s.verified.put(domain, result)
	}
	return result
}

// handleAccounts lists all accounts, for administrators.
func (s *Server) handleAccounts(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, r, "GET")
		return
	}
	s.listAccounts(w, r, rightAdmin, func(account) bool { return true })
}

// adminAccount returns the account in the path, or refuses.
func (s *Server) adminAccount(w http.ResponseWriter, r *http.Request) (*token, account, bool) {
	who, ok := s.bearerFor(w, r, rightAdmin)
	if !ok {
		return nil, account{}, false
	}
	v, ok := s.ready(w)
	if !ok {
		return nil, account{}, false
	}
	a, ok, err := v.accountOf(r.PathValue("username"))
	if err == nil && (!ok || !who.allows(a.Target)) {
		err = ErrNoAccount
	}
	if err != nil {
		refuseError(w, err)
		return nil, account{}, false
	}
	return who, a, true
}

// handleAccount reads and deletes an account, for administrators.
func (s *Server) handleAccount(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		refuseMethod(w, r, "DELETE, GET")
		return
	}
	who, a, ok := s.adminAccount(w, r)
	switch {
	case !ok:
	case r.Method == http.MethodGet:
		s.replyAccount(w, http.StatusOK, a, "")
	default:
		s.forget(w, r, who, a)
	}
}

func (s *Server) handleAccountRotate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	if who, a, ok := s.adminAccount(w, r); ok {
		s.rotate(w, r, who, a)
	}
}
