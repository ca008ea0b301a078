package dnsserver

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestTable_agreesWithAMap makes and keeps many tables and compares each with
// a map, with a good hash and with ones that collide on every level.
func TestTable_agreesWithAMap(t *testing.T) {
	good := newTable().hash
	for title, hash := range map[string]func(string) uint64{
		"a good hash":           good,
		"all the same":          func(string) uint64 { return 42 },
		"equal in the low bits": func(name string) uint64 { return good(name) &^ (1<<40 - 1) },
		"a few buckets":         func(name string) uint64 { return good(name) % 7 * 0x0842108421084210 },
	} {
		t.Run(title, func(t *testing.T) {
			const names = 300
			name := func(i int) string { return fmt.Sprintf("n%d.", i%names) }
			type snapshot struct {
				table table
				want  map[string]int
			}
			now := snapshot{tableBy(hash), map[string]int{}}
			var all []snapshot
			for i := range 5000 {
				n := name(i * 7919)
				if i%3 == 2 {
					now.table = now.table.without(n)
					delete(now.want, n)
				} else {
					now.table = now.table.with(newLeaf(n, i))
					now.want[n] = i
				}
				if i%500 == 0 {
					all = append(all, snapshot{now.table, maps.Clone(now.want)})
				}
			}
			for _, s := range append(all, now) {
				if s.table.size != len(s.want) {
					t.Fatalf("size %d, want %d", s.table.size, len(s.want))
				}
				for i := range names {
					l, below := s.table.get(name(i)), -1
					if l != nil {
						below = int(l.below)
					}
					want, ok := s.want[name(i)]
					if !ok {
						want = -1
					}
					if below != want {
						t.Fatalf("%s: got %d, want %d", name(i), below, want)
					}
				}
			}
			for i := range names {
				now.table = now.table.without(name(i))
			}
			if all := now.table.root.bucket(0); all == nil || all.depth != 0 || all.count != 0 || now.table.size != 0 || now.table.bytes != 0 {
				t.Errorf("an emptied table is not one empty bucket: %+v, size %d, %d bytes", all, now.table.size, now.table.bytes)
			}
		})
	}
}

// TestTable_filled compares tables that were filled with a map, and goes on from
// there.
func TestTable_filled(t *testing.T) {
	for _, n := range []int{0, 1, bucketLeaves, bucketLeaves + 1, 5000} {
		filling := newTable()
		filling.fill()
		for i := range n + 3 {
			filling = filling.with(newLeaf(fmt.Sprintf("n%d.", i), 0)).with(newLeaf(fmt.Sprintf("n%d.", i), i))
		}
		for i := range 3 {
			filling = filling.without(fmt.Sprintf("n%d.", n+i))
		}
		filled := filling.filled()
		more := filled.with(newLeaf("more.", 7))
		if filling.size != n || filled.size != n || more.size != n+1 || filled.bytes != filling.bytes {
			t.Errorf("%d names: sizes %d, %d and %d, %d and %d bytes", n, filling.size, filled.size, more.size, filling.bytes, filled.bytes)
		}
		for i := range n {
			name := fmt.Sprintf("n%d.", i)
			for _, in := range []table{filling, filled, more} {
				if l := in.get(name); l == nil || l.name() != name || int(l.below) != i {
					t.Fatalf("%d names: %s is %+v", n, name, l)
				}
			}
		}
		for _, in := range []table{filling, filled} {
			if got := len(slices.Collect(in.all())); got != n {
				t.Errorf("%d names: there are %d", n, got)
			}
		}
		if filled.get("more.") != nil || more.get("more.") == nil {
			t.Errorf("%d names: a table changed when it was gone on from", n)
		}
	}
}

// TestTable_partsWhatIsLarge keeps the bucket small that an update copies.
func TestTable_partsWhatIsLarge(t *testing.T) {
	large := func(n int) *leaf {
		name := fmt.Sprintf("n%d.", n)
		return newDocument(name, make([]byte, bucketBytes-leafHeader-len(name)-3))
	}
	now := newTable()
	for n := range 50 {
		now = now.with(large(n))
	}
	buckets := func() int {
		n := 0
		for range now.root.all(0) {
			n++
		}
		return n
	}
	if n := buckets(); n < 50 {
		t.Errorf("50 large leaves are in %d buckets", n)
	}
	for n := range 50 {
		now = now.without(fmt.Sprintf("n%d.", n))
	}
	if n := buckets(); n != 1 {
		t.Errorf("no leaf is in %d buckets, want 1", n)
	}
}

// BenchmarkView_with puts and deletes one value in a view of n names; the cost
// must not grow with n.
func BenchmarkView_with(b *testing.B) {
	for _, n := range []int{100, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v := testView(b)
			var err error
			for i := range n {
				if v, err = v.with(txtChange(fmt.Sprintf("_acme-challenge.n%d.example.com.", i), "v")); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				next, err := v.with(txtChange("_acme-challenge.extra.example.com.", "v"))
				if err != nil {
					b.Fatal(err)
				}
				if _, err = next.with(without(txtChange("_acme-challenge.extra.example.com.", "v"))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRespond answers one TXT question.
func BenchmarkRespond(b *testing.B) {
	v, err := testView(b).with(txtChange("_acme-challenge.example.com.", "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"))
	if err != nil {
		b.Fatal(err)
	}
	request := wire(b, ask("_acme-challenge.example.com. TXT"))
	b.ReportAllocs()
	for b.Loop() {
		if r := v.respond(request, &terms{limit: edns0UDPSize}); r.wire == nil {
			b.Fatal("no reply")
		}
	}
}
