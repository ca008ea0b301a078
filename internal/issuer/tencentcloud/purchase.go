package tencentcloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// The sources of an order.
const (
	SourcePoints  = "points"  // benefit points; the only renewal that is linked
	SourceBalance = "balance" // the balance of the account: a new order
	SourceAdopt   = "adopt"   // an order that is placed in the console
	SourceFree    = "free"    // the free product
)

// The labels by which an order is found again.
const (
	tagRenewal = "certificate-renewal-of"
	tagIntent  = "certificate-intent"
)

// errNoConsent says that money would have to be spent.
var errNoConsent = errors.New("accept_charges is not set: nothing is bought without it")

// acquire leads to an order, an existing one where there is one.
func (i *Issuer) acquire(ctx context.Context, j order.Journal) (order.Journal, error) {
	p, err := readProgress(j)
	if err != nil {
		return j, err
	}
	// Only what this process journalled just now is sent.
	if known, mine := i.sending.LoadAndDelete(j.Intent.Key()); mine {
		if next, ok := known.(purchase); ok && !p.Sent.IsZero() && p.Sent.Equal(next.at) {
			j.Supplies.Packages = next.packages
			return i.send(ctx, j)
		}
	}
	found, err := i.reconcile(ctx, j)
	if err != nil {
		return j, err
	}
	buy := j.Intent.Options.Purchase
	switch {
	case found != "":
		return adopted(j, found), nil
	case !p.Sent.IsZero():
		return i.unclear(j, p), nil
	case buy.Service:
		j.Status, j.Wait = order.StatusPlanned, pausePeople
		j.Detail = "the CA has not begun the next certificate of the service of several years yet"
		j.Obligations = []order.Obligation{{Kind: "issuance", Actor: "ca", State: "waiting", Detail: "follow the certificate " + buy.Original + " by another one, which is paid for"}}
		return j, nil
	case buy.Source == SourceAdopt:
		j.Status, j.Wait = order.StatusPlanned, pausePeople
		j.Detail = "no order for the renewal was found yet"
		j.Obligations = []order.Obligation{{Kind: "payment", Actor: "applicant", State: "open", Detail: "renew the certificate " + buy.Original + " in the console and pay for it"}}
		return j, nil
	case buy.Source != SourceFree && !j.Supplies.AcceptCharges:
		return j, errNoConsent
	}
	if end, err := i.serviceEnd(ctx, buy.Original); err != nil {
		return j, err
	} else if !end.IsZero() {
		return served(j, end)
	}
	packages := j.Supplies.Packages
	if buy.Source == SourcePoints && len(packages) == 0 {
		var no *refusal
		if packages, err = i.usablePackages(ctx); errors.As(err, &no) {
			j.Status, j.Detail = order.StatusRejected, no.Error()
			return j, nil
		}
		if err != nil {
			return j, err
		}
	}
	// The intent to buy is journalled before anything is bought, and after all
	// that can be found out first. Who finds it without knowing more does not buy.
	p.Sent, j.Paid = time.Now().UTC(), true
	i.sending.Store(j.Intent.Key(), purchase{p.Sent, packages})
	return p.into(j)
}

// purchase is one that this process is about to send.
type purchase struct {
	at       time.Time // as in the journal
	packages []string
}

func adopted(j order.Journal, id string) order.Journal {
	j.OrderID, j.Paid, j.Detail, j.Obligations = id, true, "", nil
	return j
}

// unclear waits for a purchase whose answer was lost to show, and gives up on it
// after a while. It buys nothing.
func (i *Issuer) unclear(j order.Journal, p progress) order.Journal {
	j.Status, j.Wait = order.StatusUnknown, pausePeople
	if time.Since(p.Sent) < i.settle {
		j.Wait = min(pauseBusy, i.settle)
	}
	j.Detail = "the answer to the purchase was lost at " + p.Sent.Format(time.RFC3339) + ", and no order shows in the account"
	j.Obligations = []order.Obligation{{
		Kind: "payment", Actor: "applicant", State: "open",
		Detail: "look into the console whether it was charged. An order that shows later is taken by the next apply; to buy again, change renewal.force_token",
	}}
	return j
}

// reconcile finds an order for the intent that exists: the one named, the renewal
// of the original, or one with the intent's label.
func (i *Issuer) reconcile(ctx context.Context, j order.Journal) (string, error) {
	buy := j.Intent.Options.Purchase
	if buy.Order != "" {
		_, err := i.describe(ctx, buy.Order)
		return buy.Order, err
	}
	if buy.Original != "" {
		listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{CertIds: []*string{&buy.Original}})
		if err != nil {
			return "", err
		}
		for _, c := range listed {
			renewal := renewalOf(c)
			if renewal == "" {
				continue
			}
			if live, err := i.live(ctx, renewal); err != nil || live {
				return renewal, err
			}
		}
	}
	if buy.Source == SourceAdopt || buy.Source == SourceFree || buy.Service {
		return "", nil // the free product takes no labels
	}
	key, text := label(j)
	listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{Tags: []*ssl.Tags{{TagKey: &key, TagValue: &text}}})
	if err != nil {
		return "", err
	}
	for _, c := range listed {
		if alive(value(c.Status)) {
			return value(c.CertificateId), nil
		}
	}
	return "", nil
}

// label is what an order is found again by.
func label(j order.Journal) (key, text string) {
	if original := j.Intent.Options.Purchase.Original; original != "" {
		return tagRenewal, original
	}
	const enough = 32
	return tagIntent, j.Intent.Key()[:enough]
}

// alive reports whether an order can still lead to a certificate.
func alive(status uint64) bool {
	switch status {
	case statusExpired, statusCancelling, statusCancelled, statusRevoking, statusRevoked, statusRefunded:
		return false
	}
	return true
}

func (i *Issuer) live(ctx context.Context, id string) (bool, error) {
	listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{CertIds: []*string{&id}})
	return len(listed) > 0 && alive(value(listed[0].Status)), err
}

// mostListed is how many certificates one answer lists.
const mostListed = 100

func (i *Issuer) list(ctx context.Context, filter *ssl.DescribeCertificatesRequestParams) ([]*ssl.Certificates, error) {
	request := ssl.NewDescribeCertificatesRequest()
	request.CertIds, request.Tags, request.Limit = filter.CertIds, filter.Tags, given(uint64(mostListed))
	answer, err := call(ctx, i.client, request, ssl.NewDescribeCertificatesResponse())
	if err != nil {
		return nil, err
	}
	return answer.Response.Certificates, nil
}

// send buys. What it returns is saved before anything else happens.
func (i *Issuer) send(ctx context.Context, j order.Journal) (order.Journal, error) {
	id, err := i.buy(ctx, j)
	p, readErr := readProgress(j)
	if readErr != nil {
		return j, readErr
	}
	var no *refusal
	switch {
	case err == nil:
		i.logger.InfoContext(ctx, "bought", "names", j.Intent.Names, "order", id)
		p.Sent, p.Told = time.Time{}, told(j)
		return p.into(adopted(j, id))
	case errors.As(err, &no):
		j.Paid, j.Progress = false, nil
		j.Status, j.Detail = order.StatusRejected, no.Error()
		return j, nil
	case errors.Is(err, errUnclear):
		i.logger.WarnContext(ctx, "the answer to a purchase was lost", "names", j.Intent.Names, "error", err)
		p.Sent = time.Now().UTC()
		next, intoErr := p.into(i.unclear(j, p))
		next.Wait = min(pauseBusy, i.settle)
		if ctx.Err() != nil {
			return next, errors.Join(err, intoErr)
		}
		return next, intoErr
	}
	// Nothing was sent, or the API took it for too much: no money is spent.
	j.Paid, j.Progress = false, nil
	return j, err
}

func (i *Issuer) buy(ctx context.Context, j order.Journal) (string, error) {
	wish := j.Intent.Options.Purchase
	product := Product{}
	if wish.Source != SourceFree {
		var err error
		if product, err = ProductBy(wish.Product); err != nil {
			return "", err
		}
	}
	switch wish.Source {
	case SourcePoints:
		return i.buyFromPoints(ctx, j, product)
	case SourceBalance:
		return i.buyFromBalance(ctx, j, product)
	case SourceFree:
		return i.applyFree(ctx, j)
	}
	return "", fmt.Errorf("%q is no source of an order", wish.Source)
}

func (i *Issuer) buyFromPoints(ctx context.Context, j order.Journal, product Product) (string, error) {
	if product.PackageID == 0 {
		return "", fmt.Errorf("%s cannot be bought with points: use source = %q", product.Name, SourceBalance)
	}
	wish := j.Intent.Options.Purchase
	request := ssl.NewCreateCertificateByPackageRequest()
	request.ProductPid, request.Period = &product.PackageID, given(uint64(max(wish.Years, 1)))
	request.DomainCount, request.VerifyType = given(strconv.Itoa(len(j.Intent.Names))), given("DNS")
	request.Tags = tags(j)
	for _, id := range j.Supplies.Packages {
		request.PackageIds = append(request.PackageIds, &id)
	}
	company, _ := strconv.ParseUint(wish.Company, 10, 64) // checked with the configuration
	manager, _ := strconv.ParseUint(wish.Manager, 10, 64)
	request.CompanyId, request.ManagerId = given(company), given(manager)
	if wish.Original != "" {
		request.OldCertificateId = &wish.Original
		if wish.KeyAtCA {
			kind, parameter := keyAtCA(j.Intent.Algorithm, product)
			request.RenewGenCsrMethod, request.RenewAlgorithmType, request.RenewAlgorithmParam = given("online"), &kind, given(parameter)
		} else {
			request.RenewGenCsrMethod, request.RenewCsr = given("upload"), given(requestPEM(j.Request))
		}
	}
	answer, err := call(ctx, i.client, request, ssl.NewCreateCertificateByPackageResponse())
	if err != nil {
		return "", err
	}
	id := value(answer.Response.CertificateId)
	if id == "" && len(answer.Response.CertificateIds) > 0 {
		id = value(answer.Response.CertificateIds[0])
	}
	return bought(id)
}

// bought refuses an answer without a number: something was bought, and nobody
// knows what.
func bought(id string) (string, error) {
	if id == "" {
		return "", fmt.Errorf("the purchase: %w: the answer names no certificate", errUnclear)
	}
	return id, nil
}

func (i *Issuer) usablePackages(ctx context.Context) ([]string, error) {
	request := ssl.NewDescribePackagesRequest()
	request.Status, request.ExpireTime, request.Limit = given("usable"), given("asc"), given(uint64(mostListed))
	answer, err := call(ctx, i.client, request, ssl.NewDescribePackagesResponse())
	if err != nil {
		var no *refusal
		if !errors.As(err, &no) { // nothing is bought yet: an answer that is lost is only that
			err = fmt.Errorf("%w: %s", order.ErrUnavailable, err.Error())
		}
		return nil, err
	}
	var ids []string
	for _, one := range answer.Response.Packages {
		if value(one.Balance) > 0 {
			ids = append(ids, value(one.PackageId))
		}
	}
	if len(ids) == 0 {
		return nil, &refusal{action: "DescribePackages", code: "no points", message: "the account has no package of benefit points with a balance", id: value(answer.Response.RequestId)}
	}
	return ids, nil
}

func (i *Issuer) buyFromBalance(ctx context.Context, j order.Journal, product Product) (string, error) {
	if product.ID == 0 {
		return "", fmt.Errorf("%s cannot be bought from the balance: use source = %q", product.Name, SourcePoints)
	}
	request := ssl.NewCreateCertificateRequest()
	request.ProductId, request.DomainNum = &product.ID, given(int64(len(j.Intent.Names)))
	request.TimeSpan, request.Tags = given(max(j.Intent.Options.Purchase.Years, 1)), tags(j)
	answer, err := call(ctx, i.client, request, ssl.NewCreateCertificateResponse())
	if err != nil {
		return "", err
	}
	if len(answer.Response.CertificateIds) == 0 {
		return bought("")
	}
	return bought(value(answer.Response.CertificateIds[0]))
}

func (i *Issuer) applyFree(ctx context.Context, j order.Journal) (string, error) {
	kind, parameter := keyAtCA(j.Intent.Algorithm, Product{})
	request := ssl.NewApplyCertificateRequest()
	request.DvAuthMethod, request.DomainName = given("DNS"), &j.Intent.Names[0]
	request.CsrEncryptAlgo, request.CsrKeyParameter = &kind, &parameter
	request.OldCertificateId = given(j.Intent.Options.Purchase.Original)
	request.ContactEmail, request.ContactPhone = given(j.Supplies.Contact["contact_email"]), given(j.Supplies.Contact["contact_phone"])
	answer, err := call(ctx, i.client, request, ssl.NewApplyCertificateResponse())
	if err != nil {
		return "", err
	}
	return bought(value(answer.Response.CertificateId))
}

// tags are the labels of an order: ours, and those of the configuration.
func tags(j order.Journal) []*ssl.Tags {
	key, text := label(j)
	labels := []*ssl.Tags{{TagKey: &key, TagValue: &text}}
	for key, text := range j.Supplies.Tags {
		labels = append(labels, &ssl.Tags{TagKey: &key, TagValue: &text})
	}
	return labels
}
