package dnsserver

import (
	"hash/maphash"
	"iter"
	"math/bits"
	"unsafe"
)

// table maps canonical names to leaves. It is a persistent hash trie: with and
// without return a new table that shares all but one path with the old one, so
// an update costs the same at ten names and at ten million, and whoever holds
// the old table never sees it change.
type table struct {
	hash func(name string) uint64
	root *branch
	size int // how many leaves it has
	// bytes is what the leaves take of memory, about.
	bytes int64
	// filling is set while nobody else holds the table, loading for one: then the
	// branches themselves change, which is many times faster.
	filling bool
}

// branch has one slot for each bit set in its bitmap, in the order of the
// bits. Below the last bit of the hash it is a plain list and bitmap is 0.
type branch struct {
	bitmap uint32
	deeper uint32           // the bits of slots that are branches, the others are leaves
	slots  []unsafe.Pointer // each a *leaf or a *branch: an update copies them
}

// slot is one of a branch: either a leaf or a further branch.
type slot struct {
	leaf *leaf
	next *branch
}

// at returns the i-th slot, which has this bit, 0 in a list.
func (b *branch) at(i int, bit uint32) slot {
	if b.deeper&bit != 0 {
		return slot{next: (*branch)(b.slots[i])}
	}
	return slot{leaf: (*leaf)(b.slots[i])}
}

// pointer is what a branch keeps of a slot, and what becomes of its deeper.
func (s slot) pointer(deeper, bit uint32) (unsafe.Pointer, uint32) {
	if s.next != nil {
		return unsafe.Pointer(s.next), deeper | bit
	}
	return unsafe.Pointer(s.leaf), deeper &^ bit
}

const (
	levelBits = 5
	lastShift = 60 // twelve levels of five bits; the rest of the hash is unused
)

// newTable returns an empty table. Its hash has a random seed, so nobody can
// choose names that collide.
func newTable() table {
	seed := maphash.MakeSeed()
	return table{hash: func(name string) uint64 { return maphash.String(seed, name) }, root: &branch{}}
}

// get returns the leaf of name, or nil.
func (t table) get(name string) *leaf {
	hash := t.hash(name)
	b := t.root
	for shift := 0; shift < lastShift; shift += levelBits {
		bit := uint32(1) << (hash >> shift & (1<<levelBits - 1))
		if b.bitmap&bit == 0 {
			return nil
		}
		s := b.at(bits.OnesCount32(b.bitmap&(bit-1)), bit)
		if s.next == nil {
			if s.leaf.name() == name {
				return s.leaf
			}
			return nil
		}
		b = s.next
	}
	for i := range b.slots {
		if l := b.at(i, 0).leaf; l.name() == name {
			return l
		}
	}
	return nil
}

// with returns a table in which its name has leaf l.
func (t table) with(l *leaf) table {
	next := t
	if old := t.get(l.name()); old != nil {
		next.bytes -= old.bytes()
	} else {
		next.size++
	}
	next.bytes += l.bytes()
	next.root = t.insert(t.root, l, t.hash(l.name()), 0)
	return next
}

func (t table) insert(b *branch, l *leaf, hash uint64, shift int) *branch {
	if shift >= lastShift {
		for i := range b.slots {
			if b.at(i, 0).leaf.name() == l.name() {
				return t.replaced(b, i, 0, slot{leaf: l})
			}
		}
		return t.added(b, len(b.slots), 0, slot{leaf: l})
	}
	bit := uint32(1) << (hash >> shift & (1<<levelBits - 1))
	i := bits.OnesCount32(b.bitmap & (bit - 1))
	if b.bitmap&bit == 0 {
		return t.added(b, i, bit, slot{leaf: l})
	}
	s := b.at(i, bit)
	switch {
	case s.next != nil:
		return t.replaced(b, i, bit, slot{next: t.insert(s.next, l, hash, shift+levelBits)})
	case s.leaf.name() == l.name():
		return t.replaced(b, i, bit, slot{leaf: l})
	}
	next := t.insert(&branch{}, s.leaf, t.hash(s.leaf.name()), shift+levelBits)
	return t.replaced(b, i, bit, slot{next: t.insert(next, l, hash, shift+levelBits)})
}

// without returns a table in which name has no leaf.
func (t table) without(name string) table {
	old := t.get(name)
	if old == nil {
		return t
	}
	next := t
	next.size--
	next.bytes -= old.bytes()
	if next.root = t.remove(t.root, name, t.hash(name), 0); next.root == nil {
		next.root = &branch{}
	}
	return next
}

// remove returns b without name, b itself when name is not there, and nil when
// nothing is left.
func (t table) remove(b *branch, name string, hash uint64, shift int) *branch {
	if shift >= lastShift {
		for i := range b.slots {
			if b.at(i, 0).leaf.name() == name {
				return t.dropped(b, i, 0)
			}
		}
		return b
	}
	bit := uint32(1) << (hash >> shift & (1<<levelBits - 1))
	if b.bitmap&bit == 0 {
		return b
	}
	i := bits.OnesCount32(b.bitmap & (bit - 1))
	s := b.at(i, bit)
	if s.next == nil {
		if s.leaf.name() == name {
			return t.dropped(b, i, bit)
		}
		return b
	}
	next := t.remove(s.next, name, hash, shift+levelBits)
	switch {
	case next == nil:
		return t.dropped(b, i, bit)
	case len(next.slots) == 1 && next.deeper == 0:
		return t.replaced(b, i, bit, next.at(0, 0)) // a lone leaf needs no branch
	case next == s.next:
		return b
	}
	return t.replaced(b, i, bit, slot{next: next})
}

func (t table) replaced(b *branch, i int, bit uint32, s slot) *branch {
	p, deeper := s.pointer(b.deeper, bit)
	if t.filling {
		b.slots[i], b.deeper = p, deeper
		return b
	}
	slots := make([]unsafe.Pointer, len(b.slots))
	copy(slots, b.slots)
	slots[i] = p
	return &branch{b.bitmap, deeper, slots}
}

func (t table) added(b *branch, i int, bit uint32, s slot) *branch {
	p, deeper := s.pointer(b.deeper, bit)
	slots := make([]unsafe.Pointer, len(b.slots)+1)
	copy(slots, b.slots[:i])
	slots[i] = p
	copy(slots[i+1:], b.slots[i:])
	return t.put(b, b.bitmap|bit, deeper, slots)
}

func (t table) dropped(b *branch, i int, bit uint32) *branch {
	if len(b.slots) == 1 {
		return nil
	}
	slots := make([]unsafe.Pointer, len(b.slots)-1)
	copy(slots, b.slots[:i])
	copy(slots[i:], b.slots[i+1:])
	return t.put(b, b.bitmap&^bit, b.deeper&^bit, slots)
}

func (t table) put(b *branch, bitmap, deeper uint32, slots []unsafe.Pointer) *branch {
	if t.filling {
		b.bitmap, b.deeper, b.slots = bitmap, deeper, slots
		return b
	}
	return &branch{bitmap, deeper, slots}
}

// all goes through the leaves, in no order.
func (t table) all() iter.Seq[*leaf] {
	return func(yield func(*leaf) bool) { t.root.each(yield) }
}

// each reports false when yield did.
func (b *branch) each(yield func(*leaf) bool) bool {
	rest := b.bitmap
	for i := range b.slots {
		bit := rest & -rest // the lowest that is left; 0 in a list
		rest &^= bit
		switch s := b.at(i, bit); {
		case s.next != nil:
			if !s.next.each(yield) {
				return false
			}
		case !yield(s.leaf):
			return false
		}
	}
	return true
}
