package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ resource.Resource                   = (*renewalResource)(nil)
	_ resource.ResourceWithConfigure      = (*renewalResource)(nil)
	_ resource.ResourceWithValidateConfig = (*renewalResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*renewalResource)(nil)
	_ resource.ResourceWithImportState    = (*renewalResource)(nil)
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

// Create orders the first certificate, or goes on with the order of an earlier
// run. An order that is still open is saved as such: an error would taint the
// resource and the next apply would start over.
func (r *renewalResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	m.noOutputs()
	w, _, err := m.wanted(ctx)
	if err == nil {
		err = r.obtain(ctx, &m, w)
	}
	if err != nil {
		orderFailed(&response.Diagnostics, w, err, "Nothing was saved.")
		return
	}
	r.decide(ctx, &m, w, response.Private, &response.Diagnostics)
	reportOpen(&response.Diagnostics, m, w)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Read makes the one decision about the certificate: it asks the CA's opinion
// where that is due and nothing else of anybody.
func (r *renewalResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || m.Certificate.IsNull() {
		return
	}
	w, _, err := m.wanted(ctx)
	if err != nil {
		response.Diagnostics.AddError("The state of the certificate is damaged", err.Error()+".")
		return
	}
	response.Private = request.Private
	r.decide(ctx, &m, w, response.Private, &response.Diagnostics)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Update renews where the plan said so; otherwise it takes over settings.
func (r *renewalResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, prior renewalModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	if response.Diagnostics.HasError() {
		return
	}
	m.copyOutputs(prior)
	w, _, err := m.wanted(ctx)
	var reason string
	if err == nil {
		reason, err = r.reissue(prior, m, w)
	}
	if err == nil && reason != "" {
		err = r.obtain(ctx, &m, w)
	}
	if err == nil {
		err = r.setKey(ctx, &m, w)
	}
	if err != nil {
		orderFailed(&response.Diagnostics, w, err, "The certificate in force was not touched.")
		return
	}
	response.Private = request.Private
	if !m.Certificate.IsNull() {
		r.decide(ctx, &m, w, response.Private, &response.Diagnostics)
	}
	reportOpen(&response.Diagnostics, m, w)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Delete gives the certificate up: it is not revoked, and its key stays in the
// storage. Records of an unfinished order are withdrawn.
func (r *renewalResource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
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
	if err := r.abandon(ctx, m); err != nil {
		response.Diagnostics.AddWarning("Validation records may be left in DNS", err.Error()+".")
	}
}

// abandon withdraws the records of the order that is open.
func (r *renewalResource) abandon(ctx context.Context, m renewalModel) error {
	w, _, err := m.wanted(ctx)
	if err != nil {
		return err
	}
	name, err := r.services.issuerName(m.Issuer)
	if err != nil {
		return err
	}
	open, err := r.services.issuer(name)
	if err != nil {
		return err
	}
	current, err := m.leaf()
	if err != nil {
		return err
	}
	j, err := order.Load(ctx, r.services.store, w.intent(open.ID(), current, m.PrivateKeyID.ValueString()))
	if errors.Is(err, order.ErrNoJournal) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = open.Withdraw(ctx, j)
	return err
}

// ImportState adopts a certificate from a PEM file, or from one with the
// certificates and one with the key: "fullchain.pem" or
// "fullchain.pem,privkey.pem". Nothing is ordered.
func (r *renewalResource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	m := renewalModel{
		PrivateKey: types.ObjectNull(privateKeyAttribute().GetType().(types.ObjectType).AttrTypes),
		Renewal:    types.ObjectNull(renewalAttribute().GetType().(types.ObjectType).AttrTypes),
	}
	m.noOutputs()
	if err := r.importFiles(ctx, &m, request.ID); err != nil {
		response.Diagnostics.AddError("The certificate could not be imported",
			err.Error()+". Give the path of a PEM file with the certificate and its chain, and after a comma that of its private key if it should be taken into the storage. Nothing was changed.")
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (r *renewalResource) importFiles(ctx context.Context, m *renewalModel, id string) error {
	file, keyFile, _ := strings.Cut(id, ",")
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	chain, err := pki.ParseCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if chain, err = pki.OrderChain(chain); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if keyFile != "" {
		if text, err = os.ReadFile(keyFile); err != nil {
			return fmt.Errorf("read the private key: %w", err)
		}
	}
	// Derived from the certificate, so that importing again finds the same.
	sum := sha256.Sum256([]byte("imported " + pki.Fingerprint(chain[0])))
	identity, keyID := hex.EncodeToString(sum[:10]), ""
	key, err := pki.ParseKey(text)
	switch {
	case errors.Is(err, pki.ErrNoKey) && keyFile == "":
	case err != nil:
		return fmt.Errorf("read the private key: %w", err)
	default:
		if err := key.Matches(chain[0]); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		keyID = identity
		if err := order.StoreKey(ctx, r.services.store, keyID, key); err != nil {
			return err
		}
	}
	names := make([]types.String, 0, len(pki.Names(chain[0])))
	for _, name := range pki.NameSet(pki.Names(chain[0])) {
		names = append(names, types.StringValue(name))
	}
	var diags diag.Diagnostics
	if m.Domains, diags = types.SetValueFrom(ctx, types.StringType, names); diags.HasError() {
		return diagError(diags)
	}
	m.ID, m.Generation = types.StringValue(identity), types.Int64Value(1)
	m.setIssued(chain, keyID)
	return nil
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
		fmt.Sprintf("%s: the order is %s after %s (%s). It is recorded, and the next apply goes on with it.",
			strings.Join(w.names, ", "), strings.ReplaceAll(m.Status.ValueString(), "_", " "), w.wait, m.StatusReason.ValueString()))
}
