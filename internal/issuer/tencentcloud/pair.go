package tencentcloud

import (
	"context"
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// takePair takes the encryption certificate of an SM2 pair and its key over. The
// CA makes that key: it hands it out as it is where it has made the signing key
// too, else in an envelope for the owner of that. Other products have none.
func (i *Issuer) takePair(ctx context.Context, j order.Journal, found *detail) (order.Journal, error) {
	text := value(found.EncryptCert)
	if text == "" {
		return j, nil
	}
	problem := func(err error) error {
		return fmt.Errorf("the encryption certificate of %s at the CA: %w", j.OrderID, err)
	}
	encryption, err := pki.ParseCertificates([]byte(text))
	if err != nil {
		return j, problem(err)
	}
	var signing pki.Key
	if j.KeyID != "" {
		if signing, err = order.LoadKey(ctx, i.keeper, j.KeyID); err != nil {
			return j, err
		}
	}
	key, err := signing.OpenEnveloped([]byte(value(found.EncryptPrivateKey)))
	if err != nil {
		return j, problem(err)
	}
	if err := key.Matches(encryption[0]); err != nil {
		return j, problem(err)
	}
	// Its id follows from the certificate, so that a run that finds this
	// half-done overwrites what the one before has stored.
	id := pki.Fingerprint(encryption[0])[:len(order.NewID())]
	if err := order.StoreKey(ctx, i.keeper, id, key); err != nil {
		return j, err
	}
	j.Encryption, j.EncryptionKeyID = pki.EncodeCertificates(encryption...), id
	return j, nil
}
