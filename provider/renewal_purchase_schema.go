package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// contactFields are the details of company and people that an order may need.
func contactFields() map[string]string {
	return map[string]string{
		"organization": "Name of the company.", "department": "Department.", "address": "Address of the company.", "country": "Country, such as `CN`.",
		"region": "Province or region.", "city": "City.", "phone_area": "Area code of the company's telephone.", "phone": "The company's telephone.",
		"admin_first_name": "First name of the person who answers for the order.", "admin_last_name": "Last name.", "admin_phone": "Telephone.",
		"admin_email": "E-mail address.", "admin_title": "Position.",
		"contact_first_name": "First name of the technical contact.", "contact_last_name": "Last name.", "contact_phone": "Telephone.",
		"contact_email": "E-mail address; a DV certificate without a company needs it.", "contact_title": "Position.",
	}
}

// describeContact lists them.
func describeContact() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(contactFields())) {
		all = append(all, "`"+name+"`: "+strings.TrimSuffix(contactFields()[name], "."))
	}
	return strings.Join(all, "; ") + "."
}

// purchaseAttribute is what to buy at a CA that takes money.
func purchaseAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "What to buy, for issuers of the kind `tencentcloud`. See the guide \"Renewing a paid certificate\". " +
			"An order takes from minutes to days; an apply records it and does not wait for people, and the next ones go on with it. Default: none.",
		Attributes: map[string]schema.Attribute{
			"product": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "What to buy: a name of the catalogue in the guide such as `dnspod-dv` or `securesite-ov-wildcard`, or the number that the API has for it. Default: none; needed to buy.",
			},
			"source": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf("points", "balance", "adopt", "free")},
				MarkdownDescription: "Where the order comes from: `points` buys with benefit points, the only renewal the API links to the certificate before, with its remaining days; " +
					"`balance` buys a new order from the balance of the account; `adopt` takes an order that somebody places and pays in the console, or the CA's automatic renewal; `free` applies for the free product. Default: `points`.",
			},
			"accept_charges": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Consent to spend money: without it nothing is bought. One intent is paid for once, whatever fails. Default: `false`.",
			},
			"term_years": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "For how many years to pay, 1 to 5. Within several years the CA orders the certificates that follow by itself; they are fetched, and nothing is bought until the service ends. Default: `1`.",
			},
			"original_certificate_id": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The CA's number of the certificate to renew the first time; after that it is the one before. Default: none, the first order is a new one.",
			},
			"order_id": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The CA's number of an order to take with `source = \"adopt\"`. Default: the renewal of the certificate before.",
			},
			"key": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf("upload", "ca")},
				MarkdownDescription: "Who makes the private key: `upload` sends a signing request, so that the key is never at the CA; `ca` has the CA make it, and fetches it into the storage. Default: `upload`; `ca` for `free` and for several `term_years`, which have nothing else, and for `adopt`.",
			},
			"company_id": schema.StringAttribute{
				Optional: true, MarkdownDescription: "The CA's number of a company that is known to it. Default: that of the certificate before, or `contact`.",
			},
			"manager_id": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The CA's number of a person of the company who answers for orders. With one that was reviewed most brands need no letter. Default: none.",
			},
			"package_ids": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The packages of benefit points to pay with. Default: those with a balance, the first to expire first.",
			},
			"contact": schema.MapAttribute{ // a map, since each attribute of an object costs every plan
				Optional: true, ElementType: types.StringType,
				Validators:          []validator.Map{mapvalidator.KeysAre(stringvalidator.OneOf(slices.Sorted(maps.Keys(contactFields()))...))},
				MarkdownDescription: "Company and people, for an order without `company_id` and `manager_id`: " + describeContact() + " Default: none.",
			},
			"confirmation_letter_base64": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The stamped confirmation letter as it was scanned, such as `filebase64(\"letter.pdf\")`: jpg, png or pdf of 1 KB to 1.4 MB. Give it when `status` is `awaiting_document`. Default: none.",
			},
			"auto_renew": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Have the CA renew by itself too; use `source = \"adopt\"` for the renewals then. Default: `false`.",
			},
			"tags": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels for the order at the CA, beside those by which it is found again. Default: none.",
			},
			"cloud_resources": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Types of cloud resources, such as `clb` or `cdn`, in which a renewal replaces the certificate before. Default: none.",
			},
			"on_destroy": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf("keep", "cancel")},
				MarkdownDescription: "What becomes of an unfinished order: `keep` leaves it, `cancel` ends it. The money comes back through the console only. Default: `keep`.",
			},
		},
	}
}

// purchasedAttribute is what is only known of bought certificates.
func purchasedAttribute() schema.SingleNestedAttribute {
	attributes := map[string]schema.Attribute{}
	for name, description := range map[string]string{
		"certificate_id":            "The CA's number of the certificate, by which cloud resources refer to it; before the first one is issued, of its order.",
		"order_id":                  "The CA's number of the unfinished order; null when there is none.",
		"service_end":               "Until when the CA renews without another payment (RFC 3339, UTC); null where it was paid for once.",
		"encryption_fullchain_pem":  "The encryption certificate of an SM2 pair and its chain, PEM; null for others.",
		"encryption_private_key_id": "Identity of its private key in the provider's storage.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Computed: true, Attributes: attributes,
		MarkdownDescription: "What is only known of a certificate that was bought; null for others.",
	}
}

func purchasedType() map[string]attr.Type {
	return purchasedAttribute().GetType().(types.ObjectType).AttrTypes
}
