// Package custodytest is the conformance suite of custody.Store: what every
// storage, encrypted or not, must do. It tests nothing that is particular to
// one of them, such as file modes. Invariant: a storage that passes can stand
// in for any other without its callers noticing.
package custodytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
)

// Storage makes an empty storage, and returns a function that opens it: each
// call a new handle, as another run would have.
type Storage func(t *testing.T) (open func() custody.Store)

// Run tests the stores that storage makes.
func Run(t *testing.T, storage Storage) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open func() custody.Store)
	}{
		{"a value is read back as it was written", readBack},
		{"a later Put replaces, and another handle sees it", replace},
		{"what is not there is ErrNotFound", notFound},
		{"Delete removes one value, and again is no error", remove},
		{"List returns the keys that begin with the prefix, sorted", list},
		{"a bad key is refused by every method", badKeys},
		{"the caller may change its bytes afterwards", aliasing},
		{"readers of a value being replaced see it whole", wholeValues},
		{"nothing is done for a context that has ended", endedContext},
		{"a lock has one holder among goroutines and handles", exclusion},
		{"waiting for a lock ends with the context", lockWait},
		{"locks of different names are independent, of values too", lockNames},
		{"unlock twice releases once", unlockTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, storage(t))
		})
	}
}

func readBack(t *testing.T, open func() custody.Store) {
	store := open()
	for key, want := range map[string][]byte{
		"accounts/0a":          []byte("text"),
		"keys/with.dots_and-x": {0, 1, 0xff, '\n'},
		"empty":                {},
		"journals/deep/er/1":   bytes.Repeat([]byte("0123456789abcdef"), 1<<14),
	} {
		put(t, store, key, want)
		wantValue(t, store, key, want)
	}
}

func replace(t *testing.T, open func() custody.Store) {
	one, other := open(), open()
	put(t, one, "lineages/a", []byte("a long first value"))
	put(t, one, "lineages/a", []byte("second"))
	wantValue(t, other, "lineages/a", []byte("second"))
}

func notFound(t *testing.T, open func() custody.Store) {
	store := open()
	for _, key := range []string{"absent", "absent/too"} {
		if got, err := store.Get(t.Context(), key); !errors.Is(err, custody.ErrNotFound) {
			t.Errorf("Get(%q) = %q, %v; want ErrNotFound", key, got, err)
		}
	}
}

func remove(t *testing.T, open func() custody.Store) {
	store := open()
	put(t, store, "keys/a", []byte("a"))
	put(t, store, "keys/b", []byte("b"))
	for range 2 {
		if err := store.Delete(t.Context(), "keys/a"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	if _, err := open().Get(t.Context(), "keys/a"); !errors.Is(err, custody.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	wantValue(t, store, "keys/b", []byte("b"))
}

func list(t *testing.T, open func() custody.Store) {
	store := open()
	wantKeys(t, store, "")
	for _, key := range []string{"keys/b", "keys/a/1", "keys/a-1", "keys2", "journals/x"} {
		put(t, store, key, []byte("x"))
	}
	unlock, err := store.Lock(t.Context(), "lineages/x")
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, unlock)
	wantKeys(t, store, "", "journals/x", "keys/a-1", "keys/a/1", "keys/b", "keys2")
	wantKeys(t, store, "keys", "keys/a-1", "keys/a/1", "keys/b", "keys2")
	wantKeys(t, store, "keys/", "keys/a-1", "keys/a/1", "keys/b")
	wantKeys(t, store, "keys/a", "keys/a-1", "keys/a/1")
	wantKeys(t, store, "accounts/")
}

func badKeys(t *testing.T, open func() custody.Store) {
	store, ctx := open(), t.Context()
	for _, key := range []string{
		"", "/etc/passwd", "..", "../a", "a/../b", "a//b", "a/", "./a", ".hidden", "a/.tmp-1", "-rf", "A", "a b", "a\\b",
		"a~b", "a:b", "schlüssel", "a\x00", "locks/a", strings.Repeat("a", 201), strings.Repeat("a/", 300) + "a",
	} {
		_, getErr := store.Get(ctx, key)
		_, lockErr := store.Lock(ctx, key)
		for method, err := range map[string]error{
			"Get": getErr, "Lock": lockErr, "Put": store.Put(ctx, key, nil), "Delete": store.Delete(ctx, key),
		} {
			if !errors.Is(err, custody.ErrInvalidKey) {
				t.Errorf("%s(%q): %v, want ErrInvalidKey", method, key, err)
			}
		}
	}
	if _, err := store.List(ctx, "../"); !errors.Is(err, custody.ErrInvalidKey) {
		t.Errorf("List(%q): %v, want ErrInvalidKey", "../", err)
	}
	wantKeys(t, store, "")
}

func aliasing(t *testing.T, open func() custody.Store) {
	store := open()
	data := []byte("before")
	put(t, store, "keys/a", data)
	copy(data, "AFTER!")
	got, err := store.Get(t.Context(), "keys/a")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "AFTER!")
	wantValue(t, store, "keys/a", []byte("before"))
}

func wholeValues(t *testing.T, open func() custody.Store) {
	put(t, open(), "journals/hot", Pattern(0))
	var writers sync.WaitGroup
	var done atomic.Bool
	for w := range 2 {
		store := open()
		writers.Go(func() {
			for i := range 20 {
				if err := store.Put(t.Context(), "journals/hot", Pattern(2*i+w)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for store := open(); !done.Load(); {
			got, err := store.Get(t.Context(), "journals/hot")
			if err != nil || CheckPattern(got) != nil {
				t.Errorf("Get while writing: %v, %v", err, CheckPattern(got))
				return
			}
		}
	})
	writers.Wait()
	done.Store(true)
	reader.Wait()
	wantKeys(t, open(), "", "journals/hot")
}

func endedContext(t *testing.T, open func() custody.Store) {
	store := open()
	put(t, store, "keys/a", []byte("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := store.Get(ctx, "keys/a")
	_, listErr := store.List(ctx, "")
	for method, err := range map[string]error{
		"Get": getErr, "List": listErr, "Put": store.Put(ctx, "keys/a", []byte("b")), "Delete": store.Delete(ctx, "keys/a"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", method, err)
		}
	}
	wantValue(t, store, "keys/a", []byte("a"))
}

func exclusion(t *testing.T, open func() custody.Store) {
	shared := open()
	var inside atomic.Int32
	var wait sync.WaitGroup
	for i := range 12 {
		store := shared
		if i%2 == 0 {
			store = open()
		}
		wait.Go(func() {
			unlock, err := store.Lock(t.Context(), "lineages/a")
			if err != nil {
				t.Errorf("Lock: %v", err)
				return
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d holders", n)
			}
			if err := store.Put(t.Context(), "lineages/a", []byte("held")); err != nil {
				t.Errorf("Put under the lock: %v", err)
			}
			inside.Add(-1)
			release(t, unlock)
		})
	}
	wait.Wait()
}

func lockWait(t *testing.T, open func() custody.Store) {
	holder := open()
	unlock, err := holder.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]custody.Store{"same handle": holder, "another handle": open()} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if _, err := store.Lock(ctx, "lineages/a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Lock of a held lock: %v, want DeadlineExceeded", name, err)
		}
		cancel()
	}
	release(t, unlock)
	again, err := open().Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatalf("Lock after unlock: %v", err)
	}
	release(t, again)
}

func lockNames(t *testing.T, open func() custody.Store) {
	store := open()
	for _, name := range []string{"a", "a/b", "a/b/c", "a-b", "a.b"} {
		unlock, err := store.Lock(t.Context(), name)
		if err != nil {
			t.Fatalf("Lock(%q): %v", name, err)
		}
		defer release(t, unlock)
	}
	put(t, store, "a/b/c", []byte("under its own lock"))
}

func unlockTwice(t *testing.T, open func() custody.Store) {
	store := open()
	first, err := store.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	release(t, first)
	second, err := store.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, second)
	release(t, first)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := store.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock after a second unlock of an earlier lock: %v, want DeadlineExceeded", err)
	}
}

// Pattern returns a value that [CheckPattern] recognises when it is whole; n
// decides its content and its length, some tens of kilobytes.
func Pattern(n int) []byte {
	body := bytes.Repeat([]byte{'a' + byte(n%26)}, 20_000+997*(n%26))
	return fmt.Appendf(body, "|%d|end", len(body))
}

// CheckPattern returns an error unless data is one whole [Pattern].
func CheckPattern(data []byte) error {
	if len(data) == 0 {
		return errors.New("empty value")
	}
	if n := int(data[0]) - 'a'; n < 0 || n > 25 || !bytes.Equal(data, Pattern(n)) {
		return fmt.Errorf("torn value of %d bytes", len(data))
	}
	return nil
}

func put(t *testing.T, store custody.Store, key string, data []byte) {
	t.Helper()
	if err := store.Put(t.Context(), key, data); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

func wantValue(t *testing.T, store custody.Store, key string, want []byte) {
	t.Helper()
	got, err := store.Get(t.Context(), key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Get(%q) = %.40q, %v; want %.40q", key, got, err, want)
	}
}

func wantKeys(t *testing.T, store custody.Store, prefix string, want ...string) {
	t.Helper()
	got, err := store.List(t.Context(), prefix)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("List(%q) = %q, %v; want %q", prefix, got, err, want)
	}
}

func release(t *testing.T, unlock func() error) {
	t.Helper()
	if err := unlock(); err != nil {
		t.Errorf("unlock: %v", err)
	}
}
