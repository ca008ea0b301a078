package provider

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
)

// reasonsByNumber are the reasons of RFC 5280 §5.3.1 by their number; empty
// where a number has none, or none that a subscriber gives.
func reasonsByNumber() []string {
	return []string{"unspecified", "key_compromise", "", "affiliation_changed", "superseded", "cessation_of_operation", "", "", "", "privilege_withdrawn"}
}

func revocationReasons() []string {
	return slices.DeleteFunc(reasonsByNumber(), func(reason string) bool { return reason == "" })
}

// reasonNumber is the number of a configured reason; 0, unspecified, without one.
func reasonNumber(configured types.String) uint {
	return uint(max(slices.Index(reasonsByNumber(), configured.ValueString()), 0))
}

var errNoRevoker = errors.New("it cannot revoke; use the CA's own tools")

// revoke revokes the certificate of a model, where it asks for that. It never
// keeps a resource from being destroyed but for a CA that may answer later.
func (r *renewalResource) revoke(ctx context.Context, m renewalModel, diags *diag.Diagnostics) {
	current, err := m.leaf()
	if err != nil || current == nil || !m.RevokeOnDestroy.ValueBool() || !current.NotAfter.After(r.services.now()) {
		return
	}
	open, err := r.services.issuer(m.IssuerUsed.ValueString())
	revoker, ok := open.(issuer.Revoker)
	if err != nil || !ok {
		diags.AddWarning("The certificate was not revoked",
			"The issuer it came from is not configured any more, or cannot revoke. The resource is destroyed; revoke the certificate with the CA's own tools.")
		return
	}
	err = revoker.Revoke(ctx, current, reasonNumber(m.RevocationReason))
	switch {
	case err == nil:
	case errors.Is(err, issuer.ErrNotOurs):
		diags.AddWarning("The certificate was not revoked", err.Error()+". The resource is destroyed; revoke the certificate with the CA's own tools.")
	default:
		diags.AddError("The certificate was not revoked", err.Error()+". Nothing was destroyed: destroy again when the CA answers, or set revoke_on_destroy = false first.")
	}
}
