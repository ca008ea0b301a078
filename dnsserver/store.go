package dnsserver

import (
	"context"
	"sync"
)

// Change is one TXT value or CNAME that comes to, or goes from, a name.
type Change struct {
	Name   string // canonical: absolute, lower case, escaped as on the wire
	Value  string // any bytes, the record's strings joined; of a CNAME its absolute target
	Alias  bool   // a CNAME: another one at the name gives way to it
	Delete bool
}

// Store keeps TXT values and CNAMEs where a crash cannot reach them. The server
// calls one method at a time.
type Store interface {
	// Load calls each for every record kept, in any order, as the Change that
	// put it, and stops at its first error, which it returns.
	Load(ctx context.Context, each func(Change) error) error

	// Apply makes the changes in their order, all or none. When it returns nil
	// they survive a crash of the process and of the machine. Putting a value
	// that is there and deleting one that is not are no errors; a CNAME is
	// deleted whatever its target. After an error the server treats the changes
	// as not made.
	Apply(ctx context.Context, changes []Change) error
}

// MemoryStore is a Store for tests and labs: it forgets with the process.
type MemoryStore struct {
	mu      sync.Mutex
	values  map[Change]bool // keyed by name and value, Delete always false
	aliases map[string]Change
}

// NewMemoryStore returns an empty MemoryStore.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{values: map[Change]bool{}, aliases: map[string]Change{}}
}

// Load implements Store.
func (s *MemoryStore) Load(ctx context.Context, each func(Change) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.values {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(c); err != nil {
			return err
		}
	}
	for _, c := range s.aliases {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

// Apply implements Store.
func (s *MemoryStore) Apply(_ context.Context, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		key := Change{Name: c.Name, Value: c.Value}
		switch {
		case c.Alias && c.Delete:
			delete(s.aliases, c.Name)
		case c.Alias:
			s.aliases[c.Name] = c
		case c.Delete:
			delete(s.values, key)
		default:
			s.values[key] = true
		}
	}
	return nil
}
