package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *renewalResource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if request.Plan.Raw.IsNull() {
		return
	}
	var m renewalModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	var prior *renewalModel
	if !request.State.Raw.IsNull() {
		prior = &renewalModel{}
		response.Diagnostics.Append(request.State.Get(ctx, prior)...)
	}
	if response.Diagnostics.HasError() {
		return
	}
	planned, diags := r.plan(ctx, prior, m)
	response.Diagnostics.Append(diags...)
	if !diags.HasError() {
		response.Diagnostics.Append(response.Plan.Set(ctx, &planned)...)
	}
}

// plan turns the decision that Read left in the state before, if there is one,
// and what changed in the configuration, into a plan. It reads no clock: it runs
// again during apply and must come to the same result.
func (r *renewalResource) plan(ctx context.Context, prior *renewalModel, m renewalModel) (_ renewalModel, diags diag.Diagnostics) {
	if prior != nil {
		m.copyOutputs(*prior)
	} else {
		m.ID = types.StringUnknown()
		m.unknownOutputs(false)
	}
	w, complete, err := m.wanted(ctx)
	switch {
	case err != nil:
		diags.AddError("The certificate cannot be planned", err.Error()+".")
	case complete && len(w.names) == 0:
		diags.AddAttributeError(path.Root("domains"), "No names for the certificate",
			"Neither domains nor the certificate or signing request given name any.")
	case prior == nil:
		r.planCreate(ctx, &m, w, complete, &diags)
	case !complete:
		m.unknownOutputs(false)
	default:
		r.planUpdate(ctx, *prior, &m, w, &diags)
	}
	return m, diags
}

// stays reports whether a certificate whose configuration did not change needs
// no apply.
func (r *renewalResource) stays(ctx context.Context, m renewalModel) bool {
	w, complete, err := m.wanted(ctx)
	if err != nil || !complete {
		return false
	}
	reason, err := r.reissue(ctx, m, m, w)
	return err == nil && reason == ""
}

func (r *renewalResource) planCreate(ctx context.Context, m *renewalModel, w wanted, complete bool, diags *diag.Diagnostics) {
	r.checkOrderable(ctx, *m, w, complete, diags)
	r.checkSuits(*m, w, diags)
	if !complete || diags.HasError() {
		return
	}
	if !m.OriginalCertificate.IsNull() && r.services != nil {
		if original, err := m.original(); err == nil && r.services.now().After(original.NotAfter) {
			diags.AddAttributeError(path.Root("original_certificate_pem"), "The original certificate has expired",
				fmt.Sprintf("It expired on %s: there is nothing left to renew. Write domains instead to apply for a new one.", original.NotAfter))
			return
		}
	}
	r.checkTerm(ctx, *m, w, diags)
	if difference := m.overridesOriginal(w); difference != "" {
		diags.AddWarning("This is a new application, not a renewal",
			fmt.Sprintf("%s: compared with original_certificate_pem, %s%s.", strings.Join(w.names, ", "), difference, newApplication))
	}
	if w.custody != custodyState || w.request != nil || w.own {
		m.PrivateKeyPEM = types.StringNull()
	}
	if w.request != nil || w.own {
		m.PrivateKeyID = types.StringNull()
	}
}

// planUpdate marks what an apply will change.
func (r *renewalResource) planUpdate(ctx context.Context, prior renewalModel, m *renewalModel, w wanted, diags *diag.Diagnostics) {
	keepsOrder(ctx, prior, w, diags)
	if diags.HasError() {
		return
	}
	reason, err := r.reissue(ctx, prior, *m, w)
	if err != nil {
		diags.AddAttributeError(path.Root("issuer"), "No such issuer", err.Error()+".")
		return
	}
	keepsCompany(ctx, prior, w, diags)
	if reason != "" {
		r.checkOrderable(ctx, *m, w, true, diags)
		r.checkTerm(ctx, *m, w, diags)
		r.checkSuits(*m, w, diags)
		current, err := prior.leaf()
		keepKey := err == nil && w.intent("", current, prior.PrivateKeyID.ValueString()).KeyID != ""
		m.unknownOutputs(keepKey)
		if w.custody != custodyState || w.request != nil || w.own {
			m.PrivateKeyPEM = types.StringNull()
		}
		// Terraform plans once more during apply and shows this again.
		if open(prior) {
			diags.AddWarning("The order of an earlier apply goes on", fmt.Sprintf("%s: %s.", strings.Join(w.names, ", "), reason))
			return
		}
		diags.AddWarning("The certificate is due for replacement",
			fmt.Sprintf("%s: %s. A new one is ordered; the current one stays valid until %s.", strings.Join(w.names, ", "), reason, prior.NotAfter.ValueString()))
		return
	}
	if !m.Renewal.Equal(prior.Renewal) {
		m.unknownDecision()
	}
	switch {
	case w.custody != custodyState:
		m.PrivateKeyPEM = types.StringNull()
	case prior.PrivateKeyPEM.IsNull() && !prior.PrivateKeyID.IsNull():
		m.PrivateKeyPEM = types.StringUnknown()
	}
}

// reissue says why a new certificate has to be ordered; empty when it does not.
// The answer is the same in plan and apply: it depends on state and
// configuration alone.
func (r *renewalResource) reissue(ctx context.Context, prior, m renewalModel, w wanted) (string, error) {
	if !m.WOVersion.Equal(prior.WOVersion) && !m.WOVersion.IsNull() {
		return "private_key_pem_wo_version changes", nil
	}
	if w.bought && open(prior) && w.token == priorToken(prior) {
		return m.pending(prior), nil
	}
	if prior.Certificate.IsNull() || prior.Status.ValueString() != string(order.StatusIssued) {
		return "the order of an earlier apply is not finished", nil
	}
	current, err := prior.leaf()
	if err != nil {
		return "", err
	}
	if reason := w.differs(current); reason != "" {
		return reason, nil
	}
	if !prior.IssuerUsed.IsNull() && r.services != nil && !r.services.incomplete {
		names, err := r.candidates(ctx, m)
		if err != nil {
			return "", err
		}
		if !slices.Contains(names, prior.IssuerUsed.ValueString()) {
			return fmt.Sprintf("the issuer changes from %s to %s", prior.IssuerUsed.ValueString(), strings.Join(names, " or ")), nil
		}
		if reason := m.ordersAnew(ctx, prior, w); reason != "" {
			return reason, nil
		}
	}
	return prior.RenewReason.ValueString(), nil
}

// checkOrderable refuses a plan whose apply could not place an order.
func (r *renewalResource) checkOrderable(ctx context.Context, m renewalModel, w wanted, complete bool, diags *diag.Diagnostics) {
	if r.services == nil || r.services.incomplete || m.Issuer.IsUnknown() || m.Issuers.IsUnknown() {
		return
	}
	at := path.Root("issuer")
	if !m.Issuers.IsNull() {
		at = path.Root("issuers")
	}
	names, err := r.candidates(ctx, m)
	if err != nil {
		diags.AddAttributeError(at, "No such issuer", err.Error()+".")
		return
	}
	if complete {
		r.checkPurchase(m, w, names, diags)
	}
	for _, name := range names {
		if err := r.services.ready(name); err != nil {
			diags.AddAttributeError(at, "The issuer cannot be used yet", fmt.Sprintf("Issuer %q: %s.", name, err))
			continue
		}
		r.checkProfile(ctx, name, m, diags)
	}
}

// checkProfile refuses a profile that the CA does not have. Where the CA cannot
// be asked, the apply will say so.
func (r *renewalResource) checkProfile(ctx context.Context, name string, m renewalModel, diags *diag.Diagnostics) {
	opened, err := r.services.issuer(name)
	profiler, ok := opened.(issuer.Profiler)
	if err != nil || !ok || m.Profile.IsUnknown() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, suggestTimeout)
	defer cancel()
	if err := profiler.CheckProfile(ctx, m.Profile.ValueString()); errors.Is(err, issuer.ErrNoProfile) {
		diags.AddAttributeError(path.Root("profile"), "No such certificate profile", fmt.Sprintf("Issuer %q: %s. Write one of them, or leave profile out.", name, err))
	}
}

// forceToken is renewal.force_token.
func forceToken(m renewalModel) attr.Value {
	if value, ok := m.Renewal.Attributes()["force_token"]; ok {
		return value
	}
	return types.StringNull()
}

// priorToken is it as text.
func priorToken(m renewalModel) string {
	text, _ := forceToken(m).(types.String)
	return text.ValueString()
}

// ordersAnew says what the CA is asked for differently than before, besides
// names and key; empty where nothing is. What was never said, as after an import,
// does not differ.
func (m renewalModel) ordersAnew(ctx context.Context, prior renewalModel, w wanted) string {
	var changed []string
	for _, option := range []struct {
		name          string
		before, after attr.Value
	}{
		{"profile", prior.Profile, m.Profile},
		{"preferred_chain", prior.PreferredChain, m.PreferredChain},
		{"must_staple", prior.MustStaple, m.MustStaple},
		{"validity", prior.Validity, m.Validity},
		{"renewal.force_token", forceToken(prior), forceToken(m)},
	} {
		if !option.after.IsNull() && !option.after.Equal(option.before) {
			changed = append(changed, option.name)
		}
	}
	if len(changed) > 0 {
		return strings.Join(changed, " and ") + " changes"
	}
	before, complete, err := prior.wanted(ctx)
	if err != nil || !complete || prior.Subject.IsNull() && prior.OriginalCertificate.IsNull() && m.Subject.IsNull() {
		return ""
	}
	if reason := subjectDiffers(before.options.Subject, w.options.Subject, w); reason != "" {
		return reason + newApplication
	}
	return ""
}
