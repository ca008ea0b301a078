package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What a refresh looks at.
const (
	refreshEndpoint = "endpoint"
	refreshHost     = "host"
	refreshNone     = "none"
)

func refreshAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.OneOf(refreshEndpoint, refreshHost, refreshNone)},
		MarkdownDescription: "What a refresh looks at. `endpoint`: what the servers serve, which needs no credential. `host`: the files on each host too, over one connection each; files that hold a key are not read there, `verify.command` is run, and `verify.from = \"host\"` is asked. Hosts have to be reached without write-only secrets for it. `none`: nothing, no connection is opened and the state is trusted. " +
			"A server or host that cannot be reached is a warning and keeps the state. Changing it deploys nothing. Default: `endpoint`.",
	}
}

// togetherName stands for all addresses of a fleet beside the names of hosts.
const togetherName = "the addresses of verify"

// mostObserved bounds the hosts that are asked at once.
const mostObserved = 16

// observe looks at all hosts of a state at once.
func (r *deploymentResource) observe(ctx context.Context, m deploymentModel) (map[string]deploy.Observation, error) {
	inside := m.Refresh.ValueString() == refreshHost
	kinds := readable(r.services.transports)
	if inside {
		kinds = r.services.transports
	}
	hosts, err := m.machines(ctx, kinds)
	if err != nil && inside {
		return map[string]deploy.Observation{"hosts": {Warnings: []string{fmt.Sprintf("They cannot be logged in to: %v.", err)}}}, nil
	}
	if err != nil {
		return nil, err
	}
	found := make([]deploy.Observation, len(hosts))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(mostObserved)
	for n, h := range hosts {
		group.Go(func() error {
			defer func() { _ = h.machine.Close() }() // nothing was written
			job, err := r.glance(within, m, h, inside)
			if err == nil {
				found[n], err = deploy.Observe(within, job)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seen := map[string]deploy.Observation{}
	for n, h := range hosts {
		seen[h.name] = found[n]
	}
	return seen, r.observeTogether(ctx, m, hosts[0], seen)
}

// glance is the job that a refresh holds against a host. Unless it is to look
// inside, it runs nothing and connects from nowhere but here.
func (r *deploymentResource) glance(ctx context.Context, m deploymentModel, h host, inside bool) (deploy.Job, error) {
	job, err := r.job(ctx, m, m, h, pki.Key{}, nil)
	if err != nil {
		return job, err
	}
	job.Distant, job.Sealed = !h.local && !inside, !h.local
	if !inside && (len(job.Proof.Command) > 0 || job.Proof.Way.Dialer != nil && !h.local) {
		job.Proof = deploy.Proof{}
	}
	return job, nil
}

// observeTogether asks the addresses that all hosts share.
func (r *deploymentResource) observeTogether(ctx context.Context, m deploymentModel, h host, seen map[string]deploy.Observation) error {
	job, err := r.job(ctx, m, m, h, pki.Key{}, nil)
	if err != nil {
		return err
	}
	proof, ok, err := m.together(ctx, job.Material)
	if err != nil || !ok {
		return err
	}
	job.Proof, job.Distant = proof, true
	seen[togetherName], err = deploy.Observe(ctx, job)
	return err
}

// checkLogins refuses what has to log in to hosts when there is no configuration
// at hand, and could not. It looks at the configuration alone.
func (m *deploymentModel) checkLogins(diags *diag.Diagnostics) {
	var what string
	switch {
	case m.Refresh.ValueString() == refreshHost:
		what = "refresh"
	case m.OnDestroy.ValueString() != "" && m.OnDestroy.ValueString() != onDestroyKeep:
		what = "on_destroy"
	default:
		return
	}
	for name, value := range m.Hosts.Elements() {
		if secret := writeOnly(value); secret != "" {
			diags.AddAttributeError(path.Root("hosts").AtMapKey(name), "A host cannot be reached without the configuration",
				fmt.Sprintf("%s is there in an apply alone, and %s has to log in without it. Let the host be reached by private_key_path, an SSH agent and a sudo that does not ask, or leave out %[2]s.", secret, what))
		}
	}
}

// writeOnly names a write-only attribute that is set below a value; empty for
// none.
func writeOnly(value attr.Value) string {
	switch v := value.(type) {
	case types.Object:
		for name, nested := range v.Attributes() {
			if strings.HasSuffix(name, "_wo") && !nested.IsNull() {
				return name
			}
			if found := writeOnly(nested); found != "" {
				return found
			}
		}
	case types.List:
		for _, nested := range v.Elements() {
			if found := writeOnly(nested); found != "" {
				return found
			}
		}
	}
	return ""
}
