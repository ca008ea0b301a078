package order

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestRun_issues(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	j, adopted := mustRun(t, newRunner(ca, keeper), wish("a.example.com", "*.example.com"))
	wantCounts(t, ca, 1, 1, 0)
	if adopted || j.Lineage == "" || j.KeyID == "" || len(j.Records) != 0 || !j.CreatedAt.Equal(start) {
		t.Errorf("adopted %t, journal %+v", adopted, j)
	}
	key, err := LoadKey(t.Context(), keeper, j.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Matches(chain[0]); err != nil {
		t.Error(err)
	}
	if saved, err := Load(t.Context(), keeper, j.Intent); err != nil || saved.Status != StatusIssued || len(saved.Records) != 0 {
		t.Errorf("kept: status %s, %d records, %v", saved.Status, len(saved.Records), err)
	}
}

// Before the CA hears of an order, key and journal are kept.
func TestRun_journalIsWrittenBeforeTheFirstStep(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	w := wish("a.example.com")
	ca.before = func(step int, j Journal) error {
		if step > 1 {
			return nil
		}
		saved, err := Load(t.Context(), keeper, w.Intent)
		if err != nil || saved.Status != StatusPlanned || short(saved.Request) != short(j.Request) || saved.KeyID != j.KeyID {
			t.Errorf("at the first step the journal is %+v, %v", saved, err)
		}
		if _, err := LoadKey(t.Context(), keeper, j.KeyID); err != nil {
			t.Errorf("at the first step the key: %v", err)
		}
		return nil
	}
	mustRun(t, newRunner(ca, keeper), w)
}

func TestRun_nothingIsAskedWithoutAJournal(t *testing.T) {
	for _, folder := range []string{"keys/", "journals/"} {
		ca, keeper := newCA(t), newMemory()
		keeper.hook = func(key string, _ []byte) error {
			if strings.HasPrefix(key, folder) {
				return errInjected
			}
			return nil
		}
		if _, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com")); !errors.Is(err, errInjected) {
			t.Errorf("%s: %v, want %v", folder, err, errInjected)
		}
		if ca.steps != 0 {
			t.Errorf("%s cannot be written, and the CA was asked %d times", folder, ca.steps)
		}
	}
}

func TestRun_everyStepIsKept(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	var statuses []string
	keeper.hook = func(key string, data []byte) error {
		if strings.HasPrefix(key, "journals/") {
			j, err := decodeJournal(data)
			if err != nil {
				t.Error(err)
			}
			statuses = append(statuses, fmt.Sprintf("%s/%d", j.Status, len(j.Records)))
		}
		return nil
	}
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	want := "[planned/0 awaiting_validation/0 awaiting_validation/1 issuing/1 issued/1 issued/0]"
	if got := fmt.Sprint(statuses); got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
}

func TestRun_aStepThatCannotBeKeptEndsTheRun(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	full := false
	ca.after = func(step int, _ Journal) error { full = step == 2; return nil }
	keeper.hook = func(string, []byte) error {
		if full {
			return errInjected
		}
		return nil
	}
	if _, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com")); !errors.Is(err, errInjected) {
		t.Errorf("%v, want %v", err, errInjected)
	}
	wantCounts(t, ca, 1, 0, 0)
	full, keeper.hook = false, nil
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	wantCounts(t, ca, 1, 1, 0)
}

// kill ends the goroutine it is called in as a process ends: nothing after it
// happens, and the kernel frees its locks.
func kill() { runtime.Goexit() }

// A run may die before or after each thing it does. The next one ends with the
// same order, and there is one certificate.
func TestRun_killedAnywhere(t *testing.T) {
	for _, point := range []string{"before step", "after step", "before write", "after write", "before withdrawal"} {
		for n := 1; ; n++ {
			ca, keeper := newCA(t), newMemory()
			died := runUntil(t, ca, keeper, point, n)
			if !died {
				if n == 1 {
					t.Errorf("no run passes %s", point)
				}
				break
			}
			j, _ := mustRun(t, newRunner(ca, keeper), wish("a.example.com", "b.example.com"))
			if got := ca.counts(); got != [3]int{1, 1, 0} {
				t.Errorf("killed %s %d: orders, certificates, records %d, want 1, 1, 0", point, n, got)
			}
			if _, err := LoadKey(t.Context(), keeper, j.KeyID); err != nil {
				t.Errorf("killed %s %d: %v", point, n, err)
			}
			if got := len(keeper.keys("journals/")); got != 1 {
				t.Errorf("killed %s %d: %d journals, want 1", point, n, got)
			}
		}
	}
}

// runUntil runs a wish and dies at the nth passing of a point. It reports
// whether the run came that far.
func runUntil(t *testing.T, ca *fakeCA, keeper *memory, point string, n int) (died bool) {
	t.Helper()
	dying := &dyingKeeper{memory: keeper}
	passed := func(at string) {
		if at == point {
			if n--; n == 0 {
				died = true
				kill()
			}
		}
	}
	ca.before = func(int, Journal) error { passed("before step"); return nil }
	ca.after = func(int, Journal) error { passed("after step"); return nil }
	ca.withdraw = func(context.Context, Journal) error { passed("before withdrawal"); return nil }
	dying.passed = passed
	var wait sync.WaitGroup
	wait.Go(func() { _, _, _ = newRunner(ca, dying).Run(t.Context(), wish("a.example.com", "b.example.com")) })
	wait.Wait()
	ca.before, ca.after, ca.withdraw = nil, nil, nil
	return died
}

type dyingKeeper struct {
	*memory
	passed func(string)
}

func (d *dyingKeeper) Put(ctx context.Context, key string, data []byte) error {
	d.passed("before write")
	err := d.memory.Put(ctx, key, data)
	d.passed("after write")
	return err
}

func TestRun_adoptsWhatIsIssued(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	first, _ := mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	second, adopted := mustRun(t, newRunner(ca, keeper), wish("A.example.com"))
	wantCounts(t, ca, 1, 1, 0)
	if !adopted || second.Lineage != first.Lineage || second.KeyID != first.KeyID {
		t.Errorf("adopted %t, lineage %s and key %s, want %s and %s", adopted, second.Lineage, second.KeyID, first.Lineage, first.KeyID)
	}
	if !strings.EqualFold(string(second.Certificate), string(first.Certificate)) {
		t.Error("another certificate")
	}
}

func TestRun_doesNotAdopt(t *testing.T) {
	for sentence, spoil := range map[string]func(*testing.T, *memory, Journal){
		"what its owner released": func(t *testing.T, keeper *memory, j Journal) {
			if err := Release(t.Context(), keeper, j.Lineage); err != nil {
				t.Fatal(err)
			}
		},
		"what lost its key": func(_ *testing.T, keeper *memory, j Journal) { delete(keeper.values, keyKey(j.KeyID)) },
		"what was kept before it was checked": func(t *testing.T, keeper *memory, j Journal) {
			other := newCA(t)
			wrong, _ := mustRun(t, newRunner(other, newMemory()), wish("b.example.com"))
			j.Certificate = wrong.Certificate
			if err := (&Runner{Keeper: keeper}).save(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			ca, keeper := newCA(t), newMemory()
			first, _ := mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
			spoil(t, keeper, first)
			second, adopted := mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
			wantCounts(t, ca, 2, 2, 0)
			if adopted || second.Lineage == first.Lineage || second.KeyID == first.KeyID {
				t.Errorf("adopted %t, lineage %s and key %s as before", adopted, second.Lineage, second.KeyID)
			}
		})
	}
}

// The owner of a lineage goes on with it even where it was released once.
func TestRun_ownerOfAReleasedLineageAdopts(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	first, _ := mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	if err := Release(t.Context(), keeper, first.Lineage); err != nil {
		t.Fatal(err)
	}
	owned := wish("a.example.com")
	owned.Lineage = first.Lineage
	if _, adopted := mustRun(t, newRunner(ca, keeper), owned); !adopted {
		t.Error("the owner did not adopt")
	}
	wantCounts(t, ca, 1, 1, 0)
}

// Expired certificates are adopted too: the caller follows the generations.
func TestRun_adoptsWhatExpiredSince(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	later := newRunner(ca, keeper)
	later.Now = func() time.Time { return start.AddDate(1, 0, 0) }
	if _, adopted := mustRun(t, later, wish("a.example.com")); !adopted {
		t.Error("it was not adopted")
	}
}

// An order in progress whose key is gone would lead to a certificate nobody can
// use.
func TestRun_openOrderWithoutItsKeyStartsAnew(t *testing.T) {
	for _, step := range []int{1, 2, 3, 4} {
		ca, keeper := newCA(t), newMemory()
		if !runUntil(t, ca, keeper, "before step", step) {
			t.Fatal("the run was not killed")
		}
		for _, key := range keeper.keys("keys/") {
			delete(keeper.values, key)
		}
		j, _ := mustRun(t, newRunner(ca, keeper), wish("a.example.com", "b.example.com"))
		if _, err := LoadKey(t.Context(), keeper, j.KeyID); err != nil {
			t.Errorf("key lost before step %d: %v", step, err)
		}
		if got := ca.counts(); got[1] != 1 || got[2] != 0 {
			t.Errorf("key lost before step %d: %d certificates and %d records, want 1 and 0", step, got[1], got[2])
		}
	}
}

func TestRun_usesKeysAndRequestsMadeElsewhere(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	key, err := pki.GenerateKey(pki.ECDSAP384)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.NewRequest(key, []string{"a.example.com"}, pki.Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	own := Wish{Intent: Intent{Issuer: "ca", Names: []string{"a.example.com"}, Request: request}, Wait: time.Minute}
	j, _ := mustRun(t, newRunner(ca, keeper), own)
	if j.KeyID != "" || len(keeper.keys("keys/")) != 0 || short(j.Request) != short(request) {
		t.Errorf("key %q, %d keys kept, request %s", j.KeyID, len(keeper.keys("keys/")), short(j.Request))
	}
	if err := StoreKey(t.Context(), keeper, "mine", key); err != nil {
		t.Fatal(err)
	}
	again := Wish{Intent: Intent{Issuer: "ca", Names: []string{"a.example.com"}, KeyID: "mine"}, Wait: time.Minute}
	if j, _ := mustRun(t, newRunner(ca, keeper), again); j.KeyID != "mine" || len(keeper.keys("keys/")) != 1 {
		t.Errorf("key %q, %d keys kept", j.KeyID, len(keeper.keys("keys/")))
	}
	gone := Wish{Intent: Intent{Issuer: "ca", Names: []string{"a.example.com"}, KeyID: "gone"}, Wait: time.Minute}
	if _, _, err := newRunner(ca, keeper).Run(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
}

func TestRun_twoAtOnce(t *testing.T) {
	ca := newCA(t)
	store, err := custody.Open(custody.Options{Directory: filepath.Join(t.TempDir(), "storage")})
	if err != nil {
		t.Fatal(err)
	}
	const runs = 8
	journals, adoptions := make([]Journal, runs), make([]bool, runs)
	var wait sync.WaitGroup
	for n := range runs {
		wait.Go(func() {
			var err error
			if journals[n], adoptions[n], err = newRunner(ca, store).Run(t.Context(), wish("a.example.com")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	wantCounts(t, ca, 1, 1, 0)
	adopted := 0
	for n, j := range journals {
		if adoptions[n] {
			adopted++
		}
		if string(j.Certificate) != string(journals[0].Certificate) {
			t.Error("not all have the same certificate")
		}
	}
	if adopted != runs-1 {
		t.Errorf("%d runs adopted, want %d", adopted, runs-1)
	}
}

func TestRun_waitIsBoundedWhileAnotherRunHoldsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, keeper := newCA(t), newMemory()
		if _, err := keeper.Lock(t.Context(), "order-"+wish("a.example.com").Intent.Key()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := newRunner(ca, keeper).Run(ctx, wish("a.example.com")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestRun_certificateThatWasNotOrdered(t *testing.T) {
	other, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, spoil := range map[string]func(*fakeCA){
		"a name is missing": func(c *fakeCA) { c.tamper = func(x *x509.Certificate) { x.DNSNames = x.DNSNames[:1] } },
		"a name too many": func(c *fakeCA) {
			c.tamper = func(x *x509.Certificate) { x.DNSNames = append(x.DNSNames, "evil.example") }
		},
		"another key":     func(c *fakeCA) { c.public = other.Signer().Public() },
		"expired":         func(c *fakeCA) { c.tamper = func(x *x509.Certificate) { x.NotAfter = start } },
		"no intermediate": func(c *fakeCA) { c.chain = func(leaf []byte) []byte { return leaf } },
		"another chain": func(c *fakeCA) {
			c.chain = func(leaf []byte) []byte { return append(leaf, pki.EncodeCertificates(newCA(c.t).root)...) }
		},
		"the chain upside down": func(c *fakeCA) {
			c.chain = func(leaf []byte) []byte { return append(pki.EncodeCertificates(c.root), leaf...) }
		},
		"no certificate":      func(c *fakeCA) { c.chain = func([]byte) []byte { return []byte("<html>") } },
		"damaged certificate": func(c *fakeCA) { c.chain = func(leaf []byte) []byte { return append(leaf[:80], leaf[90:]...) } },
	} {
		t.Run(sentence, func(t *testing.T) {
			ca, keeper := newCA(t), newMemory()
			spoil(ca)
			j, _, err := newRunner(ca, keeper).Run(t.Context(), wish("a.example.com", "b.example.com"))
			if !errors.Is(err, ErrUnacceptable) || len(j.Certificate) != 0 || j.Status == StatusIssued {
				t.Fatalf("status %s, %d bytes, %v, want %v", j.Status, len(j.Certificate), err, ErrUnacceptable)
			}
			saved, err := Load(t.Context(), keeper, j.Intent)
			if err != nil || len(saved.Certificate) != 0 || saved.Status != StatusRejected {
				t.Errorf("kept: status %s, %d bytes, %v", saved.Status, len(saved.Certificate), err)
			}
			wantCounts(t, ca, 1, 1, 0)
		})
	}
}
