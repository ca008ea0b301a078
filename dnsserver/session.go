package dnsserver

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Sessions of the status page.
const (
	sessionCookie = "certificate_dns_session"
	sessionLife   = 12 * time.Hour
	maxSessions   = 1000
)

// sessions are the logins of the status page, in memory: a restart ends them.
type sessions struct {
	mu  sync.Mutex
	all map[string]session
}

// session is one login. It knows its token by the hash, so that it ends when
// the token goes from the configuration.
type session struct {
	sum  [sha256.Size]byte
	ends time.Time
}

// open begins a session and returns its secret name.
func (s *sessions) open(sum [sha256.Size]byte, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]session{}
	}
	for id, other := range s.all {
		if now.After(other.ends) || len(s.all) >= maxSessions {
			delete(s.all, id)
		}
	}
	id := rand.Text() + rand.Text()
	s.all[id] = session{sum, now.Add(sessionLife)}
	return id
}

func (s *sessions) get(id string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.all[id]
	return found, ok && now.Before(found.ends)
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

// visitor is the token of a request's session, or nil.
func (s *Server) visitor(r *http.Request) *token {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	found, ok := s.sessions.get(cookie.Value, s.clock.now())
	if !ok {
		return nil
	}
	tokens := s.settings.Load().tokens
	for i := range tokens {
		if tokens[i].sum == found.sum && tokens[i].may(rightRead) {
			return &tokens[i]
		}
	}
	return nil
}

// overTLSOf reports whether the browser's connection is encrypted, to us or to a
// proxy that we trust.
func (s *Server) overTLSOf(r *http.Request) bool {
	return r.TLS != nil || inNetworks(s.settings.Load().trustedProxies, remoteAddr(r)) && r.Header.Get("X-Forwarded-Proto") == "https"
}

// handleLogin shows the form, and takes it.
func (s *Server) handleLogin(w http.ResponseWriter, r *http.Request) {
	page := loginPage{frame: frame{Title: "Sign in", Root: "/"}, Next: localPath(r.FormValue("next"))}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.render(w, http.StatusOK, "login.html", page)
		return
	case http.MethodPost:
	default:
		refuseMethod(w, r, "GET, HEAD, POST")
		return
	}
	from := s.clientOf(r).String()
	who := authenticate(s.settings.Load().tokens, strings.TrimSpace(r.PostFormValue("token")))
	switch {
	case !s.logins.allows(from, loginsPerMinute, s.clock.now()):
		page.Problem = "Too many tries. Wait a minute and try again."
		s.render(w, http.StatusTooManyRequests, "login.html", page)
		return
	case who == nil:
		s.counters.authFailures.Add(1)
		s.log.Warn("unknown token refused", "client", from, "page", "login")
		page.Problem = "This token is unknown. Check it, or add its SHA-256 to the server’s configuration."
	case !who.may(rightRead):
		page.Problem = "This token has no right to read. Use another one."
	}
	if page.Problem != "" {
		s.render(w, http.StatusUnauthorized, "login.html", page)
		return
	}
	s.setSession(w, r, s.sessions.open(who.sum, s.clock.now()), int(sessionLife.Seconds()))
	http.Redirect(w, r, page.Next, http.StatusSeeOther)
}

const loginsPerMinute = 20

// localPath is where to go after the login: a path of ours, never another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/"
	}
	return next
}

func (s *Server) setSession(w http.ResponseWriter, r *http.Request, id string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: id, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.overTLSOf(r), SameSite: http.SameSiteStrictMode,
	})
}

// handleLogout ends the session.
func (s *Server) handleLogout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.sessions.end(cookie.Value)
	}
	s.setSession(w, r, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
