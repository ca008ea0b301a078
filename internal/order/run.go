package order

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Issuer drives orders at one CA.
//
// Step does the next thing the journal calls for and returns the journal as it
// is then. It is idempotent: called again with an older journal it finds out
// what was done already. It never places a second order for a journal that
// names one. It returns soon, leaving the waiting to the caller through
// Journal.Wait. With an error, the returned journal is still worth keeping.
type Issuer interface {
	Step(ctx context.Context, j Journal) (Journal, error)
	// Withdraw takes back what Step published, whatever became of the order,
	// and returns the journal without it. Nothing published is no error.
	Withdraw(ctx context.Context, j Journal) (Journal, error)
}

// Keeper stores what must survive the process. Get returns an error that wraps
// fs.ErrNotExist for what is not there. Lock waits for other holders, in any
// process; it is free again when its holder died.
type Keeper interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, data []byte) error
	Delete(ctx context.Context, key string) error
	Lock(ctx context.Context, name string) (unlock func() error, err error)
}

// ErrRejected says that the CA refused the order or a validation; the order is
// over and a later run places a new one.
var ErrRejected = errors.New("the CA rejected the order")

// ErrHeld says that so many orders in a row were rejected that no new one is
// placed for a while: CAs lock out whoever goes on. A wish with another Token
// is not held.
var ErrHeld = errors.New("no order was placed after repeated rejections")

// ErrUnavailable says that the CA could not be asked or would not answer now:
// an outage or a rate limit, which another CA may not have.
var ErrUnavailable = errors.New("the CA is not available")

// ErrUnacceptable says that the CA returned a certificate that is not what was
// ordered. It was not taken over.
var ErrUnacceptable = errors.New("the issued certificate is not what was ordered")

// Wish is what a run should lead to.
type Wish struct {
	Intent Intent
	// Lineage is the identity all generations share; empty for the first,
	// which gets a new one.
	Lineage string
	// Predecessor is the certificate to be replaced; nil for the first.
	Predecessor       *x509.Certificate
	PredecessorIssuer string
	// NotBefore and NotAfter are the dates to ask for; a zero one is left to the
	// CA.
	NotBefore, NotAfter time.Time
	// Key is the private key of Intent.PublicKey; it is used and not kept.
	Key pki.Key
	// Supplies are what else the order may need.
	Supplies Supplies
	// Wait bounds the time spent on the order; an order that is still open
	// then is returned as it is.
	Wait time.Duration
}

// Runner drives orders to their end.
type Runner struct {
	Issuer Issuer
	Keeper Keeper
	Logger *slog.Logger
	// Now is the clock for the dates of certificates and journals.
	Now func() time.Time
}

// withdrawTimeout bounds the cleaning up after a cancelled or failed order.
const withdrawTimeout = 1500 * time.Millisecond

// Run finds or places the order for a wish and drives it until it is final or
// the wait is over. Adopted says that the certificate was there already, issued
// for an earlier run or another machine. A rejected order is returned as
// ErrRejected, and the next Run with the same wish starts a new one. When ctx
// ends, the records are withdrawn and the journal stays for the next run.
func (r *Runner) Run(ctx context.Context, w Wish) (j Journal, adopted bool, err error) {
	unlock, err := r.Keeper.Lock(ctx, "order-"+w.Intent.Key())
	if err != nil {
		return Journal{}, false, fmt.Errorf("lock the order for %s: %w", strings.Join(w.Intent.Names, ", "), err)
	}
	defer func() {
		if err := unlock(); err != nil {
			r.Logger.WarnContext(ctx, "release order lock", "error", err)
		}
	}()
	j, err = r.open(ctx, w)
	if err != nil {
		return j, false, err
	}
	if j.Status == StatusIssued {
		// A run that was killed in time may have left both undone.
		r.tidy(ctx, &j)
		r.record(ctx, j)
		return j, true, nil
	}
	resumed, asked := j.OrderID != "", !j.DatesRefused
	j.Supplies = w.Supplies
	j, err = r.drive(ctx, j, w.Wait)
	if j.Paid {
		return j, false, err
	}
	// The order of an interrupted run died with it, for want of its records; or
	// the CA takes the order, but not with the dates that were asked for.
	if errors.Is(err, ErrRejected) && (resumed || asked && j.DatesRefused) {
		if j, err = r.restart(ctx, j, w); err == nil {
			j.Supplies = w.Supplies
			j, err = r.drive(ctx, j, w.Wait)
		}
	}
	return j, false, err
}

// open loads the journal of a wish or starts one.
func (r *Runner) open(ctx context.Context, w Wish) (Journal, error) {
	j, err := Load(ctx, r.Keeper, w.Intent)
	switch {
	case errors.Is(err, ErrNoJournal):
		return r.start(ctx, w)
	case err != nil:
		return Journal{}, err
	}
	usable, err := r.usable(ctx, &j, w)
	if err != nil {
		return Journal{}, err
	}
	if j.Paid {
		return r.paid(ctx, j, w)
	}
	if !usable {
		if _, err := r.clear(ctx, j); err != nil {
			return Journal{}, err
		}
		return r.start(ctx, w)
	}
	if j.Status == StatusRejected || j.Status == StatusExpired {
		if until := j.heldUntil(); r.Now().Before(until) {
			return Journal{}, fmt.Errorf("%w for %s: %d in a row, the last one: %s; the next try is at %s", ErrHeld, j.Names(), j.Failures, j.Detail, until.Format(time.RFC3339))
		}
		return r.restart(ctx, j, w)
	}
	return j, nil
}

// usable reports whether a run can go on with the journal of an earlier one:
// its key is still there or of no use any more, and a certificate in it was not
// given up by its owner and is what was ordered. It may have expired since; who follows generations
// needs it then.
func (r *Runner) usable(ctx context.Context, j *Journal, w Wish) (bool, error) {
	for _, id := range []string{j.KeyID, j.EncryptionKeyID} {
		if id == "" {
			continue
		}
		_, err := LoadKey(ctx, r.Keeper, id)
		if errors.Is(err, fs.ErrNotExist) {
			if j.Superseded, err = r.followed(ctx, *j, w); err != nil || !j.Superseded {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
	}
	if j.Status != StatusIssued {
		return true, nil
	}
	lineage, err := LoadLineage(ctx, r.Keeper, j.Lineage)
	if err != nil || (lineage.Released && w.Lineage == "") {
		return false, err
	}
	// A run may have been killed between keeping the certificate and checking it.
	if err := CheckIssued(*j, j.CreatedAt); err != nil {
		r.Logger.WarnContext(ctx, "pass over a kept certificate", "names", j.Intent.Names, "error", err)
		return false, nil
	}
	return true, nil
}

// followed reports whether the certificate of a journal was replaced in answer
// to the same wish: it is a step on the way to the newest one then, and nobody
// needs its key, which was pruned.
func (r *Runner) followed(ctx context.Context, j Journal, w Wish) (bool, error) {
	if j.Status != StatusIssued {
		return false, nil
	}
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		return false, nil // a kept certificate that cannot be read is passed over
	}
	next := w.Intent
	next.Replaces = pki.Fingerprint(chain[0])
	successor, err := Load(ctx, r.Keeper, next)
	if errors.Is(err, ErrNoJournal) {
		return false, nil
	}
	return err == nil && successor.Status == StatusIssued, err
}

// start makes key and request, and writes the journal before anything is asked
// of the CA.
func (r *Runner) start(ctx context.Context, w Wish) (Journal, error) {
	j := Journal{
		Intent: w.Intent, Lineage: w.Lineage, KeyID: w.Intent.KeyID, Request: w.Intent.Request,
		CreatedAt: r.Now().UTC(), NotBefore: w.NotBefore.UTC(), NotAfter: w.NotAfter.UTC(), Status: StatusPlanned,
		PredecessorIssuer: w.PredecessorIssuer,
	}
	if w.Predecessor != nil {
		j.Predecessor = w.Predecessor.Raw
	}
	if j.Lineage == "" {
		j.Lineage = NewID()
	}
	switch {
	case w.Intent.Options.Purchase.KeyAtCA:
		j.KeyID = NewID() // for the key that the CA will hand out
	case len(j.Request) == 0:
		if err := r.prepareKey(ctx, &j, w.Key); err != nil {
			return Journal{}, err
		}
	}
	return j, r.save(ctx, j)
}

// prepareKey makes the signing request with the caller's own key, a stored one,
// or a new one that is stored first.
func (r *Runner) prepareKey(ctx context.Context, j *Journal, own pki.Key) error {
	var key pki.Key
	var err error
	switch {
	case !own.Empty():
		key = own
	case j.KeyID != "":
		key, err = LoadKey(ctx, r.Keeper, j.KeyID)
	default:
		j.KeyID = NewID()
		key, err = r.newKey(ctx, j.KeyID, j.Intent.Algorithm)
	}
	if err != nil {
		return err
	}
	j.Request, err = pki.NewRequest(key, j.Intent.Names, j.Intent.Options.Subject, j.Intent.Options.MustStaple)
	return err
}

func (r *Runner) newKey(ctx context.Context, id string, algorithm pki.Algorithm) (pki.Key, error) {
	key, err := pki.GenerateKey(algorithm)
	if err != nil {
		return pki.Key{}, err
	}
	return key, StoreKey(ctx, r.Keeper, id, key)
}

// restart begins a new order for a wish whose last one failed, with the same
// lineage, key and request: nothing was issued for them.
func (r *Runner) restart(ctx context.Context, old Journal, w Wish) (Journal, error) {
	old, err := r.clear(ctx, old)
	if err != nil {
		return Journal{}, err
	}
	j := Journal{
		Intent: old.Intent, Lineage: old.Lineage, KeyID: old.KeyID, Request: old.Request,
		CreatedAt: r.Now().UTC(), NotBefore: w.NotBefore.UTC(), NotAfter: w.NotAfter.UTC(), Status: StatusPlanned,
		Predecessor: old.Predecessor, PredecessorIssuer: old.PredecessorIssuer,
		DatesRefused: old.DatesRefused, Failures: old.Failures, LastFailure: old.LastFailure,
	}
	if j.DatesRefused {
		j.NotBefore, j.NotAfter = time.Time{}, time.Time{}
	}
	return j, r.save(ctx, j)
}

// clear withdraws what an order that will not be continued has published.
func (r *Runner) clear(ctx context.Context, j Journal) (Journal, error) {
	if len(j.Records) == 0 {
		return j, nil
	}
	cleaned, err := r.Issuer.Withdraw(ctx, j)
	if err != nil {
		return j, fmt.Errorf("withdraw the records of the earlier order for %s: %w", j.Names(), err)
	}
	return cleaned, nil
}

// finish cleans up after a final order and checks what was issued.
func (r *Runner) finish(ctx context.Context, j Journal) (Journal, error) {
	if j.Paid && j.Status != StatusIssued {
		// The money is spent: an error would have Terraform forget the order.
		return j, errors.Join(r.save(context.WithoutCancel(ctx), j), r.withdraw(ctx, &j))
	}
	if j.Status != StatusIssued {
		if j.Status == StatusRejected && !j.DatesRefused {
			j.Failures, j.LastFailure = j.Failures+1, r.Now().UTC()
		}
		err := r.save(context.WithoutCancel(ctx), j)
		return j, errors.Join(fmt.Errorf("%w for %s: %s", ErrRejected, j.Names(), j.Detail), err, r.withdraw(ctx, &j))
	}
	if err := CheckIssued(j, r.Now()); err != nil {
		j.Status, j.Detail = StatusRejected, err.Error()
		j.Certificate, j.Encryption = nil, nil
		j.Failures, j.LastFailure = j.Failures+1, r.Now().UTC()
		return j, errors.Join(err, r.save(context.WithoutCancel(ctx), j), r.withdraw(ctx, &j))
	}
	r.tidy(ctx, &j)
	r.record(ctx, j)
	return j, nil
}

// record notes an issued certificate in its lineage. A failure must not cost
// the certificate: whoever finds the journal again records it then.
func (r *Runner) record(ctx context.Context, j Journal) {
	chain, err := pki.ParseCertificates(j.Certificate)
	if err == nil {
		err = AddGeneration(context.WithoutCancel(ctx), r.Keeper, j.Lineage, Generation{
			Fingerprint: pki.Fingerprint(chain[0]), KeyID: j.KeyID, EncryptionKeyID: j.EncryptionKeyID, Journal: j.Intent.Key(),
			Issuer: j.Intent.Issuer, NotAfter: chain[0].NotAfter,
		})
	}
	if err != nil {
		r.Logger.WarnContext(ctx, "record the certificate", "names", j.Intent.Names, "error", err)
	}
}

// tidy withdraws what is left of an order that led to a certificate. A record
// that stays behind does no harm and must not cost the certificate.
func (r *Runner) tidy(ctx context.Context, j *Journal) {
	if err := r.withdraw(ctx, j); err != nil {
		r.Logger.WarnContext(ctx, "withdraw validation records", "names", j.Intent.Names, "error", err)
	}
}

// kept is the part of a journal that is saved.
func kept(j Journal) Journal {
	j.Wait, j.Supplies = 0, Supplies{}
	return j
}

// withdraw takes the records back even when ctx has ended.
func (r *Runner) withdraw(ctx context.Context, j *Journal) error {
	if len(j.Records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	cleaned, err := r.Issuer.Withdraw(ctx, *j)
	if err != nil {
		return fmt.Errorf("withdraw validation records: %w", err)
	}
	*j = cleaned
	return r.save(ctx, cleaned)
}

func (r *Runner) save(ctx context.Context, j Journal) error {
	text, err := encodeJournal(j)
	if err != nil {
		return fmt.Errorf("encode the order's journal: %w", err)
	}
	if err := r.Keeper.Put(ctx, journalKey(j.Intent), text); err != nil {
		return fmt.Errorf("save the journal of the order for %s: %w", j.Names(), err)
	}
	return nil
}

// NewID makes a random identity: 20 hex digits.
func NewID() string {
	var b [10]byte
	// crypto/rand.Read never fails (Go 1.24).
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// KeyIDOf is the id for the key of a certificate that was made elsewhere: it
// follows from the certificate, so that taking it over again finds the same.
func KeyIDOf(c *x509.Certificate) string { return pki.Fingerprint(c)[:len(NewID())] }
