package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// loadBatch is how many records or documents are handed over at once.
const loadBatch = 512

// Load implements dnsserver.Store. What it reads is the contents at one moment.
func (s *Store) Load(ctx context.Context, each func(dnsserver.Batch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := s.connection(ctx)
	if err != nil {
		return s.explain(err)
	}
	// Errors of each are its caller's, and need no explanation.
	var told error
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var seq int64
		var token []byte
		if err := tx.QueryRow(ctx, "SELECT seq, token FROM head").Scan(&seq, &token); err != nil {
			return err
		}
		err := readAll(ctx, tx, func(b dnsserver.Batch) error {
			told = each(b)
			return told
		})
		if err == nil {
			s.at(seq, token)
		}
		return err
	})
	switch {
	case told != nil:
		return told
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return s.explain(err)
}

// at notes what was read or stored last. The caller holds mu.
func (s *Store) at(seq int64, token []byte) {
	s.seq, s.token = seq, token
	s.known.Store(uint64(seq))
	s.latest.Store(uint64(seq))
}

// readAll calls each for all records, then all documents.
func readAll(ctx context.Context, tx pgx.Tx, each func(dnsserver.Batch) error) error {
	var b dnsserver.Batch
	flush := func(enough int) error {
		if len(b.Changes)+len(b.Documents) < enough {
			return nil
		}
		err := each(b)
		b = dnsserver.Batch{}
		return err
	}
	rows, err := tx.Query(ctx, "SELECT name, type, ttl, expires, data FROM record")
	if err != nil {
		return err
	}
	var c dnsserver.Change
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&c.Name, &c.Type, &c.TTL, &c.Expires, &data}, func() error {
		c.Data = string(data)
		b.Changes = append(b.Changes, c)
		return flush(loadBatch)
	})
	if err == nil {
		err = flush(1)
	}
	if err != nil {
		return fmt.Errorf("read the records: %w", err)
	}
	rows, err = tx.Query(ctx, "SELECT key, value FROM document ORDER BY key")
	if err != nil {
		return err
	}
	var d dnsserver.Document
	_, err = pgx.ForEachRow(rows, []any{&d.Key, &d.Value}, func() error {
		b.Documents = append(b.Documents, d)
		d.Value = nil // the next row is read into bytes of its own
		return flush(loadBatch)
	})
	if err == nil {
		err = flush(1)
	}
	if err != nil {
		return fmt.Errorf("read the documents: %w", err)
	}
	return nil
}
