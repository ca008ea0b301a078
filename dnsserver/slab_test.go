package dnsserver

import (
	"fmt"
	"strings"
	"testing"
)

func TestSlab_keepsWhatItWasGiven(t *testing.T) {
	var s slab
	var texts, bytes []string
	var kept []string
	var keptBytes [][]byte
	for i := range 5000 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", i%700))
		b := []byte(text)
		texts, kept = append(texts, text), append(kept, s.text(text))
		bytes, keptBytes = append(bytes, text), append(keptBytes, s.keep(b))
		clear(b) // the slab has a copy
	}
	if got := s.keep(nil); len(got) != 0 {
		t.Errorf("nothing is kept as %q", got)
	}
	large := strings.Repeat("y", 2*largePiece)
	if got := s.text(large); got != large {
		t.Errorf("%d bytes are kept as %d others", len(large), len(got))
	}
	for i := range texts {
		if kept[i] != texts[i] || string(keptBytes[i]) != bytes[i] {
			t.Fatalf("%q is kept as %q and %q", texts[i], kept[i], keptBytes[i])
		}
		if more := append(keptBytes[i], '!'); i+1 < len(texts) && kept[i+1] != texts[i+1] { //nolint:gocritic // whether the neighbour is written to
			t.Fatalf("what was appended to %q is in its neighbour %q", more, kept[i+1])
		}
	}
}

// What is kept takes few pieces, and little of it little memory.
func TestSlab_hasFewPieces(t *testing.T) {
	var s slab
	s.text("a")
	if got := cap(s.piece); got != smallPiece {
		t.Errorf("one byte takes %d, want %d", got, smallPiece)
	}
	got := testing.AllocsPerRun(10, func() {
		for range 10_000 {
			s.text("_acme-challenge.www.example.com.")
		}
	})
	if got > 6 {
		t.Errorf("10,000 names take %v pieces, want 6 at most", got)
	}
}
