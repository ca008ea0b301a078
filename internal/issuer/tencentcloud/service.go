package tencentcloud

import (
	"context"
	"fmt"
	"time"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// serviceEnd is until when a certificate is paid for, where that is beyond its
// own end: the CA renews it without a purchase then. Zero where it does not.
func (i *Issuer) serviceEnd(ctx context.Context, id string) (time.Time, error) {
	if id == "" {
		return time.Time{}, nil
	}
	listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{CertIds: []*string{&id}})
	if err != nil || len(listed) == 0 || value(listed[0].ServiceId) == "" {
		return time.Time{}, err
	}
	end := parseTime(value(listed[0].CertServiceEndTime))
	if ends := parseTime(value(listed[0].CertEndTime)); !end.After(ends.Add(24 * time.Hour)) {
		return time.Time{}, nil // the last one of the service
	}
	return end, nil
}

// served waits for the order that the CA places by itself: to buy another one
// would pay twice.
func served(j order.Journal, end time.Time) (order.Journal, error) {
	wish := j.Intent.Options.Purchase
	if !wish.KeyAtCA {
		return j, fmt.Errorf("the certificate %s is paid for until %s, and the CA renews it by itself with a key of its own: nothing was bought; write source = %q to take its order",
			wish.Original, end.Format(time.RFC3339), SourceAdopt)
	}
	j.Status, j.Wait = order.StatusPlanned, pausePeople
	j.Detail = fmt.Sprintf("the certificate %s is paid for until %s, and the CA renews it by itself; nothing is bought", wish.Original, end.Format(time.RFC3339))
	j.Obligations = []order.Obligation{{Kind: "issuance", Actor: "ca", State: "open", Detail: "place the next order of the service"}}
	return j, nil
}
