package dnsserver

import (
	"fmt"
)

// Defaults of Limits.
const (
	DefaultMaxNames = 2_000_000
	DefaultMaxBytes = 512 << 20
)

// Limits bounds all that comes and goes, whoever brings it, so that nobody can
// use the memory up. What is over them is refused with ErrFull; what is there
// stays, and can be deleted. A start reads all that is kept, also over them.
type Limits struct {
	MaxNames int   // names with records, and those above them; 0 means DefaultMaxNames
	MaxBytes int64 // that names, records and accounts take of memory, about; 0 means DefaultMaxBytes
}

func (l Limits) withDefaults() Limits {
	l.MaxNames = orDefault(l.MaxNames, DefaultMaxNames)
	l.MaxBytes = orDefault(l.MaxBytes, DefaultMaxBytes)
	return l
}

// problems are those of the block.
func (l Limits) problems() []*ConfigError {
	var all []*ConfigError
	for _, f := range []struct {
		field string
		value int64
	}{{"max_names", int64(l.MaxNames)}, {"max_bytes", l.MaxBytes}} {
		if f.value < 0 {
			all = append(all, &ConfigError{Block: "limits", Field: f.field, Problem: fmt.Sprintf("%d is too few", f.value), Fix: "write a number from 1, or remove it"})
		}
	}
	return all
}

// bytes is about what all that comes and goes takes of memory.
func (v *view) bytes() int64 { return v.table.bytes + v.documents.bytes }

// fits refuses a change that makes a view larger than allowed.
func (l Limits) fits(before, after *view) error {
	switch {
	case after.table.size > l.MaxNames && after.table.size > before.table.size:
		return fmt.Errorf("%w: %d names are allowed; delete some, or raise limits.max_names", ErrFull, l.MaxNames)
	case after.bytes() > l.MaxBytes && after.bytes() > before.bytes():
		return fmt.Errorf("%w: %d bytes of names, records and accounts are allowed; delete some, or raise limits.max_bytes", ErrFull, l.MaxBytes)
	}
	return nil
}
