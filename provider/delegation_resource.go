package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ resource.Resource                   = (*delegationResource)(nil)
	_ resource.ResourceWithConfigure      = (*delegationResource)(nil)
	_ resource.ResourceWithValidateConfig = (*delegationResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*delegationResource)(nil)
	_ resource.ResourceWithImportState    = (*delegationResource)(nil)
)

// delegationResource is certificate_delegation.
type delegationResource struct{ services *services }

func newDelegationResource() resource.Resource { return &delegationResource{} }

func (r *delegationResource) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_delegation"
}

func (r *delegationResource) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		r.services = s
	}
}

// ValidateConfig refuses what does not fit together, as far as it is known.
func (r *delegationResource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var m delegationModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	switch {
	case m.Domain.IsNull() && m.Domains.IsNull():
		response.Diagnostics.AddAttributeError(path.Root("domain"), "No domain", "Set one of domain and domains.")
	case !m.Domain.IsNull() && !m.Domains.IsNull():
		response.Diagnostics.AddAttributeError(path.Root("domains"), "Domains in two places", "Keep one of domain and domains.")
	case !m.Subdomain.IsNull() && !m.Domains.IsNull():
		response.Diagnostics.AddAttributeError(path.Root("subdomain"), "One subdomain for several domains",
			"Each domain leads to a name of its own. Leave subdomain out, or write one certificate_delegation for each domain, with for_each.")
	}
	zone, err := zoneName(m.Zone.ValueString())
	names, known := m.names()
	if m.Zone.IsNull() || m.Zone.IsUnknown() || err != nil || !known {
		return
	}
	for _, name := range names {
		if name != zone && !strings.HasSuffix(name, "."+zone) {
			response.Diagnostics.AddAttributeError(path.Root("zone"), "A domain outside of the zone",
				fmt.Sprintf("zone: %q is not in %q. Write one certificate_delegation for each zone, or leave zone out.", name, zone))
		}
	}
}

// ModifyPlan tells as much of the records as is known, so that for_each takes
// them in the first plan.
func (r *delegationResource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if request.Plan.Raw.IsNull() {
		return
	}
	var m, prior delegationModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if !request.State.Raw.IsNull() {
		response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	}
	names, known := m.names()
	if response.Diagnostics.HasError() || !known {
		return
	}
	if r.services != nil && !r.services.incomplete {
		if _, err := challenge.RegistrarOf(r.services.solver); err != nil {
			response.Diagnostics.AddError("Nobody registers domains", err.Error()+".")
			return
		}
	}
	targets := map[string]string{}
	for _, name := range names {
		targets[name] = m.planned(name)
		before, ok := prior.Records[name]
		switch {
		case !ok || m.Subdomain.IsUnknown() || m.ResponderZone.IsUnknown():
		case m.fits(name, before.Value.ValueString()):
			targets[name] = before.Value.ValueString()
		case !m.Subdomain.Equal(prior.Subdomain):
			response.RequiresReplace.Append(path.Root("subdomain"))
		default:
			response.RequiresReplace.Append(path.Root("responder_zone"))
		}
	}
	m.setRecords(targets)
	m.Verified, m.Problems = types.BoolUnknown(), types.MapUnknown(types.StringType)
	if maps.Equal(targets, prior.targets()) {
		m.Verified, m.Problems = prior.Verified, prior.Problems
	}
	response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
}

// planned is where a domain that is not registered yet will lead; empty where
// the responder decides.
func (m *delegationModel) planned(domain string) string {
	zone, err := zoneName(m.ResponderZone.ValueString())
	if m.ResponderZone.IsNull() || m.ResponderZone.IsUnknown() || m.Subdomain.IsUnknown() || err != nil {
		return ""
	}
	return m.label(domain) + "." + zone
}

// Create registers the domains. Those that an earlier apply has registered in
// the same way are taken over.
func (r *delegationResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m delegationModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	r.register(ctx, &m, nil, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// register registers the domains of a model that are not registered yet, and
// writes its outputs.
func (r *delegationResource) register(ctx context.Context, m *delegationModel, registered map[string]string, diags *diag.Diagnostics) {
	responder, err := challenge.RegistrarOf(r.services.solver)
	targets := map[string]string{}
	names, _ := m.names()
	zone, _ := zoneName(m.ResponderZone.ValueString())
	for _, name := range names {
		if target := registered[name]; target != "" {
			targets[name] = target
			continue
		}
		if err != nil {
			break
		}
		var made challenge.Registration
		if made, err = responder.Register(ctx, name, m.label(name), zone); err == nil {
			targets[name] = made.Target
		}
	}
	if err != nil {
		diags.AddError("The domain was not registered", err.Error()+". What was registered stays, and the next apply goes on with it.")
		return
	}
	m.setRecords(targets)
	r.verify(ctx, m)
}

// maxVerified is how many domains are looked at at a time.
const maxVerified = 16

// verify asks the authoritative servers of the domains' zones whether they lead
// to the responder.
func (r *delegationResource) verify(ctx context.Context, m *delegationModel) {
	solver, ok := r.services.solver.(*challenge.DNSSolver)
	if !ok {
		return
	}
	var mu sync.Mutex
	problems := map[string]attr.Value{}
	group := new(errgroup.Group)
	group.SetLimit(maxVerified)
	for domain, record := range m.Records {
		group.Go(func() error {
			if err := solver.Led(ctx, record.FQDN.ValueString(), record.Value.ValueString()); err != nil {
				mu.Lock()
				defer mu.Unlock()
				problems[domain] = types.StringValue(fmt.Sprintf("%s; create the record %s CNAME %s", err, record.FQDNDot.ValueString(), record.ValueDot.ValueString()))
			}
			return nil
		})
	}
	_ = group.Wait() // the problems are kept apart
	m.Verified, m.Problems = types.BoolValue(len(problems) == 0), types.MapValueMust(types.StringType, problems)
}

// Read looks whether the domains lead to the responder. It asks DNS alone: a plan
// needs no token.
func (r *delegationResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m delegationModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || r.services == nil {
		return
	}
	r.verify(ctx, &m)
	for _, domain := range slices.Sorted(maps.Keys(m.Problems.Elements())) {
		if problem, ok := m.Problems.Elements()[domain].(types.String); ok {
			response.Diagnostics.AddWarning("A domain does not lead to the responder", fmt.Sprintf("%s: %s.", domain, problem.ValueString()))
		}
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Update registers the domains that come and unregisters those that go.
func (r *delegationResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, prior delegationModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	if response.Diagnostics.HasError() {
		return
	}
	registered := prior.targets()
	r.register(ctx, &m, registered, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	for domain := range m.Records {
		delete(registered, domain)
	}
	if kept := r.unregister(ctx, registered, &response.Diagnostics); len(kept) > 0 {
		targets := m.targets()
		maps.Copy(targets, kept)
		m.setRecords(targets) // the next plan sees what is too much
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// unregister returns the domains that the responder still has.
func (r *delegationResource) unregister(ctx context.Context, targets map[string]string, diags *diag.Diagnostics) map[string]string {
	responder, err := challenge.RegistrarOf(r.services.solver)
	kept, problems := map[string]string{}, []error{err}
	for _, domain := range slices.Sorted(maps.Keys(targets)) {
		if responder == nil {
			break
		}
		if err := responder.Unregister(ctx, domain); err != nil {
			kept[domain] = targets[domain]
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil && len(targets) > 0 {
		diags.AddError("The domain was not unregistered", err.Error()+". It stays in the state; apply again.")
	}
	return kept
}

// Delete unregisters the domains.
func (r *delegationResource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var m delegationModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	kept := r.unregister(ctx, m.targets(), &response.Diagnostics)
	if response.Diagnostics.HasError() && len(kept) < len(m.Records) && len(kept) > 0 {
		m.setRecords(kept)
		response.Diagnostics.Append(response.State.Set(ctx, &m)...)
	}
}

// ImportState takes domains that are registered at the responder: one, or
// several with commas between.
func (r *delegationResource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	m := delegationModel{Domains: types.SetNull(types.StringType), Verified: types.BoolNull(), Problems: types.MapNull(types.StringType)}
	responder, err := challenge.RegistrarOf(r.services.solver)
	targets := map[string]string{}
	var domains []attr.Value
	for text := range strings.SplitSeq(request.ID, ",") {
		name, nameErr := pki.NormalizeName(strings.TrimSpace(text))
		if err = errors.Join(err, nameErr); err != nil {
			break
		}
		var known challenge.Registration
		if known, err = responder.Registered(ctx, strings.TrimPrefix(name, "*.")); err != nil {
			break
		}
		targets[known.Domain] = known.Target
		domains = append(domains, types.StringValue(known.Domain))
		if known.Subdomain != challenge.DelegationLabel(known.Domain) {
			m.Subdomain = types.StringValue(known.Subdomain)
		}
	}
	if err != nil {
		response.Diagnostics.AddError("The delegation could not be imported", err.Error()+". Give the domain, or several with commas between.")
		return
	}
	if len(domains) == 1 {
		m.Domain = types.StringValue(slices.Sorted(maps.Keys(targets))[0])
	} else {
		m.Domains = types.SetValueMust(types.StringType, domains)
	}
	m.setRecords(targets)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}
