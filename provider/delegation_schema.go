package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func (r *delegationResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	record := map[string]schema.Attribute{
		"ttl": schema.Int64Attribute{Computed: true, MarkdownDescription: "Time to live in seconds."},
	}
	for name, description := range recordFields() {
		record[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "Registers domains at a `certificate-dns` responder and gives the CNAME records that lead their validation there, to be created once with any DNS provider's resource. From then on no run needs a DNS credential.\n\n" +
			"The provider's `validation` has to be a `responder`, and its token has to have the right to register. Registering is not needed where tokens are given names in the responder's configuration: " +
			"the data source `certificate_validation_records` has the records then. Both lead a domain to the same name.\n\n" +
			"Keys of `records`, names and, with `responder_zone`, values are known in the first plan, so `for_each` takes them. " +
			"Destroying unregisters: the responder forgets the records, and a CNAME that is left leads nowhere.",
		Attributes: map[string]schema.Attribute{
			"domain": schema.StringAttribute{
				Optional: true, Validators: []validator.String{domainCheck()},
				MarkdownDescription: "The domain to be validated, as in `domains` of a `certificate_renewal`; its wildcard is validated at the same name. Exactly one of `domain` and `domains`. Changing it registers the new one and unregisters the one before.",
			},
			"domains": schema.SetAttribute{
				Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(domainCheck())},
				MarkdownDescription: "Several domains. Those that come are registered, those that go unregistered, in place.",
			},
			"subdomain": schema.StringAttribute{
				Optional: true, Validators: []validator.String{labelCheck()},
				MarkdownDescription: "The label, or labels, below the responder's zone that `domain` leads to; not with `domains`. Default: one that follows from the domain, as in `certificate_validation_records`. Changing it registers anew, and the record has to be changed.",
			},
			"responder_zone": schema.StringAttribute{
				Optional: true, Validators: []validator.String{zoneCheck()},
				MarkdownDescription: "Which of the responder's zones to lead to. With it the values of `records` are known in the first plan. Default: the responder's first one. Changing it registers anew, and the records have to be changed.",
			},
			"zone": schema.StringAttribute{
				Optional: true, Validators: []validator.String{zoneCheck()},
				MarkdownDescription: "The zone that the records are created in, to make `name` relative to; all domains have to be in it. Default: none, and `name` is `fqdn`.",
			},
			"ttl": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1<<31-1)},
				MarkdownDescription: fmt.Sprintf("Time to live of the records in seconds. Default: `%d`.", defaultRecordTTL),
			},
			"id": schema.StringAttribute{
				Computed: true, MarkdownDescription: "The domains, in order, with commas between.",
			},
			"records": schema.MapNestedAttribute{
				Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: record},
				MarkdownDescription: "The records to create, by domain, for `for_each`.",
			},
			"verified": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether every authoritative server of each domain's zone has the record. Looked at in each refresh, without a credential.",
			},
			"problems": schema.MapAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What is missing, by domain; empty when `verified`.",
			},
		},
	}
}

// delegationModel is the state of a certificate_delegation.
type delegationModel struct {
	ID            types.String                `tfsdk:"id"`
	Domain        types.String                `tfsdk:"domain"`
	Domains       types.Set                   `tfsdk:"domains"`
	Subdomain     types.String                `tfsdk:"subdomain"`
	ResponderZone types.String                `tfsdk:"responder_zone"`
	Zone          types.String                `tfsdk:"zone"`
	TTL           types.Int64                 `tfsdk:"ttl"`
	Records       map[string]delegationRecord `tfsdk:"records"`
	Verified      types.Bool                  `tfsdk:"verified"`
	Problems      types.Map                   `tfsdk:"problems"`
}

// delegationRecord is a record as DNS providers' resources want it, as far as it
// is known.
type delegationRecord struct {
	Domain   types.String `tfsdk:"domain"`
	Type     types.String `tfsdk:"type"`
	Name     types.String `tfsdk:"name"`
	FQDN     types.String `tfsdk:"fqdn"`
	FQDNDot  types.String `tfsdk:"fqdn_dot"`
	Value    types.String `tfsdk:"value"`
	ValueDot types.String `tfsdk:"value_dot"`
	TTL      types.Int64  `tfsdk:"ttl"`
}

// names are the domains without wildcards, in order; known is false while one of
// them is not.
func (m *delegationModel) names() (names []string, known bool) {
	var all []types.String
	if !m.Domain.IsNull() {
		all = append(all, m.Domain)
	}
	if m.Domains.IsUnknown() {
		return nil, false
	}
	for _, element := range m.Domains.Elements() {
		if text, ok := element.(types.String); ok {
			all = append(all, text)
		}
	}
	for _, text := range all {
		if text.IsUnknown() {
			return nil, false
		}
		if name, err := pki.NormalizeName(text.ValueString()); err == nil { // its own check says what is wrong
			names = append(names, strings.TrimPrefix(name, "*."))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// label is the name below the responder's zone that a domain leads to.
func (m *delegationModel) label(domain string) string {
	if !m.Subdomain.IsNull() {
		return strings.ToLower(m.Subdomain.ValueString())
	}
	return challenge.DelegationLabel(domain)
}

// record is that of a domain that leads to a target; empty where that is not
// known.
func (m *delegationModel) record(domain, target string) delegationRecord {
	zone, _ := zoneName(m.Zone.ValueString())
	ttl := int64(defaultRecordTTL)
	if !m.TTL.IsNull() {
		ttl = m.TTL.ValueInt64()
	}
	r := newValidationRecord(challenge.Delegation{Domain: domain, Name: challenge.Name(domain), Target: target}, zone, ttl)
	known := delegationRecord{
		Domain: types.StringValue(r.Domain), Type: types.StringValue(r.Type), Name: types.StringValue(r.Name),
		FQDN: types.StringValue(r.FQDN), FQDNDot: types.StringValue(r.FQDNDot), TTL: types.Int64Value(r.TTL),
		Value: types.StringValue(r.Value), ValueDot: types.StringValue(r.ValueDot),
	}
	if target == "" {
		known.Value, known.ValueDot = types.StringUnknown(), types.StringUnknown()
	}
	if m.Zone.IsUnknown() {
		known.Name = types.StringUnknown()
	}
	if m.TTL.IsUnknown() {
		known.TTL = types.Int64Unknown()
	}
	return known
}

// setRecords writes the records of domains by their targets.
func (m *delegationModel) setRecords(targets map[string]string) {
	m.Records = map[string]delegationRecord{}
	for domain, target := range targets {
		m.Records[domain] = m.record(domain, target)
	}
	m.ID = types.StringValue(strings.Join(slices.Sorted(maps.Keys(targets)), ","))
}

// fits reports whether a target is what the configuration asks for, as far as it
// does.
func (m *delegationModel) fits(domain, target string) bool {
	zone, ok := strings.CutPrefix(target, m.label(domain)+".")
	if m.ResponderZone.IsNull() {
		return ok
	}
	want, err := zoneName(m.ResponderZone.ValueString())
	return ok && err == nil && zone == want
}

// targets are where the domains of the records lead.
func (m *delegationModel) targets() map[string]string {
	targets := map[string]string{}
	for domain, r := range m.Records {
		targets[domain] = r.Value.ValueString()
	}
	return targets
}

var errNoLabel = errors.New("this is no name below a zone; write labels such as www or a.b")

func labelCheck() textCheck {
	return textCheck{
		summary: "Not a label", want: "labels below a zone", mend: "Use letters, digits and hyphens.",
		check: func(text string) error {
			if _, err := pki.NormalizeName(text + ".example.com"); err != nil || strings.Contains(text, "*") {
				return errNoLabel
			}
			return nil
		},
	}
}
