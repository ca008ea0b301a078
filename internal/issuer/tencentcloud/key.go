package tencentcloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// findKey finds the private key of a certificate that was issued. That is the one
// of the journal's request, unless somebody else placed the order: then it is at
// the CA (fromCA, with an id to store it under), or one of the certificates
// before.
func (i *Issuer) findKey(ctx context.Context, j order.Journal, found *detail) (_ order.Journal, fromCA bool, err error) {
	chain, err := pki.ParseCertificates([]byte(value(found.CertificatePublicKey)))
	if err != nil {
		return j, false, fmt.Errorf("the certificate %s at the CA: %w", j.OrderID, err)
	}
	atCA := j.Intent.Options.Purchase.KeyAtCA
	switch {
	case len(j.Request) > 0 && pki.CheckIssued(chain[0], j.Request) == nil:
		return j, false, nil
	case value(found.CertificatePrivateKey) != "":
		if !atCA {
			j.KeyID, j.Request = order.NewID(), nil
		}
		return j, true, nil
	}
	lineage, err := order.LoadLineage(ctx, i.keeper, j.Lineage)
	if err != nil {
		return j, false, err
	}
	for _, g := range lineage.Generations {
		if g.KeyID == "" {
			continue
		}
		key, err := order.LoadKey(ctx, i.keeper, g.KeyID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return j, false, err
		}
		if err == nil && key.Matches(chain[0]) == nil {
			j.KeyID, j.Request = g.KeyID, nil
			return j, false, nil
		}
	}
	if atCA {
		return j, false, fmt.Errorf("the CA does not have the private key of the certificate %s, which was ordered with a signing request: give that as csr_pem", j.OrderID)
	}
	return j, false, nil // what is wrong is said where the certificate is checked
}
