package dnsserver

import (
	"slices"
	"unsafe"
)

// bucket is leaves whose hashes begin with the same bits: this, and in the same
// piece of memory an index and the leaves, without a pointer. It is immutable.
// The garbage collector looks at a bucket where it would look at some twenty
// leaves, and while it looks at millions of them queries wait.
type bucket struct {
	count uint16
	depth uint16 // how many bits of the hashes are the same
}

// The index has a number for each leaf: the tag of its hash and, in the lower
// 24 bits, where the leaf stands in the bucket, in units of leafAlign.
const (
	bucketHeader = int(unsafe.Sizeof(bucket{}))
	indexEntry   = 4 // bytes
	leafAlign    = 4 // bytes
	placeBits    = 24
)

// What a bucket holds at most that can be halved. An update copies one.
const (
	bucketLeaves = 32
	bucketBytes  = 4 << 10
)

// tagOf is eight bits of a hash that its place in a trie hardly depends on:
// leaves that have others need not be looked at.
func tagOf(hash uint64) uint32 { return uint32(hash >> tagShift) }

const tagShift = 56

// hashed is a leaf and the hash of its name, of which a bucket knows the tag.
type hashed struct {
	leaf *leaf
	hash uint64
}

// newBucket copies leaves into a bucket.
func newBucket(depth int, leaves []hashed) *bucket {
	size := bucketHeader + len(leaves)*indexEntry + space(leaves)
	room := make([]byte, max(size, leafSize))
	b := (*bucket)(unsafe.Pointer(unsafe.SliceData(room)))
	b.count, b.depth = uint16(len(leaves)), uint16(depth)
	at := bucketHeader + len(leaves)*indexEntry
	index := b.index()
	for i, l := range leaves {
		index[i] = tagOf(l.hash)<<placeBits | uint32(at/leafAlign)
		copy(room[at:], l.leaf.whole())
		at += l.leaf.space()
	}
	return b
}

// space is what leaves take in a bucket, in bytes.
func space(leaves []hashed) int {
	size := 0
	for _, l := range leaves {
		size += l.leaf.space()
	}
	return size
}

// tooLarge reports whether leaves are to have more than one bucket.
func tooLarge(leaves []hashed) bool {
	return len(leaves) > bucketLeaves || len(leaves) > 1 && space(leaves) > bucketBytes
}

// index is what is known of each leaf.
func (b *bucket) index() []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Add(unsafe.Pointer(b), bucketHeader)), b.count)
}

// leaf returns the i-th.
func (b *bucket) leaf(i int) *leaf {
	place := b.index()[i] & (1<<placeBits - 1)
	return (*leaf)(unsafe.Add(unsafe.Pointer(b), place*leafAlign))
}

// find is which leaf has the name, or -1.
func (b *bucket) find(name string, tag uint32) int {
	for i, entry := range b.index() {
		if entry>>placeBits == tag && b.leaf(i).name() == name {
			return i
		}
	}
	return -1
}

// get returns the leaf of name, or nil.
func (b *bucket) get(name string, tag uint32) *leaf {
	if i := b.find(name, tag); i >= 0 {
		return b.leaf(i)
	}
	return nil
}

// bucketRoom is where the leaves of most buckets have room on the stack.
type bucketRoom [bucketLeaves + 1]hashed

// leaves appends all to room. Of their hashes they have the tag.
func (b *bucket) leaves(room []hashed) []hashed {
	for i, entry := range b.index() {
		room = append(room, hashed{b.leaf(i), uint64(entry>>placeBits) << tagShift})
	}
	return room
}

// without returns the bucket without a name that it has.
func (b *bucket) without(name string, tag uint32) *bucket {
	var room bucketRoom
	i := b.find(name, tag)
	return newBucket(int(b.depth), slices.Delete(b.leaves(room[:0]), i, i+1))
}

// joined is one bucket of two whose hashes differ in their last bit.
func (b *bucket) joined(other *bucket) *bucket {
	var room bucketRoom
	return newBucket(int(b.depth)-1, other.leaves(b.leaves(room[:0])))
}

// fits reports whether the bucket is to be joined with another: what they hold
// is so little that one leaf more does not have them parted again.
func (b *bucket) fits(other *bucket) bool {
	if b.count+other.count > bucketLeaves/2 {
		return false
	}
	var room bucketRoom
	all := other.leaves(b.leaves(room[:0]))
	return len(all) <= 1 || space(all) <= bucketBytes/2
}
