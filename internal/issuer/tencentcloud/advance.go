package tencentcloud

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

type detail = ssl.DescribeCertificateDetailResponseParams

func (i *Issuer) describe(ctx context.Context, id string) (*detail, error) {
	request := ssl.NewDescribeCertificateDetailRequest()
	request.CertificateId = &id
	answer, err := call(ctx, i.client, request, ssl.NewDescribeCertificateDetailResponse())
	if err != nil {
		return nil, err
	}
	return answer.Response, nil
}

// advance does the next thing for an order that was placed.
func (i *Issuer) advance(ctx context.Context, j order.Journal) (order.Journal, error) {
	if j.Status == order.StatusRejected {
		return i.resubmit(ctx, j)
	}
	j, found, first, err := i.see(ctx, j)
	if err != nil || found == nil {
		return j, err
	}
	p, err := readProgress(j)
	if err != nil {
		return j, err
	}
	switch j.Status {
	case order.StatusRejected:
		if first || p.Told != told(j) { // placed by somebody else, or there is other information
			return i.resubmit(ctx, j)
		}
	case order.StatusIssued:
		return i.take(ctx, j, found)
	case order.StatusAwaitingInformation:
		return i.inform(ctx, j, p)
	case order.StatusAwaitingDocument:
		if len(j.Supplies.Letter) > 0 && !p.Letter {
			return i.uploadLetter(ctx, j, p)
		}
	}
	return i.publish(ctx, j)
}

// see writes into the journal what the CA says of its order; found is nil where
// the CA does not know that any more. First says that it was never seen before:
// then it may not show yet.
func (i *Issuer) see(ctx context.Context, j order.Journal) (_ order.Journal, found *detail, first bool, err error) {
	p, err := readProgress(j)
	if err != nil {
		return j, nil, false, err
	}
	found, err = i.describe(ctx, j.OrderID)
	var no *refusal
	switch absent := errors.As(err, &no) && strings.HasSuffix(no.code, "NotFound"); {
	case absent && p.Seen:
		j.Status, j.Wait, j.Obligations = order.StatusExpired, pausePeople, nil
		j.Detail = "the CA does not know the order any more: " + no.Error() + "; to order another one, change renewal.force_token"
		return j, nil, false, nil
	case absent:
		return j, nil, false, fmt.Errorf("%w: the order %s does not show yet: %w", order.ErrUnavailable, j.OrderID, err)
	case err != nil:
		return j, nil, false, err
	}
	first, p.Seen = !p.Seen, true
	if j, err = p.into(j); err != nil {
		return j, nil, false, err
	}
	return i.reflect(j, found), found, first, nil
}

// reflect writes into the journal what the CA says of the order, and changes
// nothing anywhere else.
func (i *Issuer) reflect(j order.Journal, found *detail) order.Journal {
	product := productOf(j, found)
	p, err := readProgress(j)
	if err == nil && p.Number == "" {
		p.Number = value(found.OrderId)
		if next, err := p.into(j); err == nil {
			j = next
		}
	}
	j.Status = statusOf(value(found.Status), value(found.StatusMsg), product, found.DvAuthDetail != nil && len(found.DvAuthDetail.DvAuths) > 0)
	j.Detail = detailOf(j.Status, found)
	if p.Refused != "" && p.RefusedIn == j.Status {
		j.Detail = p.Refused
	}
	j.ExpectedBy = expectedBy(j.CreatedAt, product)
	j.Wait = pausePeople
	switch j.Status {
	case order.StatusAwaitingValidation, order.StatusIssuing:
		j.Wait = pauseSoon
		if product.Level != "dv" {
			j.Wait = pausePeople
		}
	case order.StatusIssued:
		j.Wait = 0
	}
	j.Records = records(j, found.DvAuthDetail)
	j.Obligations = obligations(j, product, strings.ToUpper(value(found.StatusMsg)), p)
	if p.Refused != "" && p.RefusedIn == order.StatusAwaitingDocument && j.Status == p.RefusedIn {
		j.Obligations = replaceDetail(j.Obligations, "document", p.Refused)
	}
	return j
}

// productOf is what an order is for; of one from the console, as far as the CA
// says it.
func productOf(j order.Journal, found *detail) Product {
	product, err := ProductBy(j.Intent.Options.Purchase.Product)
	if err != nil {
		product = Product{Level: strings.ToLower(value(found.CertType))}
	}
	return product
}

// detailOf are the CA's words on an order that did not come to a good end, or
// waits.
func detailOf(status order.Status, found *detail) string {
	words := value(found.StatusMsg)
	switch status {
	case order.StatusIssued:
		return ""
	case order.StatusCancelling:
		return strings.TrimSpace("somebody ends the order at the CA " + words)
	case order.StatusCancelled, order.StatusRefunded, order.StatusRevoked, order.StatusExpired:
		return strings.TrimSpace("somebody ended the order at the CA "+words) + "; to order another one, change renewal.force_token"
	case order.StatusRejected:
		return words + "; change in purchase what the CA objects to, and the next apply submits the order again"
	}
	return words
}

// expectedBy is when the CA should be done at the latest, by its renewal guide.
func expectedBy(placed time.Time, product Product) time.Time {
	if days := product.workingDays(); days > 0 {
		return lifecycle.AddWorkingDays(placed, days, shanghai()).UTC()
	}
	return placed.Add(24 * time.Hour).UTC()
}

// shanghai is the zone of the API's times.
func shanghai() *time.Location { return time.FixedZone("CST", 8*60*60) }

// inform sends the information of an order, and then the order itself.
func (i *Issuer) inform(ctx context.Context, j order.Journal, p progress) (order.Journal, error) {
	if !p.Submitted {
		if err := i.submitInformation(ctx, j); err != nil {
			return i.heard(j, err)
		}
		p.Submitted, p.Refused, p.Told, j.Wait = true, "", told(j), 0
		return p.into(j)
	}
	request := ssl.NewCertificateOrderSubmitRequest()
	request.CertId, request.VerifyType = &j.OrderID, given("DNS")
	_, err := call(ctx, i.client, request, ssl.NewCertificateOrderSubmitResponse())
	if err != nil {
		return i.heard(j, err)
	}
	p.Submitted = false // until the CA asks again
	j.Wait = 0
	return p.into(j)
}

// heard turns a refusal of an order that was paid for into its status: nothing
// is lost, and people can do something about it.
func (i *Issuer) heard(j order.Journal, err error) (order.Journal, error) {
	var no *refusal
	if !errors.As(err, &no) {
		return j, err
	}
	j.Detail, j.Wait = no.Error(), pausePeople
	p, readErr := readProgress(j)
	if readErr != nil {
		return j, readErr
	}
	p.Submitted, p.Refused, p.RefusedIn = false, j.Detail, j.Status
	return p.into(j)
}

func (i *Issuer) submitInformation(ctx context.Context, j order.Journal) error {
	wish := j.Intent.Options.Purchase
	product, err := ProductBy(wish.Product)
	if err != nil && wish.Product != "" {
		return err
	}
	request := ssl.NewCertificateInfoSubmitRequest()
	request.CertId, request.CertCommonName, request.VerifyType = &j.OrderID, &j.Intent.Names[0], given("DNS")
	for _, name := range j.Intent.Names[1:] {
		request.DnsNames = append(request.DnsNames, &name)
	}
	if wish.KeyAtCA {
		kind, parameter := keyAtCA(j.Intent.Algorithm, product)
		request.GenCsrType, request.CsrEncryptAlgo, request.CsrKeyParameter = given("online"), &kind, &parameter
	} else {
		request.GenCsrType, request.Csr = given("parse"), given(requestPEM(j.Request))
	}
	contact := j.Supplies.Contact
	request.CompanyType = given(uint64(2))
	if product.Level == "dv" && wish.Company == "" && wish.Manager == "" && contact["organization"] == "" {
		request.CompanyType = given(uint64(1))
	}
	request.CompanyId, request.ManagerId = given(wish.Company), given(wish.Manager)
	if j.Supplies.AutoRenew {
		request.AutoRenewFlag = given(uint64(1))
	}
	for name, field := range map[string]**string{
		"organization": &request.OrgOrganization, "department": &request.OrgDivision, "address": &request.OrgAddress,
		"country": &request.OrgCountry, "city": &request.OrgCity, "region": &request.OrgRegion,
		"phone_area": &request.OrgPhoneArea, "phone": &request.OrgPhoneNumber,
		"admin_first_name": &request.AdminFirstName, "admin_last_name": &request.AdminLastName, "admin_phone": &request.AdminPhone,
		"admin_email": &request.AdminEmail, "admin_title": &request.AdminTitle,
		"contact_first_name": &request.TechFirstName, "contact_last_name": &request.TechLastName, "contact_phone": &request.TechPhone,
		"contact_email": &request.ContactEmail, "contact_title": &request.TechTitle,
	} {
		*field = given(contact[name])
	}
	_, err = call(ctx, i.client, request, ssl.NewCertificateInfoSubmitResponse())
	return err
}

func (i *Issuer) uploadLetter(ctx context.Context, j order.Journal, p progress) (order.Journal, error) {
	request := ssl.NewUploadConfirmLetterRequest()
	request.CertificateId, request.ConfirmLetter = &j.OrderID, given(base64.StdEncoding.EncodeToString(j.Supplies.Letter))
	_, err := call(ctx, i.client, request, ssl.NewUploadConfirmLetterResponse())
	var no *refusal
	if errors.As(err, &no) {
		// The action is frozen for some products: a person uploads it instead.
		j.Detail, j.Wait = no.Error()+"; upload the stamped letter in the console instead, and the next apply goes on", pausePeople
		j.Obligations = replaceDetail(j.Obligations, "document", j.Detail)
		p.Refused, p.RefusedIn = j.Detail, j.Status
		return p.into(j)
	}
	if err != nil {
		return j, err
	}
	p.Letter, p.Refused, j.Wait = true, "", 0
	return p.into(j)
}

// resubmit opens a rejected order again, for the information of now.
func (i *Issuer) resubmit(ctx context.Context, j order.Journal) (order.Journal, error) {
	request := ssl.NewModifyCertificateResubmitRequest()
	request.CertificateId = &j.OrderID
	_, err := call(ctx, i.client, request, ssl.NewModifyCertificateResubmitResponse())
	var no *refusal
	if err != nil && !errors.As(err, &no) {
		return j, err
	}
	// Refused where somebody has done it in the console: the state tells.
	found, describeErr := i.describe(ctx, j.OrderID)
	if describeErr != nil {
		return j, describeErr
	}
	next := i.reflect(j, found)
	if next.Status == order.StatusRejected && no != nil {
		next.Detail += "; " + no.Error()
	} else if next.Status != order.StatusRejected {
		next.Wait = 0
	}
	return progress{Seen: true, Told: told(j)}.into(next) // submitted and uploaded anew
}

// told tells the supplies of a run from others, in few bytes.
func told(j order.Journal) string {
	of := j.Supplies
	of.Packages, of.AcceptCharges = nil, false // of the purchase alone
	text, err := json.Marshal(of)
	if err != nil {
		return "" // maps and strings always encode
	}
	const enough = 8
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:enough])
}

// take downloads the certificate, and the keys that the CA made.
func (i *Issuer) take(ctx context.Context, j order.Journal, found *detail) (order.Journal, error) {
	chain := []byte(value(found.CertificatePublicKey))
	if _, err := pki.ParseCertificates(chain); err != nil {
		return j, fmt.Errorf("the certificate %s at the CA: %w", j.OrderID, err)
	}
	j, fromCA, keyErr := i.findKey(ctx, j, found)
	if keyErr != nil {
		return j, keyErr
	}
	if fromCA {
		key, err := pki.ParseKey([]byte(value(found.CertificatePrivateKey)))
		if err != nil {
			return j, fmt.Errorf("the private key of the certificate %s at the CA: %w", j.OrderID, err)
		}
		if err := order.StoreKey(ctx, i.keeper, j.KeyID, key); err != nil {
			return j, err
		}
	}
	j, err := i.takePair(ctx, j, found)
	if err != nil {
		return j, err
	}
	j.Certificate = chain
	j.Obligations, j.Wait = nil, 0
	listed, err := i.list(ctx, &ssl.DescribeCertificatesRequestParams{CertIds: []*string{&j.OrderID}})
	if err == nil && len(listed) > 0 {
		j.ServiceEnd = parseTime(value(listed[0].CertServiceEndTime))
	}
	return j, nil // what the list says is not worth losing a certificate for
}

// parseTime reads a time of the API; zero where there is none.
func parseTime(text string) time.Time {
	at, err := time.ParseInLocation(time.DateTime, text, shanghai())
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

func requestPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// keyAtCA are the API's names of a key that the CA makes.
func keyAtCA(algorithm pki.Algorithm, product Product) (kind, parameter string) {
	switch {
	case product.SM2, algorithm == pki.SM2:
		return "SM2", ""
	case algorithm == pki.RSA2048:
		return "RSA", "2048"
	case algorithm == pki.RSA4096:
		return "RSA", "4096"
	}
	return "ECC", "prime256v1"
}
