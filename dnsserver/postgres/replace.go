package postgres

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// replaceBatch is how many records and documents one statement stores.
const replaceBatch = 5000

// Replace exchanges all that is kept for what fresh makes of it, in one
// transaction. fresh has to read old, to its end, before it yields anything.
// Servers that share the database load everything anew.
func (s *Store) Replace(ctx context.Context, fresh func(old iter.Seq2[dnsserver.Batch, error]) iter.Seq2[dnsserver.Batch, error]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := s.connection(ctx)
	if err != nil {
		return s.explain(err)
	}
	var told error // by fresh, whose caller knows what it means
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		c := changed{token: newToken(), server: s.server}
		if err := tx.QueryRow(ctx, "SELECT seq + 1 FROM head FOR UPDATE").Scan(&c.seq); err != nil {
			return err
		}
		told, err = refill(ctx, tx, fresh(contentsOf(ctx, tx)))
		if err = errors.Join(told, err); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue("DELETE FROM change") // nobody may go on from there
		b.Queue("INSERT INTO change (seq, token, server, batch) VALUES ($1, $2, $3, '')", c.seq, c.token, c.server)
		s.queueHead(b, c)
		return tx.SendBatch(ctx, b).Close()
	})
	if told != nil {
		return told
	}
	return s.explain(err)
}

// contentsOf is all that is kept.
func contentsOf(ctx context.Context, tx pgx.Tx) iter.Seq2[dnsserver.Batch, error] {
	return func(yield func(dnsserver.Batch, error) bool) {
		err := readAll(ctx, tx, func(b dnsserver.Batch) error {
			if !yield(b, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(dnsserver.Batch{}, err)
		}
	}
}

// refill empties the tables and fills them. told is an error of the content.
func refill(ctx context.Context, tx pgx.Tx, content iter.Seq2[dnsserver.Batch, error]) (told, err error) {
	e := newEffect()
	flush := func(b *pgx.Batch) error {
		e.queue(b)
		e = newEffect()
		if b.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, b).Close()
	}
	empty := &pgx.Batch{}
	empty.Queue("DELETE FROM record")
	empty.Queue("DELETE FROM document")
	emptied := false
	for b, err := range content {
		if err != nil {
			return err, nil
		}
		if !emptied { // fresh has read what was there
			if err := flush(empty); err != nil {
				return nil, err
			}
			emptied = true
		}
		if e.add(b); e.size() >= replaceBatch {
			if err := flush(&pgx.Batch{}); err != nil {
				return nil, err
			}
		}
	}
	if !emptied {
		return nil, flush(empty)
	}
	return nil, flush(&pgx.Batch{})
}
