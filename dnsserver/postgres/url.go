package postgres

import (
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

// checkSchema accepts names that need no quotes, but those of the server.
func checkSchema(schema string) error {
	plain := len(schema) <= 55 && strings.Trim(schema, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" // a channel has its name with 8 more
	switch {
	case schema == "" || !plain || '0' <= schema[0] && schema[0] <= '9':
		return fmt.Errorf("schema %q: use 1 to 55 of a-z, 0-9 and underscore, and no digit first", schema)
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		return fmt.Errorf("schema %q belongs to the server; choose another name", schema)
	}
	return nil
}

// parseURL reads a URL and decides about TLS. It shows no error of the parser,
// which could repeat a part of a password that is not where it should be.
func parseURL(text string) (*pgx.ConnConfig, error) {
	unusable := errors.New("this is no PostgreSQL URL: write postgres://user:password@host:5432/database, " +
		"with special characters in user and password percent-encoded (@ as %40, / as %2F, : as %3A, % as %25)")
	_, rest, ok := strings.Cut(text, "://")
	if !ok || !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, unusable
	}
	if user := strings.IndexAny(rest, "@/"); user >= 0 && rest[user] == '@' {
		rest = rest[user+1:]
	}
	if strings.Contains(rest, "@") { // of a password, of which a part would pass for a host
		return nil, unusable
	}
	config, err := pgx.ParseConfig(text)
	var told *pgconn.ParseConfigError
	if errors.As(err, &told) && strings.Contains(err.Error(), "failed to configure TLS") && told.Unwrap() != nil {
		return nil, fmt.Errorf("the files for TLS that the URL names cannot be used: %w; correct sslrootcert, sslcert or sslkey, and who may read them", told.Unwrap())
	}
	if err != nil {
		return nil, unusable
	}
	if saysTLS(rest) || local(config) {
		return config, nil
	}
	separator := "?"
	if strings.Contains(rest, "?") {
		separator = "&"
	}
	if config, err = pgx.ParseConfig(text + separator + "sslmode=verify-full"); err != nil {
		return nil, unusable
	}
	return config, nil
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

// hosts are the servers to try: host:port, or the folder of a socket.
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

func target(config *pgx.ConnConfig) string {
	database := config.Database
	if database == "" {
		database = config.User // as the server has it
	}
	return fmt.Sprintf("database %q at %s", database, strings.Join(hosts(config), " or "))
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

// redact is the text of an error without secrets, on one line.
func (s *Store) redact(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	return text
}
