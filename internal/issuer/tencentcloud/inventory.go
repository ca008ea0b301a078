package tencentcloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"slices"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
)

// Expiring implements issuer.Inventory.
func (i *Issuer) Expiring(ctx context.Context) ([]issuer.Expiring, error) {
	var found []issuer.Expiring
	for offset := uint64(0); ; offset += mostListed {
		request := ssl.NewDescribeCertificatesRequest()
		request.FilterExpiring, request.Limit, request.Offset = given(uint64(1)), given(uint64(mostListed)), given(offset)
		answer, err := call(ctx, i.client, request, ssl.NewDescribeCertificatesResponse())
		if err != nil {
			return nil, err
		}
		for _, c := range answer.Response.Certificates {
			if value(c.Status) != statusIssued {
				continue
			}
			one, err := i.expiring(ctx, c)
			if err != nil {
				return nil, err
			}
			found = append(found, one)
		}
		if len(answer.Response.Certificates) < mostListed {
			return found, nil
		}
	}
}

// expiring reads a certificate of the list. Only its detail has the certificate
// itself, which is not parsed: the list is for those of every kind of key.
func (i *Issuer) expiring(ctx context.Context, c *ssl.Certificates) (issuer.Expiring, error) {
	one := issuer.Expiring{ID: value(c.CertificateId), NotAfter: parseTime(value(c.CertEndTime)), RenewalID: renewalOf(c)}
	for _, name := range append([]*string{c.Domain}, c.SubjectAltName...) { // the first is not always among the others
		if name := value(name); name != "" && !slices.Contains(one.Names, name) {
			one.Names = append(one.Names, name)
		}
	}
	if one.RenewalID != "" {
		live, err := i.live(ctx, one.RenewalID)
		if err != nil {
			return one, err
		}
		if !live {
			one.RenewalID = ""
		}
	}
	found, err := i.describe(ctx, one.ID)
	if err != nil {
		return one, err
	}
	if block, _ := pem.Decode([]byte(value(found.CertificatePublicKey))); block != nil {
		sum := sha256.Sum256(block.Bytes)
		one.Fingerprint = hex.EncodeToString(sum[:])
	}
	return one, nil
}

// renewalOf is the number of the order that renews a certificate, dead or alive.
func renewalOf(c *ssl.Certificates) string {
	if renewal := value(c.HasRenewOrder); renewal != "" || c.CertificateExtra == nil {
		return renewal
	}
	return value(c.CertificateExtra.RenewOrder)
}
