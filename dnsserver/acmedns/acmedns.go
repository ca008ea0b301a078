// Package acmedns reads the accounts of an acme-dns database, in SQLite or
// PostgreSQL, so that they can move to this server.
//
// It reads and changes nothing. SQLite is read through its own program, sqlite3:
// a library for one command that runs once would be the largest part of this
// server. Its invariant: an account is returned whole or the error names it.
package acmedns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Account is one of acme-dns: who may keep TXT values at one label.
type Account struct {
	Username  string
	KeyHash   string         // of the password, by bcrypt
	Subdomain string         // label below the zone
	AllowFrom []netip.Prefix // none means from everywhere
	Values    []string       // TXT, the oldest first
}

// version is that of the tables this package knows.
const version = "1"

// ErrVersion says that the tables are of another acme-dns than this package
// knows.
var ErrVersion = errors.New("the database is not that of an acme-dns 0.4 or later")

// row is an account with one of its values, as both databases return it.
type row struct {
	Username  string  `json:"username"`
	Password  string  `json:"password"`
	Subdomain string  `json:"subdomain"`
	AllowFrom *string `json:"allowfrom"`
	Value     *string `json:"value"`
}

// The queries work in SQLite and PostgreSQL. acme-dns has written passwords as
// blobs to SQLite.
const (
	versionQuery = "SELECT value AS value FROM acmedns WHERE name = 'db_version'"
	rowsQuery    = "SELECT r.username AS username, CAST(r.password AS TEXT) AS password, r.subdomain AS subdomain, r.allowfrom AS allowfrom, t.value AS value " +
		"FROM records r LEFT JOIN txt t ON t.subdomain = r.subdomain AND t.value <> '' ORDER BY r.username, t.lastupdate, t.rowid"
)

// Read returns all accounts of the database at source: a URL that begins with
// postgres:// or the path of a SQLite file.
func Read(ctx context.Context, source string) ([]Account, error) {
	var database func(ctx context.Context, query string) ([]row, error)
	if strings.HasPrefix(source, "postgres://") || strings.HasPrefix(source, "postgresql://") {
		conn, err := connect(ctx, source)
		if err != nil {
			return nil, fmt.Errorf("open the database of acme-dns: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // only read
		database = conn.rows
	} else {
		database = sqlite(source).rows
	}
	found, err := database(ctx, versionQuery)
	if err != nil {
		return nil, fmt.Errorf("read the database of acme-dns: %w", err)
	}
	if len(found) != 1 || found[0].Value == nil || *found[0].Value != version {
		return nil, fmt.Errorf("%w: it does not say db_version %s; start a current acme-dns on it once", ErrVersion, version)
	}
	rows, err := database(ctx, rowsQuery)
	if err != nil {
		return nil, fmt.Errorf("read the accounts of acme-dns: %w", err)
	}
	return collect(rows)
}

// collect puts together what rows of one account have in common.
func collect(rows []row) ([]Account, error) {
	var all []Account
	var errs []error
	for _, r := range rows {
		if n := len(all); n == 0 || all[n-1].Username != r.Username {
			a := Account{Username: r.Username, KeyHash: r.Password, Subdomain: r.Subdomain}
			var err error
			if a.AllowFrom, err = networks(r.AllowFrom); err != nil {
				errs = append(errs, fmt.Errorf("account %s: %w", r.Username, err))
			}
			all = append(all, a)
		}
		if r.Value != nil {
			last := &all[len(all)-1]
			last.Values = append(last.Values, *r.Value)
		}
	}
	return all, errors.Join(errs...)
}

// networks reads allowfrom: a list of networks, as JSON.
func networks(text *string) ([]netip.Prefix, error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	var list []string
	if err := json.Unmarshal([]byte(*text), &list); err != nil {
		return nil, fmt.Errorf("its allowfrom %q cannot be read: %w", *text, err)
	}
	var all []netip.Prefix
	for _, one := range list {
		network, err := netip.ParsePrefix(one)
		if err != nil {
			return nil, fmt.Errorf("its allowfrom: %w", err)
		}
		all = append(all, network.Masked())
	}
	return all, nil
}
