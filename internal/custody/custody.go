// Package custody keeps what a run must find again: account keys, private keys,
// order journals, and the locks that stop two runs from working on one lineage.
//
// It stores bytes under slash-separated keys and knows nothing about what the
// bytes mean; who may read a private key, and in which format it is kept, is
// decided by the callers. It is no cache: whatever [Store.Put] acknowledged is
// there after a power cut.
//
// Invariant: a value is read back whole, as one Put wrote it, or not at all.
// No reader sees half a value, whatever was killed and whichever disk was full,
// and no value is replaced or removed by somebody who could not have read it.
package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

var (
	// ErrNotFound reports that no value is stored under the key; it wraps
	// fs.ErrNotExist.
	ErrNotFound = fmt.Errorf("nothing is stored under this key: %w", fs.ErrNotExist)

	// ErrInvalidKey reports a key, prefix or lock name that [CheckKey] refuses.
	ErrInvalidKey = errors.New("invalid storage key")

	// ErrUnusable reports a place that cannot hold the storage: not a
	// directory, not writable, or open to other users of the machine.
	ErrUnusable = errors.New("storage is not usable")

	// ErrUnreadable reports a value that is there but cannot be read with the
	// configured encryption: another identity, none where one is needed, or
	// one where the value is not encrypted. The value is left as it is.
	ErrUnreadable = errors.New("stored value is not readable with this encryption")

	// ErrRecipient reports age recipients that cannot be encrypted to.
	ErrRecipient = errors.New("no usable age recipients")

	// ErrNoIdentity reports age recipients without an identity, so that what is
	// stored could not be read again.
	ErrNoIdentity = errors.New("there are age recipients but no identity to read with: set encryption.age_identity")

	// ErrLockLost reports that a lock ended before its holder released it, so
	// that somebody else may work under it by now.
	ErrLockLost = errors.New("the connection that held the lock was lost")
)

// Store keeps bytes under keys such as "accounts/<hex>", "keys/<id>",
// "journals/<hex>" or "lineages/<id>"; [CheckKey] says what a key looks like. A
// key is a value or a folder of others, never both. All methods are safe for
// concurrent use by goroutines and by processes that share the storage.
type Store interface {
	// Put stores data under key and replaces what was there. When it returns
	// nil the value survives a crash of the machine; when it returns an error
	// the earlier value is still there, unharmed, or, where the storage failed
	// before it could answer, the new one.
	Put(ctx context.Context, key string, data []byte) error

	// Get returns the value under key, or an error that wraps ErrNotFound. The
	// caller owns the returned bytes.
	Get(ctx context.Context, key string) ([]byte, error)

	// Delete removes the value under key. Removing what is not there is no
	// error, so that an interrupted clean-up can be repeated.
	Delete(ctx context.Context, key string) error

	// List returns the keys that begin with prefix, sorted; "" lists all.
	List(ctx context.Context, prefix string) ([]string, error)

	// Lock waits until nobody else holds the lock called name, or until ctx
	// ends. The lock is exclusive, not re-entrant, and independent of a value
	// with the same key. It is released by unlock (calling it again does
	// nothing) and by the death of the process that holds it.
	Lock(ctx context.Context, name string) (unlock func() error, err error)
}

// Options say where the storage is and how its values are protected.
type Options struct {
	Directory     string      // path; see [OpenDirectory]
	AgeIdentity   secret.Text // see [Seal]; empty keeps the values in the clear
	AgeRecipients []string    // see [Seal]
}

// Open returns the store that opts describe. It creates nothing: a directory
// that does not exist yet is made by the first Put or Lock.
func Open(opts Options) (Store, error) {
	dir, err := OpenDirectory(opts.Directory)
	if err != nil {
		return nil, err
	}
	return Seal(dir, opts.AgeIdentity, opts.AgeRecipients...)
}

const (
	maxKey  = 512 // bytes in a key
	maxName = 200 // bytes between two slashes; file names end at 255
)

// CheckKey returns an error that wraps [ErrInvalidKey] unless key is a relative
// slash path whose elements consist of a-z, 0-9, ".", "_" and "-" and begin with
// a letter or a digit. Upper case is refused because some file systems fold it,
// the first element "locks" because the locks live there.
func CheckKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	}
	if len(key) > maxKey {
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrInvalidKey, len(key), maxKey)
	}
	for i, element := range strings.Split(key, "/") {
		if i == 0 && element == locksFolder {
			return fmt.Errorf("%w %q: %q is reserved for locks", ErrInvalidKey, key, locksFolder+"/")
		}
		if err := checkElement(element); err != nil {
			return fmt.Errorf("%w %q: %w", ErrInvalidKey, key, err)
		}
	}
	return nil
}

func checkElement(element string) error {
	if element == "" {
		return errors.New("an element is empty; write a relative path without doubled slashes")
	}
	if len(element) > maxName {
		return fmt.Errorf("an element has %d bytes, the most is %d", len(element), maxName)
	}
	for i, c := range []byte(element) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '.' || c == '_' || c == '-':
			if i == 0 {
				return fmt.Errorf("element %q begins with %q; begin with a letter or digit", element, c)
			}
		default:
			return fmt.Errorf("element %q has %q; use a-z, 0-9, dot, underscore and hyphen", element, c)
		}
	}
	return nil
}

// checkPrefix accepts "" and what CheckKey does, with or without a last slash.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}
