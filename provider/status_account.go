package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// accountStatus is a certificate of a CA's account in a certificate_status.
type accountStatus struct {
	ID            types.String `tfsdk:"id"`
	Names         []string     `tfsdk:"names"`
	NotAfter      types.String `tfsdk:"not_after"`
	DaysLeft      types.Int64  `tfsdk:"days_left"`
	RenewalID     types.String `tfsdk:"renewal_id"`
	NeedsResource types.Bool   `tfsdk:"needs_resource"`
}

func accountIssuer() schema.Attribute {
	return schema.StringAttribute{
		Optional:            true,
		MarkdownDescription: "Name of one of the provider's `issuers` of the kind `tencentcloud`, to list in `account` what is due there. Default: none, no account is looked at.",
	}
}

func accountOutput() schema.Attribute {
	return schema.ListNestedAttribute{
		Computed:            true,
		MarkdownDescription: "What is in its renewal window in the account of `issuer`, those of `certificates_pem` included; null without `issuer`.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed: true, MarkdownDescription: "The CA's number of the certificate, with which a `certificate_renewal` imports it: `certificate:ISSUER/ID`.",
			},
			"names":      schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Its names."},
			"not_after":  schema.StringAttribute{Computed: true, MarkdownDescription: "When it expires (RFC 3339, UTC)."},
			"days_left":  schema.Int64Attribute{Computed: true, MarkdownDescription: "Whole days until then at the time of reading."},
			"renewal_id": schema.StringAttribute{Computed: true, MarkdownDescription: "The CA's number of the order that renews it; null where there is none."},
			"needs_resource": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether nobody renews it: no order in the account does, and it is not among `certificates_pem`.",
			},
		}},
	}
}

// takeStock lists what is due in the account of a CA.
func (d *statusDataSource) takeStock(ctx context.Context, m *statusModel, subjects map[string]*subject) error {
	if m.Issuer.IsNull() {
		return nil
	}
	name := m.Issuer.ValueString()
	if _, err := d.services.issuerName(m.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	opened, err := d.services.issuer(name)
	if err != nil {
		return fmt.Errorf("issuer %q: %w", name, err)
	}
	inventory, ok := opened.(issuer.Inventory)
	if !ok {
		return fmt.Errorf("issuer %q has no account that lists certificates: choose one of the kind tencentcloud", name)
	}
	expiring, err := inventory.Expiring(ctx)
	if err != nil {
		return fmt.Errorf("ask issuer %q what is due: %w", name, err)
	}
	known := map[string]bool{}
	for _, s := range subjects {
		if s.leaf != nil && s.endpoint == nil {
			known[pki.Fingerprint(s.leaf)] = true
		}
	}
	m.Account = []accountStatus{}
	for _, c := range expiring {
		one := accountStatus{
			ID: types.StringValue(c.ID), Names: c.Names, NotAfter: timestamp(c.NotAfter), RenewalID: types.StringNull(),
			DaysLeft:      types.Int64Value(int64(c.NotAfter.Sub(d.services.now()) / day)),
			NeedsResource: types.BoolValue(c.RenewalID == "" && !known[c.Fingerprint]),
		}
		if c.RenewalID != "" {
			one.RenewalID = types.StringValue(c.RenewalID)
		}
		if one.NeedsResource.ValueBool() {
			m.OK = types.BoolValue(false)
		}
		m.Account = append(m.Account, one)
	}
	return nil
}
