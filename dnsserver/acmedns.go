package dnsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// The acme-dns API, as its clients know it: errors are words in {"error":"…"}.
const (
	acmeForbidden   = "forbidden"
	acmeBadName     = "bad_subdomain"
	acmeBadTXT      = "bad_txt"
	acmeBadNetworks = "invalid_allowfrom_cidr"
	acmeMalformed   = "malformed_json_payload"
	acmeTooMany     = "too_many_requests"
)

// registrationsPerMinute bounds what one client may register.
const registrationsPerMinute = 10

// handleAcmeHealth is GET /health of acme-dns: a status and nothing else.
func (s *Server) handleAcmeHealth(w http.ResponseWriter, _ *http.Request) {
	switch {
	case !s.settings.Load().accounts.AcmeDNS:
		refuse(w, http.StatusNotFound, noAcmeDNS)
	case s.view.Load() == nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

const noAcmeDNS = "the acme-dns API is off; add acme_dns { } to the server's configuration"

// handleAcmeRegister is POST /register.
func (s *Server) handleAcmeRegister(w http.ResponseWriter, r *http.Request) {
	conf := s.settings.Load()
	from := s.clientOf(r)
	switch {
	case r.Method != http.MethodPost:
		refuseMethod(w, r, "POST")
		return
	case !conf.accounts.AcmeDNS || !conf.accounts.Register:
		refuse(w, http.StatusNotFound, "nobody can register here; ask an administrator, or set register = true in the server's configuration")
		return
	case len(conf.registerFrom) > 0 && !inNetworks(conf.registerFrom, from):
		refuse(w, http.StatusForbidden, acmeForbidden)
		return
	case !s.registrations.allows(from.String(), registrationsPerMinute, time.Now()):
		tooMany(w)
		return
	}
	var body struct {
		AllowFrom []string `json:"allowfrom"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || len(text) > 0 && json.Unmarshal(text, &body) != nil {
		refuse(w, http.StatusBadRequest, acmeMalformed)
		return
	}
	networks, problems := compileNetworks("allowfrom", body.AllowFrom)
	if len(problems) > 0 {
		refuse(w, http.StatusBadRequest, acmeBadNetworks)
		return
	}
	a, key, err := s.register(r.Context(), newAccount{zone: conf.accounts.Zone, allowFrom: networks})
	if err != nil {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "account registered", slog.String("account", a.Username),
		slog.String("name", display(a.Target)), slog.String("client", from.String()))
	replyJSON(w, http.StatusCreated, map[string]any{
		"username": a.Username, "password": key, "fulldomain": display(a.Target), "subdomain": a.subdomain(), "allowfrom": prefixTexts(a.AllowFrom),
	})
}

func prefixTexts(networks []netip.Prefix) []string {
	texts := []string{}
	for _, n := range networks {
		texts = append(texts, n.String())
	}
	return texts
}

func tooMany(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "60")
	refuse(w, http.StatusTooManyRequests, acmeTooMany)
}

// handleAcmeUpdate is POST /update.
func (s *Server) handleAcmeUpdate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	if !s.settings.Load().accounts.AcmeDNS {
		refuse(w, http.StatusNotFound, noAcmeDNS)
		return
	}
	var body struct {
		Subdomain string `json:"subdomain"`
		TXT       string `json:"txt"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !utf8.Valid(text) || json.Unmarshal(text, &body) != nil {
		refuse(w, http.StatusBadRequest, acmeMalformed)
		return
	}
	a, err := s.logIn(r)
	switch {
	case errors.Is(err, ErrStopped) || errors.Is(err, ErrStorage):
		refuseError(w, err)
		return
	case errors.Is(err, ErrTooMany):
		tooMany(w)
		return
	case err != nil:
		s.counters.authFailures.Add(1)
		s.log.LogAttrs(r.Context(), slog.LevelWarn, "account refused", slog.String("client", s.clientOf(r).String()), slog.Any("error", err))
		refuse(w, http.StatusUnauthorized, acmeForbidden)
		return
	case body.Subdomain == "":
		refuse(w, http.StatusBadRequest, acmeBadName)
		return
	case !strings.EqualFold(body.Subdomain, a.subdomain()):
		refuse(w, http.StatusUnauthorized, acmeForbidden)
		return
	case body.TXT == "":
		refuse(w, http.StatusBadRequest, acmeBadTXT)
		return
	}
	ctx := withActor(r.Context(), "account "+a.Username, s.clientOf(r))
	if err := s.putValue(ctx, a.Username, body.TXT); err != nil {
		refuseError(w, err)
		return
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "account put a value", slog.String("account", a.Username), slog.String("name", display(a.Target)))
	replyJSON(w, http.StatusOK, map[string]string{"txt": body.TXT})
}

// logIn returns the account of a request.
func (s *Server) logIn(r *http.Request) (account, error) {
	v := s.view.Load()
	if v == nil {
		return account{}, ErrStopped
	}
	conf := s.settings.Load().accounts
	key := r.Header.Get("X-Api-Key")
	a, ok, err := v.accountOf(r.Header.Get("X-Api-User"))
	switch {
	case err != nil:
		return a, err
	case !ok:
		_ = account{}.opens(key) // takes as long as for one that exists
		return a, ErrForbidden
	case len(a.AllowFrom) > 0 && !inNetworks(a.AllowFrom, s.clientOf(r)):
		return a, fmt.Errorf("%w: account %s", ErrForbidden, a.Username)
	case conf.UpdatesPerMinute > 0 && !s.updatesOf.allows(a.Username, conf.UpdatesPerMinute, time.Now()):
		return a, ErrTooMany
	case a.opens(key):
		return a, nil
	case strings.HasPrefix(a.Key, "$2"):
		return a, s.upgrade(r.Context(), a, key)
	}
	return a, fmt.Errorf("%w: account %s", ErrForbidden, a.Username)
}

// upgrade checks a key against the bcrypt hash that acme-dns kept, and keeps
// the SHA-256 instead. bcrypt takes a processor for long, so one is checked at
// a time.
func (s *Server) upgrade(ctx context.Context, a account, key string) error {
	select {
	case s.bcrypting <- struct{}{}:
		defer func() { <-s.bcrypting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if bcrypt.CompareHashAndPassword([]byte(a.Key), []byte(key)) != nil {
		return fmt.Errorf("%w: account %s", ErrForbidden, a.Username)
	}
	old := a.Key
	return s.update(ctx, func(d *draft) error {
		now, ok, err := d.view.accountOf(a.Username)
		if err != nil || !ok || now.Key != old {
			return err // changed meanwhile
		}
		now.Key = hashKey(key)
		return d.keepAccount(now)
	})
}
