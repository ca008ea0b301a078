package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ datasource.DataSource                   = (*validationRecordsDataSource)(nil)
	_ datasource.DataSourceWithValidateConfig = (*validationRecordsDataSource)(nil)
)

const defaultRecordTTL = 300 // seconds

// validationRecordsDataSource is certificate_validation_records. It needs
// nothing of the provider's configuration.
type validationRecordsDataSource struct{}

func newValidationRecordsDataSource() datasource.DataSource { return validationRecordsDataSource{} }

func (validationRecordsDataSource) Metadata(_ context.Context, request datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_validation_records"
}

func (validationRecordsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	record := map[string]schema.Attribute{
		"ttl": schema.Int64Attribute{Computed: true, MarkdownDescription: "Time to live in seconds."},
	}
	for name, description := range recordFields() {
		record[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "The DNS records to create once, so that all later validations need no DNS credential: CNAMEs that lead the validation names of domains to a zone where records can be published.\n\n" +
			"It asks nobody, needs no secret, and everything is known in the first plan when `domains` is, so that `for_each` of any DNS provider's record resource takes `records`.\n\n" +
			"The target of a domain is `LABEL.RESPONDER_ZONE`. The label is the domain with hyphens for its dots, cut to 52 characters, a hyphen, and ten characters of its SHA-256 in base32: " +
			"`www.example.com` is always `www-example-com-qd6a7ojgnw`. A name and its wildcard are validated at the same place and share one record.",
		Attributes: map[string]schema.Attribute{
			"domains": schema.SetAttribute{
				Required: true, ElementType: types.StringType,
				Validators:          []validator.Set{setvalidator.ValueStringsAre(domainCheck())},
				MarkdownDescription: "Domains to be validated, wildcards included, as in `domains` of a `certificate_renewal`.",
			},
			"responder_zone": schema.StringAttribute{
				Required: true, Validators: []validator.String{zoneCheck()},
				MarkdownDescription: "The zone that the records lead to: one of a `certificate-dns` responder, or any other where records are published.",
			},
			"zone": schema.StringAttribute{
				Optional: true, Validators: []validator.String{zoneCheck()},
				MarkdownDescription: "The zone that the records are created in, to make `name` relative to; all domains have to be in it. Default: none, and `name` is `fqdn`.",
			},
			"ttl": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1<<31-1)},
				MarkdownDescription: fmt.Sprintf("Time to live of the records in seconds. Default: `%d`.", defaultRecordTTL),
			},
			"records": schema.MapNestedAttribute{
				Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: record},
				MarkdownDescription: "The records by domain, for `for_each`.",
			},
		},
	}
}

// recordFields are the texts of a record, with what they say.
func recordFields() map[string]string {
	return map[string]string{
		"domain":    "The domain that is validated, without wildcard.",
		"type":      "Type of the record: `CNAME`.",
		"name":      "Owner of the record relative to `zone`; `fqdn` without one.",
		"fqdn":      "Owner of the record, in full.",
		"fqdn_dot":  "`fqdn` with a dot at the end.",
		"value":     "Where the record leads.",
		"value_dot": "`value` with a dot at the end.",
	}
}

// validationRecordsModel is a certificate_validation_records.
type validationRecordsModel struct {
	Domains       types.Set                   `tfsdk:"domains"`
	ResponderZone types.String                `tfsdk:"responder_zone"`
	Zone          types.String                `tfsdk:"zone"`
	TTL           types.Int64                 `tfsdk:"ttl"`
	Records       map[string]validationRecord `tfsdk:"records"`
}

// validationRecord is one record as DNS providers' resources want it.
type validationRecord struct {
	Domain   string `tfsdk:"domain"`
	Type     string `tfsdk:"type"`
	Name     string `tfsdk:"name"`
	FQDN     string `tfsdk:"fqdn"`
	FQDNDot  string `tfsdk:"fqdn_dot"`
	Value    string `tfsdk:"value"`
	ValueDot string `tfsdk:"value_dot"`
	TTL      int64  `tfsdk:"ttl"`
}

// ValidateConfig refuses what does not fit together, as far as it is known.
func (validationRecordsDataSource) ValidateConfig(ctx context.Context, request datasource.ValidateConfigRequest, response *datasource.ValidateConfigResponse) {
	var m validationRecordsModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || m.ResponderZone.IsUnknown() || m.Zone.IsUnknown() {
		return
	}
	m.compute(&response.Diagnostics)
}

func (validationRecordsDataSource) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var m validationRecordsModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	m.compute(&response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// compute writes the records of the domains that are known. What is wrong with a
// single attribute its own check has said.
func (m *validationRecordsModel) compute(diags *diag.Diagnostics) {
	responder, err := zoneName(m.ResponderZone.ValueString())
	if err != nil {
		return
	}
	zone := ""
	if !m.Zone.IsNull() {
		if zone, err = zoneName(m.Zone.ValueString()); err != nil {
			return
		}
	}
	ttl := int64(defaultRecordTTL)
	if !m.TTL.IsNull() {
		ttl = m.TTL.ValueInt64()
	}
	m.Records = map[string]validationRecord{}
	for _, element := range m.Domains.Elements() {
		text, ok := element.(types.String)
		if !ok || text.IsUnknown() {
			continue
		}
		domain, err := pki.NormalizeName(text.ValueString())
		if err != nil {
			continue
		}
		if host := strings.TrimPrefix(domain, "*."); zone != "" && host != zone && !strings.HasSuffix(host, "."+zone) {
			diags.AddAttributeError(path.Root("domains"), "A domain outside of the zone",
				fmt.Sprintf("domains: %q is not in the zone %q. Write one certificate_validation_records for each zone, or leave zone out.", domain, zone))
			continue
		}
		delegation, err := challenge.Delegate(domain, responder)
		if err != nil {
			diags.AddAttributeError(path.Root("responder_zone"), "The zone's name is too long", "responder_zone: "+err.Error()+".")
			continue
		}
		m.Records[delegation.Domain] = newValidationRecord(delegation, zone, ttl)
	}
}

func newValidationRecord(d challenge.Delegation, zone string, ttl int64) validationRecord {
	return validationRecord{
		Domain: d.Domain, Type: "CNAME",
		Name: strings.TrimSuffix(d.Name, "."+zone), FQDN: d.Name, FQDNDot: d.Name + ".",
		Value: d.Target, ValueDot: d.Target + ".", TTL: ttl,
	}
}
