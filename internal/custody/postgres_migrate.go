package custody

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// migrations are numbered steps, each one file that is never changed again:
// 0001 leads from nothing to version 1 of the schema.
//
//go:embed migration/*.sql
var migrations embed.FS

// steps returns the SQL of all migrations in their order.
func steps() ([]string, error) {
	files, err := fs.Glob(migrations, "migration/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(files))
	for n, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		texts[n] = string(text)
	}
	return texts, nil
}

// migrate brings the schema up to date, in one transaction that processes take
// turns at. It refuses a schema of a newer provider.
func (p *Postgres) migrate(ctx context.Context, pool *pgxpool.Pool) error {
	todo, err := steps()
	if err != nil {
		return err
	}
	version, err := p.version(ctx, pool)
	if err != nil || version == len(todo) {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// No key is empty, so this is nobody's lock.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockID(p.schema, "")); err != nil {
			return err
		}
		if err := p.createSchema(ctx, tx); err != nil {
			return err
		}
		version, err := p.version(ctx, tx)
		if err != nil {
			return err
		}
		for n, step := range todo[version:] {
			// The simple protocol takes several statements.
			if _, err := tx.Exec(ctx, step, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("migrate to version %d: %w", version+n+1, err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO migration (version) VALUES ($1)", version+n+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, statement string, arguments ...any) pgx.Row
}

// version returns how many migrations were made; 0 in an empty database.
func (p *Postgres) version(ctx context.Context, q querier) (int, error) {
	table := pgx.Identifier{p.schema, "migration"}.Sanitize()
	var exists bool
	if err := q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int
	if err := q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&version); err != nil {
		return 0, err
	}
	todo, err := steps()
	if err != nil {
		return 0, err
	}
	if version > len(todo) {
		return 0, fmt.Errorf("%w: schema %q in %s has version %d, this provider knows %d: a newer one wrote it; "+
			"nothing was changed: use that version of the provider or a later one", ErrUnusable, p.schema, p.target, version, len(todo))
	}
	return version, nil
}

// createSchema makes the schema and the list of migrations where they are
// missing, and has the transaction work in it.
func (p *Postgres) createSchema(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{p.schema}.Sanitize()
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", p.schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		// IF NOT EXISTS asks for the right to create it in any case.
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return errors.Join(err, errNoSchema)
		}
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", schema); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+schema+".migration (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())")
	return err
}
