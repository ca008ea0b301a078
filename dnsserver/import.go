package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ImportedAccount is an account of another server of the acme-dns API.
type ImportedAccount struct {
	Username  string
	KeyHash   string // of its key, by bcrypt; the first use of the key exchanges it
	Subdomain string // below the zone of Accounts
	AllowFrom []netip.Prefix
	Values    []string // TXT, the oldest first
}

// Import takes an account over, so that its clients go on with the user name,
// key and name that they have. It reports false when the account is there
// already, as after an import before, and leaves it alone then. The error wraps
// ErrTaken where the name is another account's, ErrFull, or what PutTXT's do.
func (s *Server) Import(ctx context.Context, i ImportedAccount) (added bool, err error) {
	v := s.view.Load()
	if v == nil {
		return false, ErrStopped
	}
	conf := s.settings.Load().accounts
	target, err := canonicalName(i.Subdomain + "." + conf.Zone)
	if err != nil || i.Username == "" || i.KeyHash == "" {
		return false, errors.Join(fmt.Errorf("import account %q at %q: %w: user, key and name are needed", i.Username, i.Subdomain, ErrRecord), err)
	}
	there, ok, err := v.accountOf(i.Username)
	switch {
	case err != nil:
		return false, err
	case ok && there.Target == target:
		return false, nil
	case s.accounts.Load() >= int64(conf.MaxAccounts):
		return false, fmt.Errorf("import account %s: %w: %d accounts are allowed; raise max_accounts", i.Username, ErrFull, conf.MaxAccounts)
	}
	a := account{
		Username: i.Username, Key: i.KeyHash, Target: target, Zone: conf.Zone, AllowFrom: i.AllowFrom,
		Created: time.Now().UTC().Truncate(time.Second),
	}
	if err := s.addAccount(ctx, a); err != nil {
		return false, fmt.Errorf("import account %s: %w", i.Username, err)
	}
	for _, value := range i.Values {
		if err := s.putValue(ctx, i.Username, value); err != nil {
			return true, fmt.Errorf("import a value of account %s: %w", i.Username, err)
		}
	}
	return true, nil
}
