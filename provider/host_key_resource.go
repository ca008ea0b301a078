package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

var (
	_ resource.Resource                   = (*hostKeyResource)(nil)
	_ resource.ResourceWithConfigure      = (*hostKeyResource)(nil)
	_ resource.ResourceWithValidateConfig = (*hostKeyResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*hostKeyResource)(nil)
	_ resource.ResourceWithImportState    = (*hostKeyResource)(nil)
)

// hostKeyResource is certificate_host_key.
type hostKeyResource struct{ services *services }

func newHostKeyResource() resource.Resource { return &hostKeyResource{} }

func (r *hostKeyResource) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_host_key"
}

func (r *hostKeyResource) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		r.services = s
	}
}

// onHost works with the key on its host, while nobody else changes the host.
func (r *hostKeyResource) onHost(ctx context.Context, described hostKeyModel, work func(deploy.HostKey, transport.Transport) error) error {
	k, err := described.key(ctx)
	if err != nil {
		return err
	}
	machine, err := described.machine(ctx, r.services.transports)
	if err != nil {
		return err
	}
	defer func() { _ = machine.Close() }() // nothing is written any more
	if placed, ok := machine.(transport.Placed); ok {
		unlock, err := r.services.locks.Lock(ctx, placed.Place())
		if err != nil {
			return err
		}
		defer unlock()
	}
	return work(k, machine)
}

func (r *hostKeyResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m, config hostKeyModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if response.Diagnostics.HasError() {
		return
	}
	err := r.onHost(ctx, config, func(k deploy.HostKey, machine transport.Transport) error {
		held, err := k.Make(ctx, machine, "")
		if err == nil {
			m.setMade(held, 1, r.services.now())
		}
		return err
	})
	if err != nil {
		notMade(&response.Diagnostics, err)
		return
	}
	m.ID = types.StringValue(order.NewID())
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func notMade(diags *diag.Diagnostics, err error) {
	diags.AddError("The key was not made", strings.TrimSuffix(err.Error(), ".")+".\n\nThe files on the host are what they were. Correct the cause and apply again.")
}

// Read decides whether a new key is due. Unless it is told to, it asks nobody.
func (r *hostKeyResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m hostKeyModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || m.PublicKey.IsNull() {
		return
	}
	m.setTurn(r.services.now())
	if m.looks() {
		err := r.onHost(ctx, m, func(k deploy.HostKey, machine transport.Transport) error {
			_, err := k.Find(ctx, machine, m.PublicKey.ValueString())
			return err
		})
		switch {
		case errors.Is(err, deploy.ErrKeyGone):
			m.RotateReason = types.StringValue(err.Error())
		case err != nil:
			response.Diagnostics.AddWarning("The key could not be looked at", err.Error()+". What was known stays in state. A refresh has no passwords: use private_key_path or the agent, or set refresh = \"none\".")
		}
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (r *hostKeyResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, config, prior hostKeyModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	if response.Diagnostics.HasError() {
		return
	}
	m.copyOutputs(prior)
	if m.rekey(prior) == "" && !m.asksAnew(prior) && !m.moves(prior) {
		m.setTurn(r.services.now())
		response.Diagnostics.Append(response.State.Set(ctx, &m)...)
		return
	}
	err := r.onHost(ctx, config, func(k deploy.HostKey, machine transport.Transport) error { return r.renew(ctx, &m, prior, k, machine) })
	if err != nil {
		notMade(&response.Diagnostics, err)
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// renew makes a new key, or a new request for the one there is.
func (r *hostKeyResource) renew(ctx context.Context, m *hostKeyModel, prior hostKeyModel, k deploy.HostKey, machine transport.Transport) error {
	now, hash := r.services.now(), prior.PublicKey.ValueString()
	if prior.PublicKey.IsNull() {
		held, algorithm, err := k.Adopt(ctx, machine)
		if err == nil && algorithm != k.Algorithm {
			err = fmt.Errorf("the key in %s is of the algorithm %s: set algorithm to that, or to what a new key is to have after the import", k.Path, algorithm)
		}
		if err == nil {
			m.setMade(held, 1, now)
		}
		return err
	}
	if m.rekey(prior) == "" {
		err := r.keep(ctx, m, prior, k, machine)
		if err == nil {
			m.setTurn(now)
		}
		if err == nil || !errors.Is(err, deploy.ErrKeyGone) || !m.moves(prior) {
			return err
		}
	}
	held, err := k.Make(ctx, machine, hash)
	if err == nil {
		m.setMade(held, prior.Generation.ValueInt64()+1, now)
	}
	return err
}

// keep finds the key where it is, and has another request made where the one
// before does not say what is wanted.
func (r *hostKeyResource) keep(ctx context.Context, m *hostKeyModel, prior hostKeyModel, k deploy.HostKey, machine transport.Transport) error {
	hash := prior.PublicKey.ValueString()
	if !m.asksAnew(prior) {
		_, err := k.Find(ctx, machine, hash)
		return err
	}
	held, err := k.Request(ctx, machine, hash)
	if err == nil {
		m.setRequest(held)
	}
	return err
}

// Delete leaves the key on its host unless told otherwise.
func (r *hostKeyResource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var m hostKeyModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || !m.DeleteOnDestroy.ValueBool() || m.PublicKey.IsNull() {
		return
	}
	err := r.onHost(ctx, m, func(k deploy.HostKey, machine transport.Transport) error {
		return k.Delete(ctx, machine, m.PublicKey.ValueString())
	})
	if err != nil {
		response.Diagnostics.AddError("The key was not removed", err.Error()+". Nothing was destroyed. On destroy there are no passwords: use private_key_path or the agent, or apply delete_on_destroy = false first and remove the key by hand.")
	}
}

// ModifyPlan plans a new key when one is due, and refuses what would fail.
func (r *hostKeyResource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if request.Plan.Raw.IsNull() {
		return
	}
	var m, config, prior hostKeyModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if !request.State.Raw.IsNull() {
		response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	}
	if response.Diagnostics.HasError() {
		return
	}
	m.PrivateKeyPath = m.Path
	if !request.State.Raw.IsNull() {
		m.copyOutputs(prior)
		reason := m.rekey(prior)
		switch {
		case reason != "" || m.moves(prior) || prior.PublicKey.IsNull():
			m.unknownKey()
		case m.asksAnew(prior):
			m.CSR = types.StringUnknown()
			m.unknownTurn()
		case !m.RotateAfterDays.Equal(prior.RotateAfterDays):
			m.unknownTurn()
		default:
			response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
			return
		}
		if reason != "" {
			response.Diagnostics.AddWarning("A new key is made",
				fmt.Sprintf("%s: %s. It is made beside the key in use, which stays until a deployment takes the new one into place with its certificate.", m.Path.ValueString(), reason))
		}
	}
	response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
	r.checkPlan(ctx, config, response)
}

// checkPlan refuses a key that could not be made.
func (r *hostKeyResource) checkPlan(ctx context.Context, config hostKeyModel, response *resource.ModifyPlanResponse) {
	if r.services == nil || config.incomplete() || hasUnknown(config.Host) {
		return
	}
	err := r.onHost(ctx, config, func(k deploy.HostKey, machine transport.Transport) error { return k.Check(ctx, machine) })
	reportCheck(&response.Diagnostics, path.Root("host"), "The key cannot be made", "the host", err)
}

// ImportState adopts the key at a path; the rest comes from the configuration at
// the next apply.
func (r *hostKeyResource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	if !strings.HasPrefix(request.ID, "/") {
		response.Diagnostics.AddError("The key could not be imported", fmt.Sprintf("%q is no absolute path of a key on its host, such as /etc/nginx/tls/www.key.", request.ID))
		return
	}
	response.Diagnostics.Append(response.State.SetAttribute(ctx, path.Root("id"), order.NewID())...)
	response.Diagnostics.Append(response.State.SetAttribute(ctx, path.Root("path"), request.ID)...)
}
