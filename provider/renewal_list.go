package provider

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ list.ListResource              = (*renewalList)(nil)
	_ list.ListResourceWithConfigure = (*renewalList)(nil)
)

// renewalList lists the certificates in the provider's storage, for terraform
// query (1.14): those that were lost from state, or belong to another
// configuration.
type renewalList struct{ services *services }

func newRenewalList() list.ListResource { return &renewalList{} }

func (l *renewalList) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_renewal"
}

func (l *renewalList) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		l.services = s
	}
}

func (l *renewalList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, response *list.ListResourceSchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "The certificates in the provider's storage, whoever's state they are in.",
		Attributes: map[string]schema.Attribute{
			"domain": schema.StringAttribute{
				Optional: true, Validators: []validator.String{domainCheck()},
				MarkdownDescription: "Only certificates with this name. Default: all.",
			},
			"released": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether those that were destroyed are listed too. Default: `false`.",
			},
		},
	}
}

type renewalListModel struct {
	Domain   types.String `tfsdk:"domain"`
	Released types.Bool   `tfsdk:"released"`
}

// List implements list.ListResource.
func (l *renewalList) List(ctx context.Context, request list.ListRequest, stream *list.ListResultsStream) {
	var config renewalListModel
	diags := request.Config.Get(ctx, &config)
	if diags.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	domain, err := "", error(nil)
	if !config.Domain.IsNull() {
		domain, err = pki.NormalizeName(config.Domain.ValueString())
	}
	var keys []string
	if err == nil {
		keys, err = l.services.store.List(ctx, "lineages/")
	}
	if err != nil {
		diags.AddError("The certificates cannot be listed", err.Error()+".")
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	stream.Results = func(push func(list.ListResult) bool) {
		sent := int64(0)
		for _, key := range keys {
			if request.Limit > 0 && sent == request.Limit {
				return
			}
			m, found, err := l.find(ctx, strings.TrimPrefix(key, "lineages/"), domain, config.Released.ValueBool())
			if err == nil && !found {
				continue
			}
			sent++
			if !push(l.result(ctx, request, m, err)) {
				return
			}
		}
	}
}

// find loads the newest certificate of a lineage; false where it is not to be
// listed.
func (l *renewalList) find(ctx context.Context, id, domain string, released bool) (m renewalModel, found bool, err error) {
	lineage, err := order.LoadLineage(ctx, l.services.store, id)
	if err != nil || lineage.Released && !released {
		return m, false, err
	}
	m = emptyRenewal()
	err = (&renewalResource{l.services}).adoptLineage(ctx, &m, id)
	if errors.Is(err, errNotStored) {
		return m, false, nil // only a key of it is there
	}
	if err != nil {
		return m, false, err
	}
	return m, domain == "" || slices.Contains(m.names(), domain), nil
}

func (l *renewalList) result(ctx context.Context, request list.ListRequest, m renewalModel, err error) list.ListResult {
	result := request.NewListResult(ctx)
	if err != nil {
		result.Diagnostics = diag.Diagnostics{diag.NewWarningDiagnostic("A certificate cannot be read", err.Error()+". The others are listed.")}
		return result
	}
	result.DisplayName = strings.Join(m.names(), ", ") + " until " + m.NotAfter.ValueString()
	result.Diagnostics.Append(m.identify(ctx, result.Identity)...)
	if request.IncludeResource {
		result.Diagnostics.Append(result.Resource.Set(ctx, &m)...)
	}
	return result
}
