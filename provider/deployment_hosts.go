package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

func hostsAttribute(kinds []kind.Kind[transport.Transport, schema.Attribute]) schema.Attribute {
	attributes := map[string]schema.Attribute{
		"verify_address": schema.StringAttribute{
			Optional: true, Validators: []validator.String{addressCheck()},
			MarkdownDescription: "Where this host is asked what it serves, as `host:port`. Default: `verify.address`, else port 443, or that of `verify.starttls`, of the address it is reached at.",
		},
	}
	for _, k := range kinds {
		attributes[k.Name] = schema.SingleNestedAttribute{Optional: true, MarkdownDescription: k.Summary, Attributes: k.Attributes}
	}
	return schema.MapNestedAttribute{
		Optional: true, Validators: []validator.Map{mapvalidator.SizeAtLeast(1)},
		MarkdownDescription: "The machines to deploy to, by a name of your choice; each is reached in one way. All have the same target. Default: the machine Terraform runs on. Hosts that are added later are deployed to alone; one that is removed keeps its certificate.",
		NestedObject: schema.NestedAttributeObject{
			Attributes: attributes, Validators: []validator.Object{kind.ExactlyOne(kind.Names(kinds))},
		},
	}
}

func rolloutAttribute() schema.Attribute {
	number := func(what string, least int64) schema.Attribute {
		return schema.Int64Attribute{Optional: true, Validators: []validator.Int64{int64validator.AtLeast(least)}, MarkdownDescription: what}
	}
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "In which order and how many at a time the `hosts` get the certificate. A rollout that was stopped goes on in the next apply with the hosts that are left.",
		Attributes: map[string]schema.Attribute{
			"canary":       number("Hosts that have to succeed before the others begin. Default: `1`.", 1),
			"max_parallel": number("Hosts at a time. Default: `1`.", 1),
			"max_failures": number("Hosts that may fail before no further one begins. Default: `0`.", 0),
		},
	}
}

func hostResultType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"state": types.StringType, "fingerprint_sha256": types.StringType, "served_fingerprint_sha256": types.StringType, "error": types.StringType,
	}}
}

func hostResultsAttribute() schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for name, description := range map[string]string{
		"state":                     "`done`, `failed`, or `waiting` for a host that was not tried.",
		"fingerprint_sha256":        "SHA-256 fingerprint of the certificate that was deployed last; null when none was.",
		"served_fingerprint_sha256": "SHA-256 fingerprint of the certificate that was served when last asked.",
		"error":                     "Why it failed; null when it did not.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return schema.MapNestedAttribute{
		Computed: true, MarkdownDescription: "What became of each of the `hosts`; null without them.",
		NestedObject: schema.NestedAttributeObject{Attributes: attributes},
	}
}

// host is one machine of a deployment.
type host struct {
	name    string
	machine transport.Transport
	address string // where it is asked what it serves, unless verify says
	own     bool   // address was written for this host
	local   bool
}

// machines builds the hosts of a configuration, or of a state, which has no
// passwords.
func (m *deploymentModel) machines(ctx context.Context, kinds []kind.Kind[transport.Transport, schema.Attribute]) ([]host, error) {
	if m.Hosts.IsNull() {
		return []host{{name: localHost, machine: transport.Local{}, address: defaultAddress, local: true}}, nil
	}
	var hosts []host
	for _, name := range slices.Sorted(maps.Keys(m.Hosts.Elements())) {
		object, ok := m.Hosts.Elements()[name].(types.Object)
		if !ok || object.IsUnknown() || hasUnknown(object) {
			return nil, errUnknownTarget
		}
		way, machine, diags := kind.New(ctx, kinds, path.Root("hosts").AtMapKey(name), object)
		if diags.HasError() {
			return nil, fmt.Errorf("host %s: %w", name, diagError(diags))
		}
		h := host{name: name, machine: machine, address: defaultAddress, local: way == "local"}
		if own, ok := object.Attributes()["verify_address"].(types.String); ok && !own.IsNull() {
			h.address, h.own = own.ValueString(), true
		} else if block, ok := object.Attributes()[way].(types.Object); ok && !h.local {
			if reached, ok := block.Attributes()["address"].(types.String); ok {
				h.address = httpsOf(reached.ValueString())
			}
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// httpsOf is port 443 of the host in an address.
func httpsOf(address string) string {
	if name, _, err := net.SplitHostPort(address); err == nil {
		address = name
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "443")
}

// rollout reads the configured order of a fleet.
func (m *deploymentModel) rollout(ctx context.Context) (deploy.Rollout, error) {
	if m.Rollout.IsNull() {
		return deploy.Rollout{}, nil
	}
	var b struct {
		Canary      types.Int64 `tfsdk:"canary"`
		MaxParallel types.Int64 `tfsdk:"max_parallel"`
		MaxFailures types.Int64 `tfsdk:"max_failures"`
	}
	if diags := m.Rollout.As(ctx, &b, basetypes.ObjectAsOptions{}); diags.HasError() {
		return deploy.Rollout{}, diagError(diags)
	}
	return deploy.Rollout{Canary: int(b.Canary.ValueInt64()), MaxParallel: int(b.MaxParallel.ValueInt64()), MaxFailures: int(b.MaxFailures.ValueInt64())}, nil
}

// hostResult is one element of host_results.
type hostResult struct {
	State       types.String `tfsdk:"state"`
	Fingerprint types.String `tfsdk:"fingerprint_sha256"`
	Served      types.String `tfsdk:"served_fingerprint_sha256"`
	Error       types.String `tfsdk:"error"`
}

// results reads host_results.
func (m *deploymentModel) results(ctx context.Context) map[string]hostResult {
	results := map[string]hostResult{}
	if m.HostResults.IsNull() || m.HostResults.IsUnknown() {
		return results
	}
	if m.HostResults.ElementsAs(ctx, &results, false).HasError() {
		return map[string]hostResult{}
	}
	return results
}

func (m *deploymentModel) setResults(ctx context.Context, results map[string]hostResult) error {
	value, diags := types.MapValueFrom(ctx, hostResultType(), results)
	m.HostResults = value
	return diagError(diags)
}

// pending names the hosts that do not have the certificate: those that failed,
// were not tried, or are new. It looks at the state alone.
func (m *deploymentModel) pending(ctx context.Context) []string {
	if m.Hosts.IsNull() || m.Hosts.IsUnknown() {
		return nil
	}
	results := m.results(ctx)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.Hosts.Elements())) {
		if results[name].State.ValueString() != string(deploy.HostDone) {
			names = append(names, name)
		}
	}
	return names
}

// begun says how far each host is before a rollout: those that an earlier apply
// has brought to the same certificate, in the same way, are done.
func begun(ctx context.Context, hosts []host, prior *deploymentModel, unchanged bool, fingerprint string) map[string]deploy.HostState {
	states := map[string]deploy.HostState{}
	var before map[string]hostResult
	if prior != nil && unchanged {
		before = prior.results(ctx)
	}
	for _, h := range hosts {
		states[h.name] = deploy.HostWaiting
		if r := before[h.name]; r.State.ValueString() == string(deploy.HostDone) && r.Fingerprint.ValueString() == fingerprint {
			states[h.name] = deploy.HostDone
		}
	}
	return states
}

// merge writes the outcome of a rollout over what was known of the hosts.
func merge(before map[string]hostResult, outcome map[string]deploy.HostResult) map[string]hostResult {
	merged := map[string]hostResult{}
	for name, one := range outcome {
		r := before[name]
		r.State, r.Error = types.StringValue(string(one.State)), types.StringNull()
		switch {
		case one.Err != nil:
			r.Error = types.StringValue(one.Err.Error())
		case one.Result.Fingerprint != "":
			r.Fingerprint = types.StringValue(one.Result.Fingerprint)
			r.Served = types.StringNull()
			if one.Result.Proven == deploy.ByHandshake {
				r.Served = types.StringValue(one.Result.Served.Fingerprint)
			}
		}
		merged[name] = r
	}
	return merged
}

// fleetKept says what is true after a rollout that did not reach every host.
func fleetKept(err error) string {
	var fleet *deploy.FleetError
	if !errors.As(err, &fleet) {
		return ""
	}
	return "Each host that failed was put back as its message says; the next apply goes on with the hosts that are left."
}

// setFleet writes what is true of all hosts after a rollout.
func (m *deploymentModel) setFleet(fingerprint string, proven deploy.Proven) {
	m.Fingerprint, m.ProvenBy = types.StringValue(fingerprint), types.StringValue(string(proven))
	m.Served, m.FilesHash, m.DriftReason = types.StringNull(), types.StringNull(), types.StringNull()
}

// setObservedHosts writes what a refresh found of each host. One that drifted is
// to be deployed to again.
func (m *deploymentModel) setObservedHosts(ctx context.Context, seen map[string]deploy.Observation) error {
	results := m.results(ctx)
	var drift []string
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		r, ok := results[name]
		if !ok {
			if len(seen[name].Drift) > 0 { // at an address that no host has for its own
				drift = append(drift, strings.Join(seen[name].Drift, " "))
			}
			continue
		}
		if served := seen[name].ServedFingerprint; served != "" {
			r.Served = types.StringValue(served)
		}
		if r.State.ValueString() == string(deploy.HostDone) && len(seen[name].Drift) > 0 {
			r.State = types.StringValue(string(deploy.HostWaiting))
			drift = append(drift, name+": "+strings.Join(seen[name].Drift, " "))
		}
		results[name] = r
	}
	if all, asked := seen[togetherName]; asked && len(all.Warnings) == 0 {
		m.DriftReason = types.StringNull()
	}
	if len(drift) > 0 {
		m.DriftReason = types.StringValue(strings.Join(drift, "; "))
	}
	return m.setResults(ctx, results)
}

// readable are the ways to hosts as a refresh needs them: it connects to none of
// them, and lacks the passwords without which some would be refused.
func readable(kinds []kind.Kind[transport.Transport, schema.Attribute]) []kind.Kind[transport.Transport, schema.Attribute] {
	named := slices.Clone(kinds)
	for n := range named {
		named[n].New = func(context.Context, path.Path, types.Object) (transport.Transport, diag.Diagnostics) {
			return transport.Local{}, nil
		}
	}
	return named
}
