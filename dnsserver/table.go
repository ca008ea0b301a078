package dnsserver

import (
	"hash/maphash"
	"iter"
	"maps"
	"unsafe"
)

// table maps canonical names to leaves. It is a persistent trie of their hashes
// whose leaves stand in buckets (extendible hashing, Fagin et al. 1979): with
// and without return a new table that shares all but one path and one bucket
// with the old one, so an update costs the same at ten names and at ten
// million, and whoever holds the old table never sees it change.
type table struct {
	hash func(name string) uint64
	root *branch
	size int // how many leaves it has
	// bytes is what the leaves take of memory, about.
	bytes int64
	// filling has the leaves while nobody else holds the table, loading for one.
	// Then it is the same table that with and without return, which is many times
	// faster.
	filling map[string]*leaf
}

const (
	levelBits = 4  // of the hash that a branch tells apart, the lowest at the root
	hashBits  = 60 // that all levels do; what agrees in them stays in one bucket
)

// branch has a slot for each value of its bits of the hash. A bucket whose
// leaves agree in fewer of them has several slots.
type branch struct {
	buckets uint16                         // the bits of slots that are buckets; the others are branches
	slots   [1 << levelBits]unsafe.Pointer // each a *bucket or a *branch
}

// slotOf is where a branch has a hash that tells it apart from the bit shift on.
func slotOf(hash uint64, shift int) int { return int(hash >> shift & (1<<levelBits - 1)) }

// lowest is the first bits of a hash.
func lowest(bits int, hash uint64) uint64 { return hash & (1<<bits - 1) }

// bucket returns that of a slot, nil when a branch has it.
func (b *branch) bucket(slot int) *bucket {
	if b.buckets&(1<<slot) == 0 {
		return nil
	}
	return (*bucket)(b.slots[slot])
}

// branch returns that of a slot which is no bucket's.
func (b *branch) branch(slot int) *branch { return (*branch)(b.slots[slot]) }

func (b *branch) setBranch(slot int, next *branch) {
	b.slots[slot] = unsafe.Pointer(next)
	b.buckets &^= 1 << slot
}

// setBucket gives a bucket all slots of the hashes that begin with its own first
// bits.
func (b *branch) setBucket(next *bucket, hash uint64, shift int) {
	depth := int(next.depth)
	for slot := slotOf(lowest(depth, hash), shift); slot < len(b.slots); slot += 1 << (depth - shift) {
		b.slots[slot] = unsafe.Pointer(next)
		b.buckets |= 1 << slot
	}
}

// newTable returns an empty table. Its hash has a random seed, so nobody can
// choose names that collide.
func newTable() table {
	seed := maphash.MakeSeed()
	return tableBy(func(name string) uint64 { return maphash.String(seed, name) })
}

func tableBy(hash func(name string) uint64) table {
	root := &branch{}
	root.setBucket(newBucket(0, nil), 0, 0)
	return table{hash: hash, root: root}
}

// get returns the leaf of name, or nil.
func (t table) get(name string) *leaf {
	if t.filling != nil {
		return t.filling[name]
	}
	hash := t.hash(name)
	b := t.root
	for shift := 0; ; shift += levelBits {
		slot := slotOf(hash, shift)
		if found := b.bucket(slot); found != nil {
			return found.get(name, tagOf(hash))
		}
		b = b.branch(slot)
	}
}

// with returns a table in which its name has leaf l.
func (t table) with(l *leaf) table {
	next := t
	if t.filling != nil {
		next.tally(t.filling[l.name()], l)
		t.filling[l.name()] = l
		return next
	}
	next.root = next.insert(t.root, l, t.hash(l.name()), 0)
	return next
}

// tally counts a leaf that comes in the place of another. Either may be nil.
func (t *table) tally(old, l *leaf) {
	if old != nil {
		t.size--
		t.bytes -= old.bytes()
	}
	if l != nil {
		t.size++
		t.bytes += l.bytes()
	}
}

// insert returns the branch with the leaf, and counts it.
func (t *table) insert(b *branch, l *leaf, hash uint64, shift int) *branch {
	next, slot := *b, slotOf(hash, shift)
	found := b.bucket(slot)
	if found == nil {
		next.setBranch(slot, t.insert(b.branch(slot), l, hash, shift+levelBits))
		return &next
	}
	var room bucketRoom
	leaves := found.leaves(room[:0])
	if i := found.find(l.name(), tagOf(hash)); i >= 0 {
		t.tally(leaves[i].leaf, l)
		leaves[i].leaf = l
	} else {
		t.tally(nil, l)
		leaves = append(leaves, hashed{l, hash})
	}
	if tooLarge(leaves) {
		for i := range leaves {
			leaves[i].hash = t.hash(leaves[i].leaf.name())
		}
	}
	place(&next, leaves, int(found.depth), hash, shift)
	return &next
}

// without returns a table in which name has no leaf.
func (t table) without(name string) table {
	old := t.get(name)
	if old == nil {
		return t
	}
	next := t
	next.tally(old, nil)
	if t.filling != nil {
		delete(t.filling, name)
		return next
	}
	next.root = remove(t.root, name, t.hash(name), 0)
	return next
}

// remove returns the branch without name, which it has.
func remove(b *branch, name string, hash uint64, shift int) *branch {
	next, slot := *b, slotOf(hash, shift)
	if found := b.bucket(slot); found != nil {
		next.join(found.without(name, tagOf(hash)), hash, shift)
		return &next
	}
	below := remove(b.branch(slot), name, hash, shift+levelBits)
	if last := below.bucket(0); last != nil && int(last.depth) == shift+levelBits { // it has all slots
		next.join(last, hash, shift)
	} else {
		next.setBranch(slot, below)
	}
	return &next
}

// fill has the table, which is empty, collect leaves until filled.
func (t *table) fill() { t.filling = map[string]*leaf{} }

// filled is the table with what it collected.
func (t table) filled() table {
	leaves := make([]hashed, 0, len(t.filling))
	for name, l := range t.filling {
		leaves = append(leaves, hashed{l, t.hash(name)})
	}
	next := table{hash: t.hash, root: &branch{}, size: t.size, bytes: t.bytes}
	place(next.root, leaves, 0, 0, 0)
	return next
}

// place puts leaves, whose hashes begin with the same bits, so many as depth
// says, where they belong: in one bucket, or in several when they are too many.
// The branch changes.
func place(b *branch, leaves []hashed, depth int, hash uint64, shift int) {
	switch {
	case depth == hashBits || !tooLarge(leaves):
		b.setBucket(newBucket(depth, leaves), hash, shift)
	case depth == shift+levelBits:
		below := &branch{}
		place(below, leaves, depth, hash, depth)
		b.setBranch(slotOf(hash, shift), below)
	default:
		bit := uint64(1) << depth
		zeros := 0
		for i, l := range leaves {
			if l.hash&bit == 0 {
				leaves[zeros], leaves[i] = l, leaves[zeros]
				zeros++
			}
		}
		place(b, leaves[:zeros], depth+1, hash&^bit, shift)
		place(b, leaves[zeros:], depth+1, hash|bit, shift)
	}
}

// join puts a bucket where its hashes belong, together with its neighbour when
// both are small. The branch changes.
func (b *branch) join(next *bucket, hash uint64, shift int) {
	for depth := int(next.depth); depth > shift; depth-- {
		other := b.bucket(slotOf(lowest(depth, hash)^1<<(depth-1), shift))
		if other == nil || int(other.depth) != depth || !next.fits(other) {
			break
		}
		next = next.joined(other)
	}
	b.setBucket(next, hash, shift)
}

// all goes through the leaves, in no order.
func (t table) all() iter.Seq[*leaf] {
	if t.filling != nil {
		return maps.Values(t.filling)
	}
	return func(yield func(*leaf) bool) {
		for found := range t.root.all(0) {
			for i := range found.index() {
				if !yield(found.leaf(i)) {
					return
				}
			}
		}
	}
}

// all goes through the buckets at and below a branch.
func (b *branch) all(shift int) iter.Seq[*bucket] {
	return func(yield func(*bucket) bool) { b.each(shift, yield) }
}

// each reports false when yield did.
func (b *branch) each(shift int, yield func(*bucket) bool) bool {
	for slot := range b.slots {
		found := b.bucket(slot)
		switch {
		case found == nil:
			if !b.branch(slot).each(shift+levelBits, yield) {
				return false
			}
		case slot < 1<<(int(found.depth)-shift): // the first of its slots
			if !yield(found) {
				return false
			}
		}
	}
	return true
}
