package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
)

var (
	_ datasource.DataSource                   = (*statusDataSource)(nil)
	_ datasource.DataSourceWithConfigure      = (*statusDataSource)(nil)
	_ datasource.DataSourceWithValidateConfig = (*statusDataSource)(nil)
)

// looksAtOnce bounds how many servers are asked at the same time.
const looksAtOnce = 16

// statusDataSource is certificate_status.
type statusDataSource struct{ services *services }

func newStatusDataSource() datasource.DataSource { return &statusDataSource{} }

func (d *statusDataSource) Metadata(_ context.Context, request datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_status"
}

func (d *statusDataSource) Configure(_ context.Context, request datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		d.services = s
	}
}

func (d *statusDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "Which certificates are due for renewal, about to expire or expired; for `check` blocks and lists.\n\n" +
			"It looks at certificates that are given as PEM, at what servers serve now, and with `issuer` at the account of a CA that sells. Nothing is ordered, and without `issuer` no CA is asked: " +
			"a renewal window that a CA suggests (ARI) shows in `renew_at` of the `certificate_renewal` alone.",
		Attributes: statusOutputs(map[string]schema.Attribute{
			"certificates_pem": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				Validators:          []validator.Map{mapvalidator.ValueStringsAre(certificatesCheck())},
				MarkdownDescription: "Certificates (PEM) by a name of your choice; what follows the first one of a text is not looked at. Null stands for one that is not issued yet. Default: none.",
			},
			"endpoints": schema.MapNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Servers to ask, by a name of your choice that `certificates_pem` does not have. Default: none.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"address":     endpointAddress(),
					"server_name": endpointServerName("Name to ask for (SNI)."),
				}},
			},
			"issuer":  accountIssuer(),
			"timeout": lookTimeout(),
			"window_days": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 398)},
				MarkdownDescription: "How many days before the expiry a certificate is due, as in `renewal` of a `certificate_renewal`. Default: 30 for lives of 90 days and more, a third of the life below, half of it below ten days.",
			},
			"within_days": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(0, 3650)},
				MarkdownDescription: "How many days before the expiry a certificate is expiring. Default: half of its renewal window.",
			},
			"time_zone": schema.StringAttribute{
				Optional: true, Validators: []validator.String{timeZoneCheck()},
				MarkdownDescription: "Where the calendar days of `reminder_at` begin: a name of the IANA database such as `Asia/Shanghai`. Default: `UTC`.",
			},
		}),
	}
}

// statusOutputs adds the computed attributes to the arguments.
func statusOutputs(attributes map[string]schema.Attribute) map[string]schema.Attribute {
	attributes["ok"] = schema.BoolAttribute{
		Computed: true, MarkdownDescription: "Whether the status of every certificate is `ok`, and nothing of `account` needs a resource.",
	}
	attributes["account"] = accountOutput()
	for name, description := range map[string]string{
		"due":         "Names of those to be renewed: their renewal window is open, or they expired.",
		"reminding":   "Names of those that are due still and whose `reminder_at` has come: the renewal that should have happened did not.",
		"expiring":    "Names of those that expire within `within_days`.",
		"expired":     "Names of those that have expired.",
		"unreachable": "Names of the endpoints that could not be asked.",
		"missing":     "Names of the certificates that are null: not issued yet.",
	} {
		attributes[name] = schema.SetAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	each := map[string]schema.Attribute{
		"days_left": schema.Int64Attribute{
			Computed: true, MarkdownDescription: "Whole days until `not_after` at the time of reading; negative after it.",
		},
	}
	for name, description := range map[string]string{
		"status":      "The worst that is true: `expired`, `expiring`, `due` or `ok`; else `unreachable` or `missing`, and the rest is null.",
		"reason":      "Why the status is not `ok`; null when it is.",
		"not_after":   "When it expires (RFC 3339, UTC).",
		"renew_at":    "When it becomes due (RFC 3339, UTC).",
		"reminder_at": "The second calendar day after its window opens, when a renewal that is still open should worry somebody (RFC 3339, UTC).",
	} {
		each[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes["certificates"] = schema.MapNestedAttribute{
		Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: each},
		MarkdownDescription: "Each certificate and endpoint by its name.",
	}
	return attributes
}

// ValidateConfig refuses what can be refused without asking anybody.
func (d *statusDataSource) ValidateConfig(ctx context.Context, request datasource.ValidateConfigRequest, response *datasource.ValidateConfigResponse) {
	var m statusModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	if m.CertificatesPEM.IsNull() && m.Endpoints.IsNull() && m.Issuer.IsNull() {
		response.Diagnostics.AddAttributeError(path.Root("certificates_pem"), "Nothing to look at", "Set certificates_pem, endpoints, or issuer.")
	}
	for name := range m.Endpoints.Elements() {
		if _, taken := m.CertificatesPEM.Elements()[name]; taken {
			response.Diagnostics.AddAttributeError(path.Root("endpoints").AtMapKey(name), "Two with one name",
				fmt.Sprintf("Both certificates_pem and endpoints have %q. Give one of them another name.", name))
		}
	}
}

// Read looks at everything at one moment.
func (d *statusDataSource) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var m statusModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	subjects, err := m.subjects(ctx)
	if err == nil {
		err = ask(ctx, subjects, m.Timeout)
	}
	if err == nil {
		err = m.assess(subjects, d.services.now())
	}
	if err == nil {
		err = d.takeStock(ctx, &m, subjects)
	}
	if err != nil {
		response.Diagnostics.AddError("The certificates cannot be looked at", err.Error()+".")
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// ask asks the servers among the subjects. That one does not answer is a finding;
// an error is only the end of ctx.
func ask(ctx context.Context, subjects map[string]*subject, timeout types.String) error {
	var group errgroup.Group
	group.SetLimit(looksAtOnce)
	for _, s := range subjects {
		if s.endpoint == nil {
			continue
		}
		group.Go(func() error {
			served, err := look(ctx, deploy.Way{}, *s.endpoint, timeout)
			if err != nil {
				s.problem = err
				return ctx.Err()
			}
			s.leaf = served.Chain[0]
			return nil
		})
	}
	return group.Wait()
}
