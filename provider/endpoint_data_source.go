package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
)

var (
	_ datasource.DataSource              = (*endpointDataSource)(nil)
	_ datasource.DataSourceWithConfigure = (*endpointDataSource)(nil)
)

// defaultLook is how long one server is asked.
const defaultLook = 10 * time.Second

// endpointDataSource is certificate_endpoint.
type endpointDataSource struct{ services *services }

func newEndpointDataSource() datasource.DataSource { return &endpointDataSource{} }

func (d *endpointDataSource) Metadata(_ context.Context, request datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_endpoint"
}

func (d *endpointDataSource) Configure(_ context.Context, request datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		d.services = s
	}
}

func (d *endpointDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"address":     endpointAddress(),
		"server_name": endpointServerName("Name to ask for (SNI) and to verify."),
		"timeout":     lookTimeout(),
		"starttls": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(deploy.StartTLSNames()...)},
			MarkdownDescription: startTLSText() + " Default: none, the server begins TLS by itself.",
		},
		"ca_bundle_pem": schema.StringAttribute{
			Optional: true, Validators: []validator.String{certificatesCheck()},
			MarkdownDescription: "Root certificates (PEM) to verify with, besides those of the system. Default: only those.",
		},
		"allow_unreachable": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Whether a server that cannot be asked is an answer, with `reachable = false`, instead of an error. Default: `false`.",
		},
		"reachable": schema.BoolAttribute{
			Computed:            true,
			MarkdownDescription: "Whether the handshake was completed. Without that all outputs below are null but `unreachable_reason`.",
		},
		"verified": schema.BoolAttribute{
			Computed:            true,
			MarkdownDescription: "Whether a client would trust what is served: chain, validity and `server_name`, with the roots of the system and `ca_bundle_pem`.",
		},
		"days_left": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "Whole days until `not_after` at the time of reading; negative after it.",
		},
	}
	texts := textFacts()
	texts["unreachable_reason"] = "Why the server could not be asked; null when it was."
	texts["verification_error"] = "Why `verified` is `false`; null when it is not."
	texts["certificate_pem"] = "The certificate alone, PEM."
	texts["chain_pem"] = "What the server sends after it, PEM; empty when it sends nothing."
	texts["fullchain_pem"] = "`certificate_pem` and `chain_pem`."
	texts["protocol"] = "TLS version that was negotiated, as `TLS 1.3`."
	for name, description := range texts {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	for name, description := range listFacts() {
		attributes[name] = schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "What a server serves now, by one TLS handshake that is completed.\n\n" +
			"It inspects and never trusts: an expired or self-signed certificate is shown as it is, and whether a client would accept it is `verified`. " +
			"Nothing is sent over the connection. It needs neither a CA nor a secret.\n\n" +
			"Terraform reads it in the plan. To see what is served after a deployment, say `depends_on` it.",
		Attributes: attributes,
	}
}

func endpointAddress() schema.Attribute {
	return schema.StringAttribute{
		Required: true, Validators: []validator.String{addressCheck()},
		MarkdownDescription: "`host:port` of the server.",
	}
}

func endpointServerName(purpose string) schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{serverNameCheck()},
		MarkdownDescription: purpose + " Default: the host of `address`.",
	}
}

func lookTimeout() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{durationCheck()},
		MarkdownDescription: fmt.Sprintf("How long to wait for a server, connection and handshake together, as a duration such as `500ms` or `1m`. Default: `%s`.", defaultLook),
	}
}

// Read asks the server once.
func (d *endpointDataSource) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var m endpointModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	endpoint, err := endpointAt(m.Address.ValueString(), m.ServerName.ValueString())
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("address"), "Not an address", err.Error()+".")
		return
	}
	served, err := look(ctx, deploy.Way{StartTLS: deploy.StartTLS(m.StartTLS.ValueString())}, endpoint, m.Timeout)
	switch {
	case err == nil:
		now := d.services.now()
		m.setServed(served, now, verify(served, endpoint.ServerName, m.CABundle.ValueString(), now))
	case m.AllowUnreachable.ValueBool() && ctx.Err() == nil:
		m.setUnreachable(err)
	default:
		response.Diagnostics.AddAttributeError(path.Root("address"), "The server cannot be asked",
			err.Error()+". Check the address and that it speaks TLS (a server that begins it on request needs starttls), or set allow_unreachable = true to have it reported as reachable = false.")
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// look completes one handshake within a configured time.
func look(ctx context.Context, way deploy.Way, endpoint deploy.Endpoint, timeout types.String) (deploy.Served, error) {
	wait := defaultLook
	if !timeout.IsNull() {
		var err error
		if wait, err = time.ParseDuration(timeout.ValueString()); err != nil {
			return deploy.Served{}, fmt.Errorf("timeout: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return way.Inspect(ctx, endpoint)
}
