package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
)

// What can be wrong with the database. The text that wraps them says what to do.
var (
	errAway     = errors.New("the database is away") // it may be back any time
	errNewer    = errors.New("a newer version keeps its data there")
	errSameName = errors.New("another server has this name")
	errRolled   = errors.New("the server rolled the transaction back")
	errEnough   = errors.New("enough") // stops a reader
	errDamaged  = errors.New("the database holds what cannot be read")
)

// explain says what an error means for the store and what to do about it. It
// passes the driver's error on as text only: its types hold the password.
func (s *Store) explain(err error) error {
	var connect *pgconn.ConnectError
	var said *pgconn.PgError
	for _, own := range []error{dnsserver.ErrGap, dnsserver.ErrUnsure, errAway, errNewer, errSameName, errDamaged, context.Canceled} {
		if errors.Is(err, own) {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
		what, todo := s.answered(err, said)
		if database.Ended(said) || said.Code == "53300" || said.Code == "25006" {
			return s.isAway(what, todo, said)
		}
		return fmt.Errorf("the %s %s: %s (%s)", s.database, what, todo, s.database.Redact(said))
	case errors.As(err, &connect):
		return s.isAway("cannot be reached", database.Unreachable(err), connect.Unwrap())
	default:
		return s.isAway("does not answer", "see what its server and the network do", err)
	}
}

func (s *Store) isAway(what, todo string, err error) error {
	return fmt.Errorf("%w: the %s %s: %s (%s)", errAway, s.database, what, todo, s.database.Redact(err))
}

// answered is what the server's error means and what to do about it.
func (s *Store) answered(err error, said *pgconn.PgError) (what, todo string) {
	user := s.config.User
	quote := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	switch code := said.Code; {
	case code == "42501" && errors.Is(err, database.ErrNoSchema):
		return fmt.Sprintf("does not let %q create the schema %q", user, s.schema),
			fmt.Sprintf("have its owner run CREATE SCHEMA %s AUTHORIZATION %s", quote(s.schema), quote(user))
	case code == "42501" && !strings.Contains(said.Message, "for database"):
		return fmt.Sprintf("does not let %q use its tables", user),
			fmt.Sprintf("have its owner run ALTER SCHEMA %s OWNER TO %s, and the same for its tables", quote(s.schema), quote(user))
	case code == "53300":
		return "has no connection left", "raise its max_connections: each server takes two"
	case code == "55P03":
		return "is being changed by somebody else for too long", "wait for the restore that is going on, or see which server holds the row of head"
	}
	return s.database.Answered(said)
}

// passing reports whether an attempt failed for a reason that another one, on a
// new connection, may not meet.
func passing(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		// A deadlock, a serialization failure, or a plan that a migration made stale.
		return database.Ended(said) || said.Code == "40P01" || said.Code == "40001" || said.Code == "0A000"
	}
	return !errors.Is(err, dnsserver.ErrGap) && !errors.Is(err, context.Canceled)
}
