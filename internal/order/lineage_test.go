package order

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestRelease(t *testing.T) {
	keeper := newMemory()
	released := func(id string) bool {
		l, err := LoadLineage(t.Context(), keeper, id)
		if err != nil {
			t.Fatal(err)
		}
		return l.Released
	}
	if released("l") {
		t.Error("released before")
	}
	if err := Release(t.Context(), keeper, "l"); err != nil {
		t.Fatal(err)
	}
	if !released("l") || released("m") {
		t.Errorf("l %t, m %t; want only l", released("l"), released("m"))
	}
}

func TestPrune_keepsTheNewestKeysAndWhatAStateNeeds(t *testing.T) {
	keeper := newMemory()
	for n := range 8 {
		key := fmt.Sprintf("k%d", n)
		if n == 2 || n == 7 {
			key = "shared" // used again
		}
		g := Generation{Fingerprint: fmt.Sprintf("f%d", n), KeyID: key, Journal: fmt.Sprintf("j%d", n), NotAfter: time.Unix(int64(n), 0)}
		keeper.values["keys/"+key], keeper.values["journals/"+g.Journal] = []byte("k"), []byte("j")
		for range 2 { // recording again changes nothing
			if err := AddGeneration(t.Context(), keeper, "l", g); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if err := Prune(t.Context(), keeper, "l", 2); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for _, key := range slices.Sorted(maps.Keys(keeper.values)) {
		if !strings.HasPrefix(key, "lineages/") {
			left = append(left, key)
		}
	}
	want := []string{"journals/j3", "journals/j4", "journals/j5", "journals/j6", "journals/j7", "keys/k6", "keys/shared"}
	if !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	l, err := LoadLineage(t.Context(), keeper, "l")
	if err != nil || len(l.Generations) != 5 || l.Generations[4].Fingerprint != "f7" {
		t.Errorf("%+v, %v; want the 5 newest", l, err)
	}
}

func TestPrune_dropsBothKeysOfAPair(t *testing.T) {
	keeper := newMemory()
	for n := range 3 {
		g := Generation{Fingerprint: fmt.Sprintf("f%d", n), KeyID: fmt.Sprintf("signing%d", n), EncryptionKeyID: fmt.Sprintf("encryption%d", n)}
		keeper.values["keys/"+g.KeyID], keeper.values["keys/"+g.EncryptionKeyID] = []byte("k"), []byte("k")
		if err := AddGeneration(t.Context(), keeper, "l", g); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prune(t.Context(), keeper, "l", 1); err != nil {
		t.Fatal(err)
	}
	delete(keeper.values, "lineages/l")
	if left := slices.Sorted(maps.Keys(keeper.values)); !slices.Equal(left, []string{"keys/encryption2", "keys/signing2"}) {
		t.Errorf("left %q, want the keys of the newest pair", left)
	}
}

// A state that is behind by more generations than there are keys of finds the
// newest certificate all the same, without an order.
func TestRun_followsGenerationsWhoseKeysArePruned(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	var fingerprints []string
	w := wish("a.example.com")
	for range keptJournals {
		j, _ := mustRun(t, newRunner(ca, keeper), w)
		w.Lineage, w.Intent.Replaces = j.Lineage, leafOf(t, j)
		fingerprints = append(fingerprints, w.Intent.Replaces)
	}
	if err := Prune(t.Context(), keeper, w.Lineage, 1); err != nil {
		t.Fatal(err)
	}
	for n, behind := range fingerprints[:len(fingerprints)-1] {
		w.Intent.Replaces = behind
		j, adopted := mustRun(t, newRunner(ca, keeper), w)
		newest := n == len(fingerprints)-2
		if want := fingerprints[n+1]; !adopted || leafOf(t, j) != want || j.Superseded == newest {
			t.Errorf("%d behind: adopted %t, superseded %t", len(fingerprints)-1-n, adopted, j.Superseded)
		}
	}
	wantCounts(t, ca, keptJournals, keptJournals, 0)
}

func leafOf(t *testing.T, j Journal) string {
	t.Helper()
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Fingerprint(chain[0])
}
