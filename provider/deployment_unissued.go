package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// A certificate_renewal whose first order takes days has no certificate until
// then. Its deployment waits without failing, since an apply that fails every day
// hides the failures that matter.

// setUnissued writes that nothing was deployed; false where there is something to
// deploy.
func (m *deploymentModel) setUnissued() bool {
	if !m.Certificate.IsNull() {
		return false
	}
	none := types.StringNull()
	m.Fingerprint, m.Served, m.FilesHash, m.ProvenBy, m.DriftReason = none, none, none, none, none
	m.HostResults, m.Discovered = types.MapNull(hostResultType()), types.MapNull(pathsType())
	return true
}

// planUnissued plans to wait for a certificate; false where there is one, or
// where nobody knows yet.
func (m *deploymentModel) planUnissued(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) bool {
	if !m.Certificate.IsNull() {
		return false
	}
	at := path.Root("certificate_pem")
	if !request.State.Raw.IsNull() {
		var prior deploymentModel
		response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
		if response.Diagnostics.HasError() {
			return true
		}
		if !prior.Certificate.IsNull() {
			response.Diagnostics.AddAttributeError(at, "There is no certificate any more",
				"certificate_pem is null, and a certificate was deployed. It stays served. Give the certificate, or remove the resource, which leaves the server as it is.")
			return true
		}
		m.copyOutputs(prior)
		response.Diagnostics.Append(response.Plan.Set(ctx, m)...)
	} else {
		response.Diagnostics.Append(response.Plan.SetAttribute(ctx, path.Root("discovered_paths"), types.MapNull(pathsType()))...)
	}
	response.Diagnostics.AddAttributeWarning(at, "There is no certificate to deploy yet",
		"certificate_pem is null, as that of a certificate_renewal is until its first certificate is issued. Nothing is deployed; the apply that has the certificate does it.")
	return true
}
