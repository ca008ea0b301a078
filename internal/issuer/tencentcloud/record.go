package tencentcloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// records are what the CA wants to see. The type is the one it says.
func records(j order.Journal, wanted *ssl.DvAuthDetail) []order.Record {
	if wanted == nil || j.Status == order.StatusIssued {
		return j.Records // withdrawn with the rest
	}
	var all []order.Record
	for _, auth := range wanted.DvAuths {
		kind := challenge.TXT
		switch strings.ToUpper(value(auth.DvAuthVerifyType)) {
		case "CNAME":
			kind = challenge.CNAME
		case "FILE":
			continue // asked for is DNS
		}
		r := order.Record{
			Type: kind, Domain: value(auth.DvAuthDomain), Name: strings.TrimSuffix(value(auth.DvAuthKey), "."),
			Value: strings.TrimSuffix(value(auth.DvAuthValue), "."),
		}
		r.Target = r.Name
		for _, known := range j.Records {
			if known.Name == r.Name && known.Value == r.Value {
				r.Target = known.Target
			}
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return j.Records
	}
	return all
}

// publishable are the records that the configured validation can write.
func (i *Issuer) publishable(all []order.Record) []challenge.Record {
	writer, ok := i.solver.(challenge.RecordWriter)
	var records []challenge.Record
	for _, r := range all {
		if ok && writer.Writes(r.Type) {
			records = append(records, challenge.Record{Type: r.Type, Domain: r.Domain, Name: r.Name, Target: r.Target, Value: r.Value})
		}
	}
	return records
}

// publish writes the validation records, once in each process. What cannot be
// written is left to people.
func (i *Issuer) publish(ctx context.Context, j order.Journal) (order.Journal, error) {
	switch j.Status {
	case order.StatusAwaitingValidation, order.StatusPreReview, order.StatusOrganizationReview:
	default:
		return j, nil
	}
	open := i.publishable(j.Records)
	if _, done := i.presented.Load(j.OrderID); done || len(open) == 0 {
		return j, nil
	}
	if locator, ok := i.solver.(challenge.Locator); ok {
		var err error
		if open, err = locator.Locate(ctx, open); err != nil {
			return j, fmt.Errorf("find where the validation records belong: %w", err)
		}
	}
	for n, r := range j.Records {
		for _, located := range open {
			if located.Name == r.Name && located.Value == r.Value {
				j.Records[n].Target = located.Target
			}
		}
	}
	if err := i.solver.Present(ctx, open); err != nil {
		return j, fmt.Errorf("publish the validation records: %w", err)
	}
	i.presented.Store(j.OrderID, true)
	i.hurry(ctx, j)
	p, err := readProgress(j)
	if err != nil {
		return j, err
	}
	p.Shown, j.Wait = shown(open), pauseScan
	return p.into(j)
}

// shown tells records from others, in few bytes.
func shown(all []challenge.Record) string {
	var lines []string
	for _, r := range all {
		lines = append(lines, r.Type+" "+r.Name+" "+r.Value)
	}
	slices.Sort(lines)
	const enough = 8
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:enough])
}

// hurry has the CA look at the records now. Some brands do not take it, and it
// looks by itself anyway.
func (i *Issuer) hurry(ctx context.Context, j order.Journal) {
	request := ssl.NewCompleteCertificateRequest()
	request.CertificateId = &j.OrderID
	if _, err := call(ctx, i.client, request, ssl.NewCompleteCertificateResponse()); err != nil {
		i.logger.DebugContext(ctx, "the CA looks at the records in its own time", "order", j.OrderID, "error", err)
	}
}

// validationTime is how long the CA waits for the records.
const validationTime = 7 * 24 * time.Hour

// obligations are what the order waits for, and who has to act.
func obligations(j order.Journal, product Product, words string, p progress) []order.Obligation {
	if j.Status.Final() && j.Status != order.StatusRejected {
		return nil
	}
	state := func(open, done bool) string {
		switch {
		case done:
			return "done"
		case open:
			return "open"
		}
		return "waiting"
	}
	information := j.Status == order.StatusAwaitingInformation || j.Status == order.StatusRejected
	document := j.Status == order.StatusAwaitingDocument
	early := information || document
	// The telephone review of these brands comes after the validation.
	validated := j.Status == order.StatusIssuing || j.Status == order.StatusOrganizationReview && words == "CA-REVIEWING"
	list := []order.Obligation{{Kind: "payment", Actor: "applicant", State: "done", Detail: "pay for the order"}}
	list = append(list, order.Obligation{
		Kind: "information", Actor: "provider", State: state(information, !information),
		Detail: "tell the CA for whom the certificate is",
	})
	if document || p.Letter {
		list = append(list, order.Obligation{
			Kind: "document", Actor: "applicant", State: state(document, !document && !information),
			Detail: "print the confirmation letter, stamp it, scan it, and give the scan as purchase.confirmation_letter_base64; the function confirmation_letter writes it",
		})
	}
	if len(j.Records) > 0 || j.Status == order.StatusAwaitingValidation {
		list = append(list, order.Obligation{
			Kind: "domain_validation", Actor: "provider", State: state(!early, validated),
			Deadline: j.CreatedAt.Add(validationTime).UTC(), Detail: "show the records of validation_records to the CA",
		})
	}
	late := j.Status == order.StatusOrganizationReview || j.Status == order.StatusIssuing
	if (product.Level == "ov" || product.Level == "ev") && !product.letter() && late && len(j.Records) == 0 {
		rule := lifecycle.ValidationReuse(j.CreatedAt, product.SM2)
		list = append(list, order.Obligation{
			Kind: "domain_validation", Actor: "ca", State: "done",
			Detail: "the CA counts an earlier validation of the names for the same company, of " + rule.Since(j.CreatedAt).Format(time.DateOnly) + " or later (" + rule.Source + ")",
		})
	}
	if product.Level != "dv" {
		review := "answer the call of the CA at the number that the company is registered with"
		if product.letter() {
			review += ", and the e-mail that confirms the names"
		}
		list = append(list, order.Obligation{
			Kind: "organization_review", Actor: "applicant", State: state(!early, j.Status == order.StatusIssuing), Detail: review,
		})
	}
	return append(list, order.Obligation{
		Kind: "issuance", Actor: "ca", State: state(j.Status == order.StatusIssuing, false), Detail: "issue the certificate",
	})
}

func replaceDetail(list []order.Obligation, kind, detail string) []order.Obligation {
	for n := range list {
		if list[n].Kind == kind {
			list[n].Detail = detail
		}
	}
	return list
}
