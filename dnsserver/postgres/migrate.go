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

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
)

//go:embed migration/*.sql
var migrations embed.FS

// lockID is the number of an advisory lock: they have no names, and are shared
// by everything in the database.
func (s *Store) lockID(name string) int64 {
	sum := sha256.Sum256([]byte("certificate-dns\x00" + s.schema + "\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8])) // the sign is one more bit
}

// migrate brings the schema up to date. It refuses a schema of a newer version.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn) error {
	steps, err := fs.Sub(migrations, "migration")
	if err != nil {
		return err
	}
	err = database.Migration{Steps: steps, Schema: s.schema, Lock: s.lockID("migration")}.Run(ctx, conn)
	var newer *database.NewerError
	if errors.As(err, &newer) {
		return fmt.Errorf("the schema %q in the %s has version %d, this program knows %d: %w; "+
			"nothing was changed: use that version of certificate-dns or a later one", s.schema, s.database, newer.Version, newer.Known, errNewer)
	}
	return err
}
