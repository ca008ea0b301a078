package tencentcloud

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// takePair takes the other half of an SM2 pair over. Other products have none.
func (i *Issuer) takePair(ctx context.Context, j order.Journal, found *detail) (order.Journal, error) {
	if value(found.EncryptCert) == "" {
		return j, nil
	}
	var signing pki.Key
	var err error
	if j.KeyID != "" {
		if signing, err = order.LoadKey(ctx, i.keeper, j.KeyID); err != nil {
			return j, err
		}
	}
	encryption, key, err := openPair(signing, found)
	if err != nil {
		return j, err
	}
	// A run that finds this half-done overwrites what the one before has stored.
	id := order.KeyIDOf(encryption[0])
	if err := order.StoreKey(ctx, i.keeper, id, key); err != nil {
		return j, err
	}
	j.Encryption, j.EncryptionKeyID = pki.EncodeCertificates(encryption...), id
	return j, nil
}

// errSealed says that a key is in an envelope that cannot be opened.
var errSealed = errors.New("the envelope of its key cannot be opened")

// openPair reads the encryption certificate of an SM2 pair and its key. The CA
// makes that key: it hands it out as it is where it has made the signing key too,
// else in an envelope for the owner of that.
func openPair(signing pki.Key, found *detail) (encryption []*x509.Certificate, key pki.Key, err error) {
	text := value(found.EncryptCert)
	if text == "" {
		return nil, pki.Key{}, nil
	}
	if encryption, err = pki.ParseCertificates([]byte(text)); err == nil {
		if key, err = signing.OpenEnveloped([]byte(value(found.EncryptPrivateKey))); err != nil {
			err = fmt.Errorf("%w: %w", errSealed, err)
		} else {
			err = key.Matches(encryption[0])
		}
	}
	if err != nil {
		return encryption, pki.Key{}, fmt.Errorf("the encryption certificate of %s at the CA: %w", value(found.CertificateId), err)
	}
	return encryption, key, nil
}
