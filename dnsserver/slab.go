package dnsserver

import "unsafe"

// slab keeps many strings of bytes in few pieces of memory, for the garbage
// collector looks at each piece. One is freed once nothing in it is used any
// more, so what comes first has to go first. The zero slab is empty.
type slab struct {
	piece []byte // the last, whose rest is free
}

// The size of a piece, in bytes: each is twice the one before, up to the most.
const (
	smallPiece = 512
	largePiece = 64 << 10
)

// keep copies b. The copy is never changed.
func (s *slab) keep(b []byte) []byte {
	at := s.reserve(len(b))
	s.piece = append(s.piece, b...)
	return s.piece[at:len(s.piece):len(s.piece)]
}

// text copies a string.
func (s *slab) text(t string) string {
	at := s.reserve(len(t))
	s.piece = append(s.piece, t...)
	return unsafe.String(unsafe.SliceData(s.piece[at:]), len(t))
}

// reserve makes room for n bytes more and says where.
func (s *slab) reserve(n int) int {
	if cap(s.piece)-len(s.piece) < n {
		s.piece = make([]byte, 0, max(n, min(max(2*cap(s.piece), smallPiece), largePiece)))
	}
	return len(s.piece)
}
