package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

// ErrNoSchema marks a failure to create the schema.
var ErrNoSchema = errors.New("the schema does not exist and could not be created")

// NewerError says that a program that knows more steps has been there.
type NewerError struct{ Version, Known int }

// Error says which version it is.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the schema has version %d, and %d is known", e.Version, e.Known)
}

// Migration brings a schema up to date by numbered steps, each one file that is
// never changed again: 0001 leads from nothing to version 1.
type Migration struct {
	Steps  fs.FS // *.sql, made in the order of their names, within the schema
	Schema string
	Lock   int64 // the number of the advisory lock by which programs take turns
}

// Connection is a connection or a pool.
type Connection interface {
	querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, statement string, arguments ...any) pgx.Row
}

// Statements returns the SQL of all steps in their order.
func (m Migration) Statements() ([]string, error) {
	files, err := fs.Glob(m.Steps, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(files))
	for n, file := range files {
		text, err := fs.ReadFile(m.Steps, file)
		if err != nil {
			return nil, err
		}
		texts[n] = string(text)
	}
	return texts, nil
}

// Run makes the steps that are missing, in one transaction, and the schema where
// there is none. The error may wrap ErrNoSchema or a *NewerError; then nothing
// was changed.
func (m Migration) Run(ctx context.Context, conn Connection) error {
	todo, err := m.Statements()
	if err != nil {
		return err
	}
	version, err := m.version(ctx, conn, len(todo))
	if err != nil || version == len(todo) {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", m.Lock); err != nil {
			return err
		}
		if err := m.create(ctx, tx); err != nil {
			return err
		}
		version, err := m.version(ctx, tx, len(todo))
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

// version returns how many steps were made; 0 in an empty database.
func (m Migration) version(ctx context.Context, q querier, known int) (int, error) {
	table := pgx.Identifier{m.Schema, "migration"}.Sanitize()
	var exists bool
	if err := q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int
	if err := q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&version); err != nil {
		return 0, err
	}
	if version > known {
		return 0, &NewerError{version, known}
	}
	return version, nil
}

// create makes the schema and the list of steps where they are missing, and has
// the transaction work in it.
func (m Migration) create(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{m.Schema}.Sanitize()
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", m.Schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		// IF NOT EXISTS asks for the right to create it in any case.
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return errors.Join(err, ErrNoSchema)
		}
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", schema); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+schema+".migration (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())")
	return err
}
