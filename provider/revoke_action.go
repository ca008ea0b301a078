package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ action.Action              = (*revokeAction)(nil)
	_ action.ActionWithConfigure = (*revokeAction)(nil)
)

// revokeAction is the action certificate_revoke, for Terraform 1.14: it revokes
// and changes nothing else.
type revokeAction struct{ services *services }

func newRevokeAction() action.Action { return &revokeAction{} }

func (a *revokeAction) Metadata(_ context.Context, request action.MetadataRequest, response *action.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_revoke"
}

func (a *revokeAction) Configure(_ context.Context, request action.ConfigureRequest, _ *action.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		a.services = s
	}
}

func (a *revokeAction) Schema(_ context.Context, _ action.SchemaRequest, response *action.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "Revokes a certificate at its CA. It is not replaced by that: change `renewal.force_token` of its `certificate_renewal` first, and deploy. One that is revoked already is a success.",
		Attributes: map[string]schema.Attribute{
			"certificate_pem": schema.StringAttribute{
				Required: true, Validators: []validator.String{certificatesCheck()},
				MarkdownDescription: "The certificate, PEM; of a chain the first.",
			},
			"issuer": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Which of the provider's `issuers` it came from. Default: the only one.",
			},
			"reason": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(revocationReasons()...)},
				MarkdownDescription: "Why: one of `" + strings.Join(revocationReasons(), "`, `") + "`. Default: `unspecified`.",
			},
		},
	}
}

type revokeModel struct {
	Certificate types.String `tfsdk:"certificate_pem"`
	Issuer      types.String `tfsdk:"issuer"`
	Reason      types.String `tfsdk:"reason"`
}

// Invoke implements action.Action.
func (a *revokeAction) Invoke(ctx context.Context, request action.InvokeRequest, response *action.InvokeResponse) {
	var m revokeModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	chain, err := pki.ParseCertificates([]byte(m.Certificate.ValueString()))
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("certificate_pem"), "Not a certificate", err.Error()+".")
		return
	}
	name, err := a.services.issuerName(m.Issuer)
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("issuer"), "No such issuer", err.Error()+".")
		return
	}
	open, err := a.services.issuer(name)
	revoker, ok := open.(issuer.Revoker)
	if err == nil && !ok {
		err = errNoRevoker
	}
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("issuer"), "The issuer cannot revoke", fmt.Sprintf("Issuer %q: %s.", name, err))
		return
	}
	response.SendProgress(action.InvokeProgressEvent{Message: fmt.Sprintf("revoking %s, serial number %s", strings.Join(pki.Names(chain[0]), ", "), pki.Serial(chain[0]))})
	if err := revoker.Revoke(ctx, chain[0], reasonNumber(m.Reason)); err != nil {
		response.Diagnostics.AddError("The certificate was not revoked", err.Error()+". It is still valid; try again, or use the CA's own tools.")
		return
	}
	response.SendProgress(action.InvokeProgressEvent{Message: "revoked"})
}
