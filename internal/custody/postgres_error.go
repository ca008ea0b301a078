package custody

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
)

// explain says what an error means for the storage and what to do about it. It
// passes the driver's error on as text only: its types hold the password.
func (p *Postgres) explain(ctx context.Context, err error) error {
	var connect *pgconn.ConnectError
	var said *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrNoRows), errors.Is(err, ErrUnusable):
		return err
	case errors.Is(err, ErrLockLost):
		return fmt.Errorf("%s: %w, so another run may have taken it; apply again, and what is recorded goes on (%s)", p.database, ErrLockLost, p.database.Redact(err))
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", p.database, ctx.Err())
	case errors.As(err, &said):
		what, todo := p.answered(err, said)
		return p.unusable(what+", nothing was changed", todo+"; then apply again", said)
	case errors.As(err, &connect):
		return p.unusable("cannot be reached, nothing was changed", database.Unreachable(err)+"; then apply again", connect.Unwrap())
	default:
		return p.unusable("did not answer, so the value is as it was before or as it should be, and whole", "try again", err)
	}
}

func (p *Postgres) unusable(what, todo string, err error) error {
	return fmt.Errorf("%w: %s %s: %s (%s)", ErrUnusable, p.database, what, todo, p.database.Redact(err))
}

// answered is what the server's error means and what to do about it.
func (p *Postgres) answered(err error, said *pgconn.PgError) (what, todo string) {
	user, name, schema := p.config.ConnConfig.User, p.config.ConnConfig.Database, p.schema
	quote := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	switch code := said.Code; {
	case code == "42501" && errors.Is(err, database.ErrNoSchema):
		return fmt.Sprintf("does not let %q create the schema %q", user, schema),
			fmt.Sprintf("have its owner run GRANT CREATE ON DATABASE %s TO %s, or CREATE SCHEMA %s AUTHORIZATION %[2]s",
				quote(name), quote(user), quote(schema))
	case code == "42501" && strings.Contains(said.Message, "for schema"):
		return fmt.Sprintf("does not let %q use the schema %q", user, schema),
			fmt.Sprintf("have its owner run GRANT USAGE, CREATE ON SCHEMA %s TO %s", quote(schema), quote(user))
	case code == "42501" && !strings.Contains(said.Message, "for database"):
		return fmt.Sprintf("does not let %q use its tables", user),
			fmt.Sprintf("have their owner run GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s", quote(schema), quote(user))
	case code == "53300":
		return "has no connection left", fmt.Sprintf("raise its max_connections, or run fewer at once: each run takes up to %d", maxConnections+1)
	}
	return p.database.Answered(said)
}
