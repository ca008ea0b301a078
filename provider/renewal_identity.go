package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var _ resource.ResourceWithIdentity = (*renewalResource)(nil)

// IdentitySchema is what a certificate is known by from Terraform 1.12 on:
// import blocks and terraform query name it.
func (r *renewalResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, response *resource.IdentitySchemaResponse) {
	response.IdentitySchema = identityschema.Schema{
		Attributes: map[string]identityschema.Attribute{
			"id": identityschema.StringAttribute{
				RequiredForImport: true,
				Description:       "Identity of the certificate in the provider's storage, the same for all its generations.",
			},
		},
	}
}

// identify writes the identity of a certificate, where Terraform keeps one.
func (m *renewalModel) identify(ctx context.Context, identity *tfsdk.ResourceIdentity) diag.Diagnostics {
	if identity == nil {
		return nil
	}
	return identity.SetAttribute(ctx, path.Root("id"), m.ID)
}

// identified reads the identity that an import block gives; empty without one.
func identified(ctx context.Context, identity *tfsdk.ResourceIdentity) (string, diag.Diagnostics) {
	if identity == nil || identity.Raw.IsNull() {
		return "", nil
	}
	var id types.String
	diags := identity.GetAttribute(ctx, path.Root("id"), &id)
	return id.ValueString(), diags
}
