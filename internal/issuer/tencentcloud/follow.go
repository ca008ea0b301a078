package tencentcloud

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Look implements issuer.Follower.
func (i *Issuer) Look(ctx context.Context, j order.Journal) (order.Journal, bool, error) {
	if j.OrderID == "" {
		found, err := i.reconcile(ctx, j)
		p, readErr := readProgress(j)
		if err := errors.Join(err, readErr); err != nil || found != "" || p.Sent.IsZero() {
			return j, found != "", err
		}
		return i.unclear(j, p), false, nil
	}
	next, _, first, err := i.see(ctx, j)
	if err != nil {
		return j, false, err
	}
	p, err := readProgress(next)
	if err != nil {
		return j, false, err
	}
	refused := p.Refused != "" && p.RefusedIn == next.Status
	switch next.Status {
	case order.StatusIssued:
		return next, true, nil
	case order.StatusAwaitingInformation:
		return next, !refused, nil
	case order.StatusAwaitingDocument:
		return next, len(j.Supplies.Letter) > 0 && !p.Letter && !refused, nil
	case order.StatusRejected:
		return next, first, nil
	case order.StatusAwaitingValidation, order.StatusPreReview, order.StatusOrganizationReview:
		open := i.publishable(next.Records)
		return next, len(open) > 0 && p.Shown != shown(open), nil
	}
	return next, false, nil
}

// Cancel implements issuer.Canceller. The money comes back through the console
// alone.
func (i *Issuer) Cancel(ctx context.Context, j order.Journal) error {
	if j.OrderID == "" {
		return nil
	}
	request := ssl.NewCancelCertificateOrderRequest()
	request.CertificateId = &j.OrderID
	_, err := call(ctx, i.client, request, ssl.NewCancelCertificateOrderResponse())
	return err
}

// Revoke implements issuer.Revoker. The API wants the number of the certificate,
// which is found by its names.
func (i *Issuer) Revoke(ctx context.Context, certificate *x509.Certificate, _ uint) error {
	names := pki.Names(certificate)
	if len(names) == 0 {
		return errors.New("the certificate has no names to find it by")
	}
	request := ssl.NewDescribeCertificatesRequest()
	request.SearchKey, request.Limit = &names[0], given(uint64(mostListed))
	answer, err := call(ctx, i.client, request, ssl.NewDescribeCertificatesResponse())
	if err != nil {
		return err
	}
	for _, listed := range answer.Response.Certificates {
		found, err := i.describe(ctx, value(listed.CertificateId))
		if err != nil {
			return err
		}
		chain, err := pki.ParseCertificates([]byte(value(found.CertificatePublicKey)))
		if err != nil || !chain[0].Equal(certificate) {
			continue
		}
		if status := value(found.Status); status == statusRevoked || status == statusRevoking {
			return nil
		}
		revocation := ssl.NewRevokeCertificateRequest()
		revocation.CertificateId = listed.CertificateId
		_, err = call(ctx, i.client, revocation, ssl.NewRevokeCertificateResponse())
		return err
	}
	return fmt.Errorf("the account has no certificate with the serial number %s", pki.Serial(certificate))
}

// Certificate implements issuer.Shelf.
func (i *Issuer) Certificate(ctx context.Context, id string) (held issuer.Held, err error) {
	found, err := i.describe(ctx, id)
	if err != nil {
		return held, err
	}
	if value(found.CertificatePublicKey) == "" {
		return held, fmt.Errorf("the certificate %s is not issued; take its order with source = %q and order_id", id, SourceAdopt)
	}
	listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{CertIds: []*string{&id}})
	if err != nil {
		return held, err
	}
	if len(listed) > 0 {
		held.ServiceEnd = parseTime(value(listed[0].CertServiceEndTime))
	}
	if held.Chain, err = pki.ParseCertificates([]byte(value(found.CertificatePublicKey))); err != nil {
		return held, fmt.Errorf("the certificate %s at the CA: %w", id, err)
	}
	if text := value(found.CertificatePrivateKey); text != "" {
		if held.Key, err = pki.ParseKey([]byte(text)); err != nil {
			return held, fmt.Errorf("the private key of %s at the CA: %w", id, err)
		}
	}
	held.Encryption, held.EncryptionKey, err = openPair(held.Key, found)
	if errors.Is(err, errSealed) && held.Key.Empty() {
		err = nil // the signing key was made elsewhere
	}
	return held, err
}

// Replace swaps a certificate for its successor in the account's cloud resources
// of some types.
func (i *Issuer) Replace(ctx context.Context, before, after string, types []string) error {
	request := ssl.NewUpdateCertificateInstanceRequest()
	request.OldCertificateId, request.CertificateId = &before, &after
	for _, kind := range types {
		request.ResourceTypes = append(request.ResourceTypes, &kind)
	}
	_, err := call(ctx, i.client, request, ssl.NewUpdateCertificateInstanceResponse())
	return err
}
