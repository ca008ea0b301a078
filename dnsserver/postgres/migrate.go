package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
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

// lockID is the number of an advisory lock: they have no names, and are shared
// by everything in the database.
func (s *Store) lockID(name string) int64 {
	sum := sha256.Sum256([]byte("certificate-dns\x00" + s.schema + "\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8])) // the sign is one more bit
}

// migrate brings the schema up to date, in one transaction that servers take
// turns at. It refuses a schema of a newer version.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn) error {
	todo, err := steps()
	if err != nil {
		return err
	}
	version, err := s.version(ctx, conn, len(todo))
	if err != nil || version == len(todo) {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockID("migration")); err != nil {
			return err
		}
		if err := s.createSchema(ctx, tx); err != nil {
			return err
		}
		version, err := s.version(ctx, tx, len(todo))
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

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, statement string, arguments ...any) pgx.Row
}

// version returns how many migrations were made; 0 in an empty database.
func (s *Store) version(ctx context.Context, q querier, known int) (int, error) {
	table := pgx.Identifier{s.schema, "migration"}.Sanitize()
	var exists bool
	if err := q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int
	if err := q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&version); err != nil {
		return 0, err
	}
	if version > known {
		return 0, fmt.Errorf("the schema %q in the %s has version %d, this program knows %d: %w; "+
			"nothing was changed: use that version of certificate-dns or a later one", s.schema, s.target, version, known, errNewer)
	}
	return version, nil
}

// createSchema makes the schema and the list of migrations where they are
// missing.
func (s *Store) createSchema(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{s.schema}.Sanitize()
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		// IF NOT EXISTS asks for the right to create it in any case.
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return errors.Join(err, errNoSchema)
		}
	}
	_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+schema+".migration (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())")
	return err
}
