package order

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Generation is one certificate of a lineage.
type Generation struct {
	Fingerprint string `json:"fingerprint"`
	KeyID       string `json:"key_id,omitempty"`
	// EncryptionKeyID is the key of the other certificate of an SM2 pair.
	EncryptionKeyID string    `json:"encryption_key_id,omitempty"`
	Journal         string    `json:"journal,omitempty"` // key of its intent; empty for an imported one
	Issuer          string    `json:"issuer,omitempty"`
	NotAfter        time.Time `json:"not_after"`
}

// Lineage is the record of all certificates that one owner has had.
type Lineage struct {
	// Released says that the owner gave it up: certificates and keys stay, but
	// a new wish no longer adopts them.
	Released bool `json:"released,omitempty"`
	// Generations are the certificates that were not pruned, the oldest first.
	Generations []Generation `json:"generations,omitempty"`
}

func lineageKey(id string) string { return "lineages/" + id }

// LoadLineage reads a lineage; an empty one when nothing is recorded.
func LoadLineage(ctx context.Context, keeper Keeper, id string) (Lineage, error) {
	text, err := keeper.Get(ctx, lineageKey(id))
	if errors.Is(err, fs.ErrNotExist) {
		return Lineage{}, nil
	}
	if err != nil {
		return Lineage{}, fmt.Errorf("read the record of %s: %w", id, err)
	}
	var l Lineage
	if err := json.Unmarshal(text, &l); err != nil {
		return Lineage{}, fmt.Errorf("read the record of %s: %w", id, err)
	}
	return l, nil
}

// changeLineage applies a change to a lineage under its lock; a change that
// returns false is not written.
func changeLineage(ctx context.Context, keeper Keeper, id string, change func(*Lineage) (bool, error)) (err error) {
	unlock, err := keeper.Lock(ctx, "lineage-"+id)
	if err != nil {
		return fmt.Errorf("lock the record of %s: %w", id, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	l, err := LoadLineage(ctx, keeper, id)
	if err != nil {
		return err
	}
	changed, err := change(&l)
	if err != nil || !changed {
		return err
	}
	text, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", id, err)
	}
	if err := keeper.Put(ctx, lineageKey(id), text); err != nil {
		return fmt.Errorf("save the record of %s: %w", id, err)
	}
	return nil
}

// AddGeneration records a certificate of a lineage; one that is there stays.
func AddGeneration(ctx context.Context, keeper Keeper, id string, g Generation) error {
	return changeLineage(ctx, keeper, id, func(l *Lineage) (bool, error) {
		known := slices.ContainsFunc(l.Generations, func(k Generation) bool { return k.Fingerprint == g.Fingerprint })
		l.Generations = append(l.Generations, g)
		return !known, nil
	})
}

// Release marks a lineage as given up by its owner.
func Release(ctx context.Context, keeper Keeper, id string) error {
	return changeLineage(ctx, keeper, id, func(l *Lineage) (bool, error) {
		l.Released = true
		return true, nil
	})
}

// keptJournals is how many journals of a lineage always stay: a state that is
// behind finds the newest certificate through them.
const keptJournals = 5

// Prune deletes the private keys of all but the newest keep generations of a
// lineage, and journals that no state should need any more. A key that a newer
// generation uses too stays.
func Prune(ctx context.Context, keeper Keeper, id string, keep int) error {
	return changeLineage(ctx, keeper, id, func(l *Lineage) (bool, error) {
		cut := max(len(l.Generations)-keep, 0)
		used := l.Generations[cut:]
		changed := false
		for n := range cut {
			g := &l.Generations[n]
			for _, id := range []*string{&g.KeyID, &g.EncryptionKeyID} {
				if *id == "" || slices.ContainsFunc(used, func(u Generation) bool { return u.KeyID == *id || u.EncryptionKeyID == *id }) {
					continue
				}
				if err := keeper.Delete(ctx, keyKey(*id)); err != nil {
					return false, fmt.Errorf("delete private key %s: %w", *id, err)
				}
				*id, changed = "", true
			}
		}
		old := max(len(l.Generations)-max(keep, keptJournals), 0)
		for _, g := range l.Generations[:old] {
			if g.Journal == "" {
				continue
			}
			if err := keeper.Delete(ctx, "journals/"+g.Journal); err != nil {
				return false, fmt.Errorf("delete journal %s: %w", g.Journal, err)
			}
		}
		l.Generations = l.Generations[old:]
		return changed || old > 0, nil
	})
}
