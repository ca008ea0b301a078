package order

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrKeyLost says that the private key of an order that was paid for is not in
// the storage any more.
var ErrKeyLost = errors.New("the private key of a paid order is lost")

// paid goes on with an order that was paid for, whatever became of it: nothing is
// bought twice. Where its key is lost, another one is made as long as the CA has
// no signing request; a key that the CA has made is fetched again.
func (r *Runner) paid(ctx context.Context, j Journal, w Wish) (Journal, error) {
	if w.Lineage == "" { // who gave it up wants it back, since it is paid for
		err := changeLineage(ctx, r.Keeper, j.Lineage, func(l *Lineage) (bool, error) {
			released := l.Released
			l.Released = false
			return released, nil
		})
		if err != nil {
			return Journal{}, err
		}
	}
	if j.KeyID == "" {
		return j, nil
	}
	_, err := LoadKey(ctx, r.Keeper, j.KeyID)
	if !errors.Is(err, fs.ErrNotExist) {
		return j, err
	}
	switch {
	case j.Intent.Options.Purchase.KeyAtCA || len(j.Request) == 0:
		if j.Status == StatusIssued {
			j.Status, j.Certificate = StatusIssuing, nil
		}
		return j, nil
	case j.Status == StatusAwaitingInformation || j.Status == StatusRejected:
		if j.KeyID = w.Intent.KeyID; j.KeyID != "" {
			break // the user's wish, and it is not there
		}
		if err := r.prepareKey(ctx, &j, w.Key); err != nil {
			return Journal{}, err
		}
		return j, r.save(ctx, j)
	}
	return Journal{}, fmt.Errorf("%w: %s of the order %s for %s. Put it back from a backup of the storage; without one, cancel the order at the CA and change renewal.force_token, which buys another certificate",
		ErrKeyLost, j.KeyID, j.OrderID, j.Names())
}
