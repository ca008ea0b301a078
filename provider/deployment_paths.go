package provider

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Paths that a server's own configuration tells: found in the plan where that can
// be, shown in it, held against it at apply, and remembered for refreshes.

func pathsType() attr.Type { return types.MapType{ElemType: types.StringType} }

func discoveredAttribute() schema.Attribute {
	return schema.MapAttribute{
		Computed: true, ElementType: pathsType(),
		MarkdownDescription: "The paths that were read from the server's own configuration, for each of the `hosts` (`" + localHost + "` without them) by the attribute that would set them; null where the target's paths are set. " +
			"They are read again for each deployment; an apply that finds others than its plan showed changes nothing.",
	}
}

// pathsOf are the paths known of a host.
func (m *deploymentModel) pathsOf(name string) deploy.Paths {
	if m.Discovered.IsNull() || m.Discovered.IsUnknown() {
		return nil
	}
	found, ok := m.Discovered.Elements()[name].(types.Map)
	if !ok {
		return nil
	}
	paths := deploy.Paths{}
	for attribute, value := range found.Elements() {
		if text, ok := value.(types.String); ok {
			paths[attribute] = text.ValueString()
		}
	}
	return paths
}

// setDiscovered writes what deployments found. A host without a result has what
// was planned, or known before.
func (m *deploymentModel) setDiscovered(ctx context.Context, found map[string]deploy.Paths, prior *deploymentModel, diags *diag.Diagnostics) {
	known := map[string]deploy.Paths{}
	for name, paths := range found {
		if paths == nil {
			paths = m.pathsOf(name)
		}
		if paths == nil && prior != nil {
			paths = prior.pathsOf(name)
		}
		if paths != nil {
			known[name] = paths
		}
	}
	if m.Discovered.IsUnknown() || m.Discovered.IsNull() {
		diags.Append(m.writeDiscovered(ctx, known)...)
	}
}

func (m *deploymentModel) writeDiscovered(ctx context.Context, known map[string]deploy.Paths) diag.Diagnostics {
	if len(known) == 0 {
		m.Discovered = types.MapNull(pathsType())
		return nil
	}
	value, diags := types.MapValueFrom(ctx, pathsType(), known)
	m.Discovered = value
	return diags
}

// discover reads, in a plan that deploys, the paths that were left out. What the
// configuration does not tell is an error of the plan, and so is a host that lets
// nobody in. One that cannot be reached now is a warning: the apply will ask it.
func (r *deploymentResource) discover(ctx context.Context, m, config deploymentModel, hosts []host, response *resource.ModifyPlanResponse) {
	target, err := config.target(ctx)
	finder, ok := target.(deploy.Finder)
	if err != nil {
		return
	}
	if !ok || !finder.Open() {
		response.Diagnostics.Append(response.Plan.SetAttribute(ctx, path.Root("discovered_paths"), types.MapNull(pathsType()))...)
		return
	}
	name, ok := m.proofName(ctx)
	if !ok && !namesServer(config, target) {
		return // the certificate is not there yet, and nothing else has a name
	}
	found := make([]deploy.Paths, len(hosts))
	problems := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(mostObserved)
	for n, h := range hosts {
		group.Go(func() error {
			defer func() { _ = h.machine.Close() }() // only read from
			var located deploy.Target
			located, found[n], problems[n] = deploy.LocateInTurn(ctx, &r.services.locks, h.name, h.machine, target, name)
			if problems[n] == nil {
				problems[n] = deploy.CheckHost(ctx, h.machine, located)
			}
			return nil
		})
	}
	_ = group.Wait() // what failed is in problems
	known := map[string]deploy.Paths{}
	for n, h := range hosts {
		switch err := problems[n]; {
		case err == nil:
			known[h.name] = found[n]
		case h.local || !unreachable(err):
			response.Diagnostics.AddAttributeError(path.Root(target.Name()), "The paths cannot be used", fmt.Sprintf("%s: %s. Nothing was changed on the server.", h.name, err))
		default:
			response.Diagnostics.AddWarning("The paths are not known yet", fmt.Sprintf("%s could not be asked for them now: %s. The apply will ask again.", h.name, err))
		}
	}
	if len(known) == len(hosts) {
		diags := m.writeDiscovered(ctx, known)
		response.Diagnostics.Append(diags...)
		response.Diagnostics.Append(response.Plan.SetAttribute(ctx, path.Root("discovered_paths"), m.Discovered)...)
	}
}

// unreachable reports whether a host did not answer, rather than refuse.
func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, transport.ErrUnreachable) || errors.Is(err, transport.ErrConnection)
}

// proofName is the server name of the proof, where it is known.
func (m *deploymentModel) proofName(ctx context.Context) (string, bool) {
	if m.Certificate.IsUnknown() || m.Chain.IsUnknown() || hasUnknown(m.Verify) {
		return m.verifyName()
	}
	material, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), pki.Key{})
	if err != nil {
		return "", false
	}
	proof, err := m.proof(ctx, material, host{address: defaultAddress})
	if err != nil || proof.Endpoint.ServerName == "" {
		return serverName(material), err == nil
	}
	return proof.Endpoint.ServerName, true
}

// verifyName is the name that stands in verify.
func (m *deploymentModel) verifyName() (string, bool) {
	name, ok := m.Verify.Attributes()["server_name"].(types.String)
	if !ok || name.IsNull() || name.IsUnknown() {
		return "", false
	}
	return name.ValueString(), true
}

// namesServer reports whether the target's block has the name itself.
func namesServer(config deploymentModel, target deploy.Target) bool {
	name, ok := config.blocks()[target.Name()].Attributes()["server_name"].(types.String)
	return ok && !name.IsNull()
}
