package provider

import (
	"context"
	"encoding/base64"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/order/letter"
)

// letterFunction writes the letter that a person stamps. As a function it keeps
// nothing in state, and a better form is no change in anybody's plan.
func letterFunction() pureFunction {
	return pureFunction{
		name: "confirmation_letter",
		definition: function.Definition{
			Summary: "The confirmation letter of an order, to print and stamp",
			MarkdownDescription: "Writes the confirmation letter that CAs want for OV and EV certificates, in Chinese and English, as a document (`.docx`) in base64: company, names, product, term and number of the order, with places for signature, stamp and date. " +
				"What is not known is left to be filled in by hand. Print it, sign and stamp it, scan it, and give the scan as `purchase.confirmation_letter_base64`.\n\n" +
				"The CA has a form of its own, which no API hands out: where it insists on that, download it in the console. " +
				"Terraform takes what is made from a resource with sensitive attributes for sensitive; the letter holds no secret, and `nonsensitive` may be written around it.",
			Parameters: []function.Parameter{
				function.DynamicParameter{
					Name:                "renewal",
					MarkdownDescription: "A `certificate_renewal` with `purchase`, as in `certificate_renewal.www`, or an object with the arguments of one.",
				},
				function.StringParameter{
					Name: "company", AllowNullValue: true,
					MarkdownDescription: "Name of the company as it is registered. `null`: `purchase.contact.organization`, `subject.organization`, the organization in the certificate before, or a line to fill in.",
				},
			},
			Return: function.StringReturn{},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var given types.Dynamic
			var company *string
			if err := arguments.Get(ctx, &given, &company); err != nil {
				return err
			}
			l, known, err := letterOf(ctx, given.UnderlyingValue(), company)
			if err == nil && !known {
				return result.Set(ctx, types.StringUnknown())
			}
			var file []byte
			if err == nil {
				file, err = l.Document()
			}
			if err != nil {
				return badArgument(0, err, "Give a certificate_renewal, or an object with its arguments, domains among them.")
			}
			return result.Set(ctx, base64.StdEncoding.EncodeToString(file))
		},
	}
}

// letterOf reads from a renewal what its letter says. It is known once the order
// is.
func letterOf(ctx context.Context, given attr.Value, company *string) (l letter.Letter, known bool, err error) {
	value, err := given.ToTerraformValue(ctx)
	if err != nil {
		return l, false, err
	}
	full := renewalSchema()
	whole, err := conform(value, full.Type().TerraformType(ctx))
	if err != nil {
		return l, false, err
	}
	var m renewalModel
	if diags := (tfsdk.Config{Raw: whole, Schema: full}).Get(ctx, &m); diags.HasError() {
		return l, false, diagError(diags)
	}
	w, complete, err := m.wanted(ctx)
	if err != nil || !complete || hasUnknown(m.Purchased) || m.Certificate.IsUnknown() {
		return l, false, err
	}
	wish := w.options.Purchase
	l = letter.Letter{Names: w.names, Product: wish.Product, Years: wish.Years, Order: m.openOrder(), Original: wish.Original}
	if product, err := tencentcloud.ProductBy(wish.Product); err == nil && product.Name != "" {
		l.Product = product.Name
	}
	l.Company, err = m.company(w, company)
	return l, err == nil, err
}

// company is for whom the certificate is, as far as anything says it.
func (m *renewalModel) company(w wanted, given *string) (string, error) {
	if given != nil {
		return *given, nil
	}
	for _, name := range []string{w.supplies.Contact["organization"], w.options.Subject.Organization} {
		if name != "" {
			return name, nil
		}
	}
	current, err := m.leaf()
	if err != nil || current == nil || len(current.Subject.Organization) == 0 {
		return "", err
	}
	return current.Subject.Organization[0], nil
}
