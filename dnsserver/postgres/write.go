package postgres

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// effect is what a batch makes of the tables, whatever its order: of several
// changes of one record the last counts.
type effect struct {
	records   map[[sha256.Size]byte]dnsserver.Change
	documents map[string]dnsserver.Document
}

func newEffect() *effect {
	return &effect{records: map[[sha256.Size]byte]dnsserver.Change{}, documents: map[string]dnsserver.Document{}}
}

func (e *effect) add(b dnsserver.Batch) {
	for _, c := range b.Changes {
		e.records[recordID(c)] = c
	}
	for _, d := range b.Documents {
		e.documents[d.Key] = d
	}
}

func (e *effect) size() int { return len(e.records) + len(e.documents) }

// recordID is the key of a record in the table.
func recordID(c dnsserver.Change) [sha256.Size]byte {
	text := append([]byte(c.Name), 0) // no name has one: it is escaped
	text = binary.BigEndian.AppendUint16(text, c.Type)
	return sha256.Sum256(append(text, c.Data...))
}

const (
	putRecords = `INSERT INTO record (id, name, type, ttl, expires, data)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bytea[])
ON CONFLICT (id) DO UPDATE SET ttl = excluded.ttl, expires = excluded.expires`
	deleteRecords = `DELETE FROM record WHERE id = ANY ($1::bytea[])`
	putDocuments  = `INSERT INTO document (key, value) SELECT * FROM unnest($1::text[], $2::bytea[])
ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	deleteDocuments = `DELETE FROM document WHERE key = ANY ($1::text[])`
)

// queue adds the statements that have the effect.
func (e *effect) queue(to *pgx.Batch) {
	var ids, data, gone [][]byte
	var names []string
	var types []int32
	var ttls, expires []int64
	for id, c := range e.records {
		if c.Op == dnsserver.DeleteRecord {
			gone = append(gone, id[:])
			continue
		}
		ids, names, types = append(ids, id[:]), append(names, c.Name), append(types, int32(c.Type))
		ttls, expires, data = append(ttls, int64(c.TTL)), append(expires, c.Expires), append(data, []byte(c.Data))
	}
	if len(ids) > 0 {
		to.Queue(putRecords, ids, names, types, ttls, expires, data)
	}
	if len(gone) > 0 {
		to.Queue(deleteRecords, gone)
	}
	var keys, forgotten []string
	var values [][]byte
	for key, d := range e.documents {
		if d.Delete {
			forgotten = append(forgotten, key)
			continue
		}
		keys, values = append(keys, key), append(values, append([]byte{}, d.Value...)) // nil would be NULL
	}
	if len(keys) > 0 {
		to.Queue(putDocuments, keys, values)
	}
	if len(forgotten) > 0 {
		to.Queue(deleteDocuments, forgotten)
	}
}
