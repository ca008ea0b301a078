package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

var (
	_ resource.Resource                   = (*renewalResource)(nil)
	_ resource.ResourceWithConfigure      = (*renewalResource)(nil)
	_ resource.ResourceWithValidateConfig = (*renewalResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*renewalResource)(nil)
	_ resource.ResourceWithImportState    = (*renewalResource)(nil)
	_ resource.ResourceWithMoveState      = (*renewalResource)(nil)
)

// renewalResource is certificate_renewal.
type renewalResource struct{ services *services }

func newRenewalResource() resource.Resource { return &renewalResource{} }

func (r *renewalResource) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_renewal"
}

func (r *renewalResource) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		r.services = s
	}
}

// Create implements resource.Resource.
func (r *renewalResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	key := ownKey(ctx, request.Config, m, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	made, diags := r.create(ctx, m, key, response.Private)
	response.Diagnostics.Append(diags...)
	if diags.HasError() {
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &made)...)
	response.Diagnostics.Append(made.identify(ctx, response.Identity)...)
}

// create orders the first certificate, or goes on with the order of an earlier
// run. An order that is still open is saved as such: an error would taint the
// resource and the next apply would start over.
func (r *renewalResource) create(ctx context.Context, m renewalModel, key types.String, private privateState) (_ renewalModel, diags diag.Diagnostics) {
	m.noOutputs()
	w, _, err := m.wanted(ctx)
	ctx, cancel := m.within(ctx, "create", &w)
	defer cancel()
	if err == nil {
		err = w.takeKey(key)
	}
	if err == nil {
		err = r.obtain(ctx, &m, w, &diags)
	}
	if err != nil {
		orderFailed(&diags, w, err, "Nothing was saved.")
		return m, diags
	}
	r.decide(ctx, &m, w, private, &diags)
	reportOpen(&diags, m, w)
	return m, diags
}

// Read implements resource.Resource.
func (r *renewalResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	response.Diagnostics.Append(m.identify(ctx, response.Identity)...)
	if response.Diagnostics.HasError() {
		return
	}
	response.Private = request.Private
	seen, diags := r.read(ctx, m, response.Private)
	response.Diagnostics.Append(diags...)
	if !diags.HasError() && seen != nil {
		response.Diagnostics.Append(response.State.Set(ctx, seen)...)
	}
}

// read makes the one decision about the certificate: it asks the CA's opinion
// where that is due and nothing else of anybody. It returns nil where nothing
// changes.
func (r *renewalResource) read(ctx context.Context, m renewalModel, private privateState) (_ *renewalModel, diags diag.Diagnostics) {
	if m.Certificate.IsNull() && m.Purchase.IsNull() {
		return nil, diags
	}
	w, _, err := m.wanted(ctx)
	if err != nil {
		diags.AddError("The state of the certificate is damaged", err.Error()+".")
		return nil, diags
	}
	before := m
	if w.bought && open(m) {
		r.look(ctx, &m, w, &diags)
		r.remindOpen(m, w, &diags)
		return &m, diags
	}
	if err := r.finishMove(ctx, &m); err != nil {
		diags.AddWarning("The private key is still in state",
			err.Error()+". It was moved here by a moved block and belongs into the provider's storage; the next plan tries again.")
	}
	r.decide(ctx, &m, w, private, &diags)
	r.remind(m, w, &diags)
	if m.decidedAs(before) && m.PrivateKeyID.Equal(before.PrivateKeyID) {
		return nil, diags
	}
	return &m, diags
}

// reminds reports whether a renewal is still open on the day people should hear
// of it.
func (m *renewalModel) reminds(now time.Time) bool {
	at, err := time.Parse(time.RFC3339, m.ReminderAt.ValueString())
	return err == nil && !m.RenewReason.IsNull() && !now.Before(at)
}

func (r *renewalResource) remind(m renewalModel, w wanted, diags *diag.Diagnostics) {
	if !m.reminds(r.services.now()) {
		return
	}
	diags.AddWarning("A renewal is still open", fmt.Sprintf("%s: it is due since %s and expires on %s. Apply, or find out why earlier applies did not renew it.",
		strings.Join(w.names, ", "), m.RenewAt.ValueString(), m.NotAfter.ValueString()))
}

// Update implements resource.Resource.
func (r *renewalResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, prior renewalModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	key := ownKey(ctx, request.Config, m, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	response.Private = request.Private
	made, diags := r.update(ctx, prior, m, key, response.Private)
	response.Diagnostics.Append(diags...)
	if diags.HasError() {
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &made)...)
	response.Diagnostics.Append(made.identify(ctx, response.Identity)...)
}

// update renews where the plan said so; otherwise it takes over settings.
func (r *renewalResource) update(ctx context.Context, prior, m renewalModel, key types.String, private privateState) (_ renewalModel, diags diag.Diagnostics) {
	m.copyOutputs(prior)
	w, _, err := m.wanted(ctx)
	ctx, cancel := m.within(ctx, "update", &w)
	defer cancel()
	var reason string
	if err == nil {
		reason, err = r.reissue(ctx, prior, m, w)
	}
	if err == nil && reason != "" {
		err = errors.Join(r.remembers(ctx, prior, w), w.takeKey(key))
	}
	if err == nil && reason != "" {
		err = r.obtain(ctx, &m, w, &diags)
	}
	if err == nil {
		err = r.setKey(ctx, &m, w)
	}
	if err != nil {
		orderFailed(&diags, w, err, "The certificate in force was not touched.")
		return m, diags
	}
	if !m.Certificate.IsNull() {
		r.decide(ctx, &m, w, private, &diags)
	}
	reportOpen(&diags, m, w)
	return m, diags
}

// Delete gives the certificate up: it is not revoked, and its key stays in the
// storage. Records of an unfinished order are withdrawn, and the order is
// cancelled where that is wished for.
func (r *renewalResource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	ctx, cancel := m.within(ctx, "delete", &wanted{})
	defer cancel()
	r.revoke(ctx, m, &response.Diagnostics)
	r.cancel(ctx, m, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	if err := order.Release(ctx, r.services.store, m.ID.ValueString()); err != nil {
		response.Diagnostics.AddError("The certificate could not be given up", err.Error()+". Nothing was changed; try again when the storage is reachable.")
		return
	}
	if m.Status.ValueString() == string(order.StatusIssued) {
		return
	}
	r.abandon(ctx, m, &response.Diagnostics)
}

// orderFailed words the failure of an order.
func orderFailed(diags *diag.Diagnostics, w wanted, err error, kept string) {
	summary, advice := "The certificate was not issued", "Nothing is lost: the order is journalled, and the next apply goes on with it."
	switch {
	case errors.Is(err, order.ErrRejected):
		summary = "The CA rejected the order"
		advice = "The validation records were withdrawn. Correct what the CA names; the next apply places a new order."
	case errors.Is(err, order.ErrUnacceptable):
		summary = "The CA issued another certificate than was ordered"
		advice = "It was not taken over. The next apply places a new order; ask the CA if it happens again."
	case errors.Is(err, order.ErrHeld):
		summary = "No order was placed"
		advice = "CAs lock out accounts that keep failing. Correct the cause; to try at once, change renewal.force_token."
	case errors.Is(err, context.Canceled):
		summary = "The order was interrupted"
	}
	diags.AddError(summary, fmt.Sprintf("%s: %s.\n\n%s %s", strings.Join(w.names, ", "), err, kept, advice))
}

// reportOpen warns about an order that was not finished in time.
func reportOpen(diags *diag.Diagnostics, m renewalModel, w wanted) {
	if m.Status.ValueString() == string(order.StatusIssued) {
		return
	}
	diags.AddAttributeWarning(path.Root("status"), "The certificate is not issued yet",
		reportOpenText(m, w))
}
