package dnsserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// Op is what a Change does.
type Op uint8

// The operations. A Store is only ever given Put, Extend and DeleteRecord.
const (
	Put          Op = iota // one record comes to the name; the same record there is replaced
	Extend                 // a record that is there, TTL and all, expires at another time
	DeleteRecord           // one record goes
	DeleteSet              // all records of the type go
	DeleteName             // all records of the name go
)

// Change is one record that comes to, or goes from, a name.
type Change struct {
	Name    string // canonical: absolute, lower case, escaped as on the wire
	Type    uint16
	TTL     uint32 // seconds; of a record that goes, what it had
	Data    string // the record's data in wire form, names uncompressed
	Expires int64  // when the record goes by itself, in Unix seconds; 0 for never
	Op      Op
}

// String is the change as people write it, without the data.
func (c Change) String() string {
	verb := [...]string{"put", "extend", "delete", "delete all", "delete every type"}[min(c.Op, DeleteName)]
	return fmt.Sprintf("%s %s %s", verb, display(c.Name), dns.Type(c.Type))
}

// Document is a value that the server keeps beside the records, such as an
// account. Its key has a prefix that says whose it is: "account/…".
type Document struct {
	Key    string
	Value  []byte
	Delete bool
}

// Batch is what is stored together or not at all: records, then documents.
type Batch struct {
	Changes   []Change
	Documents []Document
}

func (b Batch) empty() bool { return len(b.Changes) == 0 && len(b.Documents) == 0 }

// Store keeps records and documents where a crash cannot reach them. The
// server calls one method at a time.
type Store interface {
	// Load calls each with batches that, in their order, make up all that is
	// kept, and stops at its first error, which it returns.
	Load(ctx context.Context, each func(Batch) error) error

	// Apply makes the changes in their order, all or none. When it returns nil
	// they survive a crash of the process and of the machine. Putting a record
	// that is there and deleting one that is not are no errors: a record is
	// known by its name, type and data. After an error the server treats the
	// batch as not made.
	Apply(ctx context.Context, b Batch) error
}

// MemoryStore is a Store for tests and labs: it forgets with the process.
type MemoryStore struct {
	mu        sync.Mutex
	records   map[recordKey]Change
	documents map[string][]byte
}

// recordKey is what a record is known by.
type recordKey struct {
	name   string
	rrtype uint16
	data   string
}

func (c Change) key() recordKey { return recordKey{c.Name, c.Type, c.Data} }

// NewMemoryStore returns an empty MemoryStore.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{records: map[recordKey]Change{}, documents: map[string][]byte{}}
}

// Load implements Store.
func (s *MemoryStore) Load(ctx context.Context, each func(Batch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Batch
	for _, c := range s.records {
		all = append(all, Batch{Changes: []Change{c}})
	}
	for _, key := range slices.Sorted(maps.Keys(s.documents)) {
		all = append(all, Batch{Documents: []Document{{Key: key, Value: s.documents[key]}}})
	}
	for _, b := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Apply implements Store.
func (s *MemoryStore) Apply(_ context.Context, b Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range b.Changes {
		if c.Op == DeleteRecord {
			delete(s.records, c.key())
			continue
		}
		c.Op = Put
		s.records[c.key()] = c
	}
	for _, d := range b.Documents {
		if d.Delete {
			delete(s.documents, d.Key)
			continue
		}
		s.documents[d.Key] = slices.Clone(d.Value)
	}
	return nil
}
