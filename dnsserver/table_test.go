package dnsserver

import (
	"fmt"
	"maps"
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
			now := snapshot{table{hash: hash, root: &branch{}}, map[string]int{}}
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
			if len(now.table.root.slots) != 0 || now.table.size != 0 {
				t.Errorf("an emptied table has %d slots and size %d", len(now.table.root.slots), now.table.size)
			}
		})
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
