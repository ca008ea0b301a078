package tencentcloud_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// The numbers of the SM2 products for points.
const (
	sm2DV = 1004358
	sm2OV = 1004366
)

// sm2Renewal is a renewal with an SM2 key.
func sm2Renewal(product, original string, names ...string) order.Wish {
	wish := renewal(product, original, names...)
	wish.Intent.Algorithm = pki.SM2
	return wish
}

// validated is an apply whose validation records are there, however they got
// there, that leads to a status. It returns the records that the CA asked for.
func (w *world) validated(wish order.Wish, want order.Status) []order.Record {
	w.t.Helper()
	wish.Wait = 500 * time.Millisecond
	j, err := w.run(wish)
	if err == nil && j.Status == order.StatusAwaitingValidation {
		if err = w.Commercial.PublishRecords(j.OrderID); err != nil {
			w.t.Fatal(err)
		}
		j, err = w.run(wish)
	}
	if err != nil || j.Status != want {
		w.t.Fatalf("status %s (%s, %v), want %s", j.Status, j.Detail, err, want)
	}
	return j.Records
}

// pair checks that a journal has both certificates and the keys of both, and
// returns the certificates' fingerprints.
func (w *world) pair(j order.Journal) (signing, encryption string) {
	w.t.Helper()
	for n, one := range []struct {
		text []byte
		key  string
	}{{j.Certificate, j.KeyID}, {j.Encryption, j.EncryptionKeyID}} {
		chain, err := pki.ParseCertificates(one.text)
		if err != nil || len(chain) != 2 || pki.CheckChain(chain) != nil {
			w.t.Fatalf("certificate %d of the pair: %d in its chain (%v), want 2", n+1, len(chain), err)
		}
		key, err := order.LoadKey(w.t.Context(), w.store, one.key)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := key.Matches(chain[0]); err != nil {
			w.t.Errorf("certificate %d of the pair: %v", n+1, err)
		}
		signing, encryption = encryption, pki.Fingerprint(chain[0])
	}
	return signing, encryption
}

func TestSM2_pairWithEitherMakerOfTheKey(t *testing.T) {
	t.Parallel()
	for sentence, atCA := range map[string]bool{"the key is here, and opens the envelope": false, "the CA makes both keys": true} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			wish := sm2Renewal("dnspod-sm2-dv", w.old(sm2DV, 20, 0, 0, "www.sm2.test"), "www.sm2.test")
			wish.Intent.Options.Purchase.KeyAtCA = atCA
			if records := w.validated(wish, order.StatusIssuing); len(records) != 1 || records[0].Type != "CNAME" {
				t.Errorf("records %+v, want one CNAME", records)
			}
			w.Commercial.Advance(time.Hour)
			j := w.must(wish, order.StatusIssued)
			signing, encryption := w.pair(j)
			if signing == encryption {
				t.Error("both certificates are one")
			}
			if again := w.must(wish, order.StatusIssued); again.EncryptionKeyID != j.EncryptionKeyID {
				t.Errorf("the next run says %q, want %q", again.EncryptionKeyID, j.EncryptionKeyID)
			}
			lineage, err := order.LoadLineage(t.Context(), w.store, j.Lineage)
			if err != nil || len(lineage.Generations) != 1 || lineage.Generations[0].EncryptionKeyID != j.EncryptionKeyID {
				t.Errorf("generations %+v (%v), want one with the encryption key", lineage.Generations, err)
			}
			w.charged(1)
		})
	}
}

// shortLived is a storage whose process dies after so many more writes.
type shortLived struct {
	custody.Store
	writes int
}

var errPerished = errors.New("the process perished")

func (d *shortLived) Put(ctx context.Context, key string, data []byte) error {
	if d.writes == 0 {
		return errPerished
	}
	d.writes--
	return d.Store.Put(ctx, key, data)
}

// Whichever write was the last one, the next run takes the same pair over and
// leaves no key that nobody knows.
func TestSM2_killedWhileItTakesThePair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := sm2Renewal("dnspod-sm2-dv", w.old(sm2DV, 20, 0, 0, "www.sm2.test"), "www.sm2.test")
	w.validated(wish, order.StatusIssuing)
	w.Commercial.Advance(time.Hour)
	whole := w.store
	for writes := range 3 {
		w.store = &shortLived{whole, writes}
		if _, err := w.run(wish); writes < 2 && !errors.Is(err, errPerished) {
			t.Fatalf("after %d writes: %v, want %v", writes, err, errPerished)
		}
	}
	w.store = whole
	first := w.must(wish, order.StatusIssued)
	w.pair(first)
	if second := w.must(wish, order.StatusIssued); second.EncryptionKeyID != first.EncryptionKeyID {
		t.Errorf("encryption key %q, then %q", first.EncryptionKeyID, second.EncryptionKeyID)
	}
	w.charged(1)
}

// GB: a domain that was validated stays so for 13 months for the same company,
// and identical details are not reviewed again (R17, R18).
func TestSM2_validationIsReusedAndTheReviewSpared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company, manager := w.Commercial.AddCompany("Example Ltd.", true)
	wish := sm2Renewal("dnspod-sm2-ov", w.old(sm2OV, 20, company, manager, "www.sm2.test"), "www.sm2.test")
	w.validated(wish, order.StatusOrganizationReview)
	w.Commercial.Advance(7 * day)
	j := w.must(wish, order.StatusIssued)
	first, _ := w.pair(j)

	w.Commercial.Advance(365 * day)
	next := sm2Renewal("dnspod-sm2-ov", j.OrderID, "www.sm2.test")
	next.Intent.Replaces, next.Lineage = first, j.Lineage
	j = w.must(next, order.StatusIssuing)
	if len(j.Records) != 0 {
		t.Errorf("records %+v, want none: the validation is reused", j.Records)
	}
	w.Commercial.Advance(2 * time.Hour) // not the days of a review
	j = w.must(next, order.StatusIssued)
	second, _ := w.pair(j)
	if second == first {
		t.Error("the certificate is the one before")
	}
	w.charged(2)
}

func TestSM2_validationIsNotReused(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		later   time.Duration
		company string
		then    order.Status
	}{
		"after 13 months":     {400 * day, "Example Ltd.", order.StatusIssuing}, // the review is spared all the same
		"for another company": {day, "Other Ltd.", order.StatusOrganizationReview},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			company, manager := w.Commercial.AddCompany("Example Ltd.", true)
			first := sm2Renewal("dnspod-sm2-ov", w.old(sm2OV, 20, company, manager, "www.sm2.test"), "www.sm2.test")
			w.validated(first, order.StatusOrganizationReview)
			w.Commercial.Advance(test.later)
			company, manager = w.Commercial.AddCompany(test.company, true)
			second := sm2Renewal("dnspod-sm2-ov", w.old(sm2OV, 20, company, manager, "www.sm2.test"), "www.sm2.test")
			if records := w.validated(second, test.then); len(records) != 1 {
				t.Errorf("records %+v: the CA did not ask for any", records)
			}
		})
	}
}

func TestSM2_requestOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wish := renewal("dnspod-sm2-dv", w.old(sm2DV, 20, 0, 0, "www.sm2.test"), "www.sm2.test")
	if _, err := w.run(wish); !errors.Is(err, order.ErrRejected) || !strings.Contains(err.Error(), "does not take a key of ECC") {
		t.Errorf("error %v, want the CA's words", err)
	}
	w.charged(0)
}
