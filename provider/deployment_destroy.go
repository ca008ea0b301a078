package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// onDestroyKeep leaves a server as it is.
const onDestroyKeep = "keep"

func onDestroyAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.OneOf(onDestroyKeep, string(deploy.Restore), string(deploy.Remove))},
		MarkdownDescription: "What becomes of the server on destroy. `keep`: nothing, it goes on with the certificate it has. `restore`: the files are what they were before the first deployment with this setting, byte for byte, files that did not exist are removed, and the certificate from then is proven to be served. " +
			"`remove`: the files are deleted, provided that the server's configuration passes its test without them; backups stay. When that fails everything is put back, and the destroy ends with an error. " +
			"Hosts have to be reached without write-only secrets for it. Targets that are told with a password know `keep` alone, since a destroy has none; `iis`, keystores and servers without a test of their configuration know no `remove`. Default: `keep`.",
	}
}

// withdrawal is what on_destroy asks for; false where the server keeps what it has.
func (m *deploymentModel) withdrawal() (deploy.Withdrawal, bool) {
	how := m.OnDestroy.ValueString()
	return deploy.Withdrawal(how), how != "" && how != onDestroyKeep
}

// Delete leaves the server as it is, or does what on_destroy says. Hosts that it
// could not do it on stay in the state, and a further destroy goes on with them.
func (r *deploymentResource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var m deploymentModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	how, ok := m.withdrawal()
	if response.Diagnostics.HasError() || !ok || m.Certificate.IsNull() { // nothing was deployed
		return
	}
	hosts, err := m.machines(ctx, r.services.transports)
	if err != nil {
		response.Diagnostics.AddError("The deployment was not undone", err.Error()+". Nothing was changed on any host. "+howToKeep)
		return
	}
	results := m.results(ctx)
	var problems []error
	for _, h := range hosts {
		defer func() { _ = h.machine.Close() }() // nothing is written any more
		if !m.Hosts.IsNull() && results[h.name].Fingerprint.IsNull() {
			continue // nothing was deployed to it, or that is undone
		}
		if err := r.withdraw(ctx, m, h, how, &response.Diagnostics); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", h.name, err))
		} else if !m.Hosts.IsNull() {
			results[h.name] = hostResult{State: types.StringValue(string(deploy.HostWaiting)), Fingerprint: types.StringNull(), Served: types.StringNull(), Error: types.StringNull()}
		}
	}
	if err := errors.Join(problems...); err != nil {
		if !m.Hosts.IsNull() {
			response.Diagnostics.Append(diagnosed(m.setResults(ctx, results))...)
			response.Diagnostics.Append(response.State.Set(ctx, &m)...)
		}
		response.Diagnostics.AddError("The deployment was not undone", strings.TrimSpace(err.Error())+".\n\nCorrect the cause and destroy again. "+howToKeep)
	}
}

const howToKeep = "To destroy it without touching the server, apply with on_destroy = \"keep\" first."

func diagnosed(err error) diag.Diagnostics {
	if err == nil {
		return nil
	}
	return diag.Diagnostics{diag.NewErrorDiagnostic("The results of the hosts cannot be kept", err.Error()+".")}
}

// withdraw undoes the deployment to one host.
func (r *deploymentResource) withdraw(ctx context.Context, m deploymentModel, h host, how deploy.Withdrawal, diags *diag.Diagnostics) error {
	job, err := r.job(ctx, m, m, h, pki.Key{}, nil)
	if err != nil {
		return err
	}
	done, err := deploy.Withdraw(ctx, job, how)
	for _, warning := range done.Warnings {
		diags.AddWarning("The deployment was undone, but look", fmt.Sprintf("%s: %s", h.name, warning))
	}
	return err
}
