// Package database has what programs that keep something in PostgreSQL have in
// common: reading the URL of a database, bringing a schema up to date, and
// telling of errors without secrets.
//
// It keeps nothing itself and opens no connection. Its invariant: no message of
// it, and no text that went through Redact, has a password.
package database

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database is where a database is, as a URL says it.
type Database struct {
	// All is in functions, into which fmt does not look.
	config func() *pgx.ConnConfig
	url    func() string
	redact func(string) string
}

// Parse reads a URL, postgres://user:password@host:5432/database, and decides
// about TLS: what the URL or the environment says, else verify-full unless the
// host is this machine. It shows no error of the parser, which could repeat a
// part of a password that is not where it should be.
func Parse(text string) (Database, error) {
	unusable := errors.New("this is no PostgreSQL URL: write postgres://user:password@host:5432/database, " +
		"with special characters in user and password percent-encoded (@ as %40, / as %2F, : as %3A, % as %25)")
	_, rest, ok := strings.Cut(text, "://")
	if !ok || !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return Database{}, unusable
	}
	if user := strings.IndexAny(rest, "@/"); user >= 0 && rest[user] == '@' {
		rest = rest[user+1:]
	}
	if strings.Contains(rest, "@") { // of a password, of which a part would pass for a host
		return Database{}, unusable
	}
	config, err := pgx.ParseConfig(text)
	var told *pgconn.ParseConfigError
	if errors.As(err, &told) && strings.Contains(err.Error(), "failed to configure TLS") {
		if why := told.Unwrap(); why != nil && !strings.Contains(why.Error(), "sslmode") {
			return Database{}, fmt.Errorf("the files for TLS that the URL names cannot be used: %w; "+
				"correct sslrootcert, sslcert or sslkey, and who may read them", why)
		}
	}
	if err != nil {
		return Database{}, unusable
	}
	effective := text
	if !saysTLS(rest) && !local(config) {
		separator := "?"
		if strings.Contains(rest, "?") {
			separator = "&"
		}
		effective += separator + "sslmode=verify-full"
		if config, err = pgx.ParseConfig(effective); err != nil {
			return Database{}, unusable
		}
	}
	secrets := secretsOf(text, config)
	return Database{
		config: config.Copy,
		url:    func() string { return effective },
		redact: func(said string) string {
			for _, secret := range secrets {
				said = strings.ReplaceAll(said, secret, "[redacted]")
			}
			return said
		},
	}, nil
}

// Config is what to connect with, the caller's to change.
func (d Database) Config() *pgx.ConnConfig { return d.config() }

// URL is the one that was read, with what was decided about TLS.
func (d Database) URL() string { return d.url() }

// String names the database and its hosts, for messages.
func (d Database) String() string {
	config := d.config()
	database := config.Database
	if database == "" {
		database = config.User // as the server has it
	}
	return fmt.Sprintf("database %q at %s", database, strings.Join(d.Hosts(), " or "))
}

// GoString is as String: nothing of the configuration.
func (d Database) GoString() string { return d.String() }

// Hosts are the servers to try: host:port, or the folder of a socket.
func (d Database) Hosts() []string { return hosts(d.config()) }

// Redact is the text of an error without secrets, on one line.
func (d Database) Redact(err error) string {
	return d.redact(strings.Join(strings.Fields(err.Error()), " "))
}

// saysTLS reports whether the end of a URL, or the environment, chooses how the
// connection is encrypted.
func saysTLS(rest string) bool {
	_, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	return err == nil && (values.Has("sslmode") || values.Has("ssl")) || os.Getenv("PGSSLMODE") != ""
}

// local reports whether all hosts are this machine.
func local(config *pgx.ConnConfig) bool {
	for _, host := range hosts(config) {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			continue // a socket
		}
		if name != "localhost" && !net.ParseIP(name).IsLoopback() {
			return false
		}
	}
	return true
}

func hosts(config *pgx.ConnConfig) []string {
	var list []string
	add := func(host string, port uint16) {
		if !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, "@") {
			host = net.JoinHostPort(host, strconv.Itoa(int(port)))
		}
		if !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	add(config.Host, config.Port)
	for _, fallback := range config.Fallbacks { // the same without TLS, too
		add(fallback.Host, fallback.Port)
	}
	return list
}

// secretsOf are the parts of a configuration that no message may show.
func secretsOf(text string, config *pgx.ConnConfig) []string {
	parts := []string{text, config.Password}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		if user, _, ok := strings.Cut(rest, "@"); ok {
			_, password, _ := strings.Cut(user, ":")
			parts = append(parts, password)
		}
		_, query, _ := strings.Cut(rest, "?")
		if values, err := url.ParseQuery(query); err == nil {
			parts = append(parts, values.Get("password"), values.Get("sslpassword"))
		}
	}
	return slices.DeleteFunc(parts, func(part string) bool { return part == "" })
}

// CheckSchema accepts the name of a schema that needs no quotes and has at most
// that many characters, but those of the server.
func CheckSchema(schema string, longest int) error {
	plain := len(schema) <= longest && strings.Trim(schema, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	switch {
	case schema == "" || !plain || '0' <= schema[0] && schema[0] <= '9':
		return fmt.Errorf("schema %q: use 1 to %d of a-z, 0-9 and underscore, and no digit first", schema, longest)
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		return fmt.Errorf("schema %q belongs to the server; choose another name", schema)
	}
	return nil
}

// Unreachable is what to do where a server could not be connected to.
func Unreachable(err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "give the CA of the server's certificate as sslrootcert=/path/ca.pem in storage.postgres.url, " +
			"or sslmode=require to encrypt without proof of who answers"
	case strings.Contains(err.Error(), "read only connection"):
		return "none of the hosts takes changes; promote one, or add the one that does to storage.postgres.url"
	case strings.Contains(err.Error(), "refused TLS") && !strings.Contains(err.Error(), "dial error"):
		return "switch TLS on at the server, or write sslmode=disable in storage.postgres.url where nobody can listen"
	default:
		return "start it or make it reachable, or correct storage.postgres.url"
	}
}

// Answered is what an error of the server means and what to do about it, whatever
// is kept there. The codes are those of PostgreSQL's documentation, appendix A.
func (d Database) Answered(said *pgconn.PgError) (what, todo string) {
	config := d.config()
	quote := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	switch said.Code {
	case "28P01", "28000":
		what = fmt.Sprintf("refuses the user %q", config.User)
		if strings.Contains(said.Message, "no encryption") {
			return what, "write sslmode=verify-full in storage.postgres.url, for it takes no connection in the clear, or see the server's pg_hba.conf"
		}
		return what, "check user and password in storage.postgres.url, and the server's pg_hba.conf"
	case "42P05", "26000": // a statement that was prepared is there already, or gone
		return "is behind a pooler that gives each transaction another session",
			"have the pooler keep sessions (pool_mode = session), or name the server itself in storage.postgres.url"
	case "3D000":
		return "does not exist", "create it, or correct its name in storage.postgres.url"
	case "42501":
		return fmt.Sprintf("does not let %q in", config.User),
			fmt.Sprintf("have its owner run GRANT CONNECT ON DATABASE %s TO %s", quote(config.Database), quote(config.User))
	case "25006":
		return "is read-only", "give the primary server in storage.postgres.url (target_session_attrs=read-write finds it among several)"
	case "53100":
		return "has no room on its disk", "make room"
	}
	if Ended(said) {
		return "is starting, stopping or was told to end the connection", "wait until it is back"
	}
	return "refused the statement", "mend what it says"
}

// Ended reports whether an error is one with which a server that stops, crashed
// or was told to end a session ends it.
func Ended(said *pgconn.PgError) bool {
	switch said.Code {
	case "57P01", "57P02", "57P03", "57P05", "25P03":
		return true
	}
	return false
}
