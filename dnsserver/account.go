package dnsserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Prefixes of the keys under which accounts are kept: each by its user name,
// and where its name and its domain lead to that.
const (
	accountPrefix = "account/"
	targetPrefix  = "target/"
	domainPrefix  = "domain/"
)

// What can be wrong with an account, beside what can be wrong with a change.
var (
	ErrNoAccount = errors.New("there is no such account")                                 // HTTP 404
	ErrTaken     = errors.New("this is registered already")                               // HTTP 409
	ErrFull      = errors.New("there is no room")                                         // HTTP 507
	ErrForbidden = errors.New("user name and key do not fit, or may not come from there") // HTTP 401
	ErrTooMany   = errors.New("too many at once")                                         // HTTP 429
)

// challengeLabel is what CAs put before a domain (RFC 8555 §8.4).
const challengeLabel = "_acme-challenge."

// account is who may keep TXT values at one name, the target, over the acme-dns
// API. A domain that leads its validation name there may be known.
type account struct {
	Username  string         `json:"username"`
	Key       string         `json:"key"`              // SHA-256 in hex, or what acme-dns kept: bcrypt
	Target    string         `json:"target"`           // canonical
	Zone      string         `json:"zone"`             // canonical
	Domain    string         `json:"domain,omitempty"` // canonical
	AllowFrom []netip.Prefix `json:"allow_from,omitempty"`
	Created   time.Time      `json:"created"`
	Updated   time.Time      `json:"updated,omitzero"`
	Values    []string       `json:"values,omitempty"` // that it put, the oldest first
}

// subdomain is the target without its zone.
func (a account) subdomain() string { return strings.TrimSuffix(a.Target, "."+a.Zone) }

// newKey returns a random API key of 40 characters, and what is kept of it. Keys
// are as random as hashes are long, so one round of SHA-256 is enough.
func newKey() (key, kept string) {
	var random [30]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	key = base64.RawURLEncoding.EncodeToString(random[:])
	return key, hashKey(key)
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// newUUID returns a random UUID (RFC 9562 §5.4), which acme-dns uses for user
// names and labels.
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails (Go 1.24)
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// opens reports whether a key is the account's, in a time that tells nothing.
func (a account) opens(key string) bool {
	return subtle.ConstantTimeCompare([]byte(hashKey(key)), []byte(a.Key)) == 1
}

// accountOf reads an account by its user name.
func (v *view) accountOf(username string) (account, bool, error) {
	var a account
	text, ok := v.document(accountPrefix + username)
	if !ok {
		return a, false, nil
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, false, fmt.Errorf("read account %s: %w: %w", username, ErrStorage, err)
	}
	return a, true, nil
}

// accountAt reads the account whose document at key names its user.
func (v *view) accountAt(key string) (account, bool, error) {
	username, ok := v.document(key)
	if !ok {
		return account{}, false, nil
	}
	return v.accountOf(username)
}

// accounts returns all accounts that keeps, by domain and target.
func (v *view) accounts(keeps func(account) bool) ([]account, error) {
	var all []account
	for l := range v.documents.all() {
		if !strings.HasPrefix(l.name(), accountPrefix) {
			continue
		}
		var a account
		if err := json.Unmarshal([]byte(l.value()), &a); err != nil {
			return nil, fmt.Errorf("read %s: %w: %w", l.name(), ErrStorage, err)
		}
		if keeps(a) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b account) int {
		if (a.Domain == "") != (b.Domain == "") {
			return len(b.Domain) - len(a.Domain) // those without one last
		}
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Target, b.Target))
	})
	return all, nil
}

// countAccounts is how many there are.
func (v *view) countAccounts() (n int64) {
	for l := range v.documents.all() {
		if strings.HasPrefix(l.name(), accountPrefix) {
			n++
		}
	}
	return n
}

// keepAccount stores an account with what leads to it.
func (d *draft) keepAccount(a account) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("keep account %s: %w", a.Username, err)
	}
	d.keep(Document{Key: accountPrefix + a.Username, Value: text})
	return nil
}

// newAccount is what is to be registered.
type newAccount struct {
	domain    string // canonical, may be ""
	zone      string // canonical
	subdomain string // "" for a random one
	allowFrom []netip.Prefix
}

// register makes an account and returns it with its key.
func (s *Server) register(ctx context.Context, n newAccount) (account, string, error) {
	if limit := s.settings.Load().accounts.MaxAccounts; s.accounts.Load() >= int64(limit) {
		return account{}, "", fmt.Errorf("%w: %d accounts are allowed; delete some, or raise max_accounts", ErrFull, limit)
	}
	key, kept := newKey()
	a := account{Username: newUUID(), Key: kept, Zone: n.zone, Domain: n.domain, AllowFrom: n.allowFrom, Created: time.Now().UTC().Truncate(time.Second)}
	label := n.subdomain
	if label == "" {
		label = newUUID()
	}
	target, err := canonicalName(strings.TrimSuffix(label, ".") + "." + n.zone)
	if err != nil {
		return account{}, "", fmt.Errorf("register: %w: %w", ErrRecord, err)
	}
	a.Target = target
	if err := s.addAccount(ctx, a); err != nil {
		return account{}, "", err
	}
	return a, key, nil
}

// addAccount stores a new account.
func (s *Server) addAccount(ctx context.Context, a account) error {
	return s.update(ctx, func(d *draft) error { return d.addAccount(a) })
}

func (d *draft) addAccount(a account) error {
	if _, err := d.view.placeOf(Change{Name: a.Target, Type: dns.TypeTXT}); err != nil {
		return err
	}
	if z := d.view.zoneOf(a.Target, dns.TypeTXT); z.name != a.Zone || a.Target == a.Zone {
		return fmt.Errorf("%w: %s is not below %s alone; choose another subdomain", ErrConflict, display(a.Target), display(a.Zone))
	}
	if _, ok := d.view.document(targetPrefix + a.Target); ok {
		return fmt.Errorf("%w: %s belongs to another account; choose another subdomain", ErrTaken, display(a.Target))
	}
	if _, ok := d.view.document(accountPrefix + a.Username); ok {
		return fmt.Errorf("%w: user %s", ErrTaken, a.Username)
	}
	if a.Domain != "" {
		if _, ok := d.view.document(domainPrefix + a.Domain); ok {
			return fmt.Errorf("%w: %s; read it, or delete it first", ErrTaken, display(a.Domain))
		}
		d.keep(Document{Key: domainPrefix + a.Domain, Value: []byte(a.Username)})
	}
	d.keep(Document{Key: targetPrefix + a.Target, Value: []byte(a.Username)})
	return d.keepAccount(a)
}

// removeAccount forgets an account and the TXT records at its name.
func (s *Server) removeAccount(ctx context.Context, username string) error {
	return s.update(ctx, func(d *draft) error {
		a, ok, err := d.view.accountOf(username)
		if err != nil || !ok {
			return cmp.Or(err, ErrNoAccount)
		}
		if d.view.zoneOf(a.Target, dns.TypeTXT) != nil && d.view.table.get(a.Target).set(dns.TypeTXT).count > 0 {
			for _, value := range d.view.txtValues(a.Target) {
				if err := d.change(Change{Name: a.Target, Type: dns.TypeTXT, Data: txtData(value), Op: DeleteRecord}); err != nil {
					return err
				}
			}
		}
		d.keep(Document{Key: targetPrefix + a.Target, Delete: true})
		d.keep(Document{Key: accountPrefix + a.Username, Delete: true})
		if a.Domain != "" {
			d.keep(Document{Key: domainPrefix + a.Domain, Delete: true})
		}
		return nil
	})
}

// txtValues are the TXT values at a name that come and go.
func (v *view) txtValues(name string) []string {
	values := []string{}
	for r := range v.table.get(name).set(dns.TypeTXT).records() {
		values = append(values, txtValue(r.data))
	}
	return values
}

// rekey gives an account another key.
func (s *Server) rekey(ctx context.Context, username string) (account, string, error) {
	key, kept := newKey()
	var changed account
	err := s.update(ctx, func(d *draft) error {
		a, ok, err := d.view.accountOf(username)
		if err != nil || !ok {
			return cmp.Or(err, ErrNoAccount)
		}
		a.Key = kept
		changed = a
		return d.keepAccount(a)
	})
	return changed, key, err
}

// putValue makes value the newest of an account's values; the oldest beyond the
// limit goes.
func (s *Server) putValue(ctx context.Context, username, value string) error {
	conf := s.settings.Load().accounts
	now := time.Now().UTC().Truncate(time.Second)
	return s.update(ctx, func(d *draft) error {
		a, ok, err := d.view.accountOf(username)
		if err != nil || !ok {
			return cmp.Or(err, ErrForbidden)
		}
		there := d.view.txtValues(a.Target)
		a.Values = slices.DeleteFunc(a.Values, func(v string) bool { return v == value || !slices.Contains(there, v) })
		a.Values = append(a.Values, value)
		for len(a.Values) > conf.Values {
			if err := d.change(Change{Name: a.Target, Type: dns.TypeTXT, Data: txtData(a.Values[0]), Op: DeleteRecord}); err != nil {
				return err
			}
			a.Values = a.Values[1:]
		}
		z, err := d.view.placeOf(Change{Name: a.Target, Type: dns.TypeTXT})
		if err != nil {
			return err
		}
		c := Change{Name: a.Target, Type: dns.TypeTXT, TTL: z.dynamicTTL, Data: txtData(value)}
		if conf.ValueLifetime > 0 {
			c.Expires = now.Add(conf.ValueLifetime).Unix()
		}
		if err := d.change(c); err != nil {
			return err
		}
		a.Updated = now
		return d.keepAccount(a)
	})
}
