package order

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// ErrNoJournal says that nothing was ever journalled for an intent.
var ErrNoJournal = errors.New("no journal for this order")

func journalKey(i Intent) string { return "journals/" + i.Key() }
func keyKey(id string) string    { return "keys/" + id }

// Load reads the journal of an intent; ErrNoJournal when there is none.
func Load(ctx context.Context, keeper Keeper, i Intent) (Journal, error) {
	j, err := LoadJournal(ctx, keeper, i.Key())
	if err != nil && !errors.Is(err, ErrNoJournal) {
		return j, fmt.Errorf("the order for %q: %w", i.Names, err)
	}
	return j, err
}

// LoadJournal reads a journal by the key of its intent.
func LoadJournal(ctx context.Context, keeper Keeper, key string) (Journal, error) {
	text, err := keeper.Get(ctx, "journals/"+key)
	if errors.Is(err, fs.ErrNotExist) {
		return Journal{}, ErrNoJournal
	}
	if err != nil {
		return Journal{}, fmt.Errorf("read the order's journal: %w", err)
	}
	return decodeJournal(text)
}

// LoadKey reads a stored private key by its id.
func LoadKey(ctx context.Context, keeper Keeper, id string) (pki.Key, error) {
	text, err := keeper.Get(ctx, keyKey(id))
	if err != nil {
		return pki.Key{}, fmt.Errorf("read private key %s: %w", id, err)
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		return pki.Key{}, fmt.Errorf("read private key %s: %w", id, err)
	}
	return key, nil
}

// StoreKey stores a private key under an id that was never used before.
func StoreKey(ctx context.Context, keeper Keeper, id string, key pki.Key) error {
	text, err := key.PEM()
	if err != nil {
		return err
	}
	if err := keeper.Put(ctx, keyKey(id), text); err != nil {
		return fmt.Errorf("store private key %s: %w", id, err)
	}
	return nil
}
