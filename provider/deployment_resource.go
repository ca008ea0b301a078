package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ resource.Resource                   = (*deploymentResource)(nil)
	_ resource.ResourceWithConfigure      = (*deploymentResource)(nil)
	_ resource.ResourceWithValidateConfig = (*deploymentResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*deploymentResource)(nil)
	_ resource.ResourceWithImportState    = (*deploymentResource)(nil)
)

// localHost is the name of this machine in messages.
const localHost = "this machine"

// deploymentResource is certificate_deployment.
type deploymentResource struct{ services *services }

func newDeploymentResource() resource.Resource { return &deploymentResource{} }

func (r *deploymentResource) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_deployment"
}

func (r *deploymentResource) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		r.services = s
	}
}

// job is the deployment a model describes. The key comes from the storage, or
// from the configuration's write-only attribute; with neither it is empty. The
// target is that of the configuration, which alone has its passwords, or of the
// state.
func (r *deploymentResource) job(ctx context.Context, m, described deploymentModel, key pki.Key) (deploy.Job, error) {
	material, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), key)
	if err != nil {
		return deploy.Job{}, err
	}
	target, err := described.target(ctx)
	if err != nil {
		return deploy.Job{}, err
	}
	proof, err := m.proof(ctx, material)
	if err != nil {
		return deploy.Job{}, err
	}
	return deploy.Job{
		Host: localHost, Machine: transport.Local{}, Target: target, Material: material, Proof: proof,
		Now: r.services.now(), Keep: m.keep(), Locks: &r.services.locks, Logger: r.services.logger,
	}, nil
}

func (r *deploymentResource) key(ctx context.Context, m, config deploymentModel) (pki.Key, error) {
	switch {
	case !m.PrivateKeyID.IsNull():
		return storedKey(ctx, r.services.store, m.PrivateKeyID.ValueString())
	case !config.PrivateKeyWO.IsNull():
		return pki.ParseKey([]byte(config.PrivateKeyWO.ValueString()))
	}
	return pki.Key{}, nil
}

// deploy does the work of Create and Update.
func (r *deploymentResource) deploy(ctx context.Context, m *deploymentModel, config deploymentModel, diags *diag.Diagnostics) {
	key, err := r.key(ctx, *m, config)
	if err != nil {
		diags.AddError("The private key is not available", err.Error()+". Nothing was changed on the server.")
		return
	}
	job, err := r.job(ctx, *m, config, key)
	if err != nil {
		diags.AddError("The certificate was not deployed", err.Error()+". Nothing was changed on the server.")
		return
	}
	result, err := deploy.Deploy(ctx, job)
	if err != nil {
		kept := "Nothing was changed on the server."
		var rolledBack *deploy.RollbackError
		if errors.As(err, &rolledBack) {
			kept = "" // the error says what is true now
		}
		diags.AddError("The certificate was not deployed", strings.TrimSpace(fmt.Sprintf("%s.\n\n%s Correct the cause and apply again.", err, kept)))
		return
	}
	for _, warning := range result.Warnings {
		diags.AddWarning("The certificate was deployed, but look", warning+".")
	}
	m.setDeployed(result)
}

func (r *deploymentResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m, config deploymentModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if response.Diagnostics.HasError() {
		return
	}
	r.deploy(ctx, &m, config, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	m.ID = types.StringValue(order.NewID())
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Read compares files and server with what was deployed. It needs no key.
func (r *deploymentResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m deploymentModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	job, err := r.job(ctx, m, m, pki.Key{})
	if err != nil {
		response.Diagnostics.AddError("The state of the deployment is damaged", err.Error()+".")
		return
	}
	seen, err := deploy.Observe(ctx, job)
	if err != nil {
		response.Diagnostics.AddError("The deployment cannot be looked at", err.Error()+".")
		return
	}
	for _, warning := range seen.Warnings {
		response.Diagnostics.AddWarning("The deployment could not be looked at in full", warning+". What was known stays in state.")
	}
	m.setObserved(seen)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (r *deploymentResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, config deploymentModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if response.Diagnostics.HasError() {
		return
	}
	r.deploy(ctx, &m, config, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Delete leaves the server as it is.
func (r *deploymentResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {
}

// ModifyPlan plans a deployment when something changed or drifted, and refuses
// what would fail.
func (r *deploymentResource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if request.Plan.Raw.IsNull() {
		return
	}
	var m, config deploymentModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if response.Diagnostics.HasError() {
		return
	}
	if !request.State.Raw.IsNull() {
		var prior deploymentModel
		response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
		if response.Diagnostics.HasError() {
			return
		}
		m.copyOutputs(prior)
		if prior.DriftReason.IsNull() && m.same(prior) {
			response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
			return
		}
		if !prior.DriftReason.IsNull() {
			response.Diagnostics.AddWarning("The server differs from what was deployed", prior.DriftReason.ValueString()+". The certificate will be deployed again.")
		}
		m.unknownOutputs()
		response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
	}
	r.checkPlan(ctx, m, config, response)
}

// same reports whether nothing that a deployment depends on differs.
func (m *deploymentModel) same(prior deploymentModel) bool {
	for _, pair := range [][2]attr.Value{
		{m.Certificate, prior.Certificate},
		{m.Chain, prior.Chain},
		{m.PrivateKeyID, prior.PrivateKeyID},
		{m.WOVersion, prior.WOVersion},
		{m.Verify, prior.Verify},
		{m.KeepBackups, prior.KeepBackups},
	} {
		if !pair[0].Equal(pair[1]) {
			return false
		}
	}
	before := prior.blocks()
	for name, block := range m.blocks() {
		if !block.Equal(before[name]) {
			return false
		}
	}
	return true
}

// checkPlan refuses a deployment that would be refused at apply.
func (r *deploymentResource) checkPlan(ctx context.Context, m, config deploymentModel, response *resource.ModifyPlanResponse) {
	if r.services == nil {
		return
	}
	if target, err := config.target(ctx); err == nil {
		if err := deploy.CheckPaths(ctx, transport.Local{}, target, ""); err != nil {
			response.Diagnostics.AddAttributeError(path.Root(target.Name()), "The target's files cannot be written", err.Error()+".")
		}
	}
	if m.Certificate.IsUnknown() || m.Chain.IsUnknown() || hasUnknown(m.Verify) {
		return
	}
	var key pki.Key
	if !config.PrivateKeyWO.IsNull() && !config.PrivateKeyWO.IsUnknown() {
		var err error
		if key, err = pki.ParseKey([]byte(config.PrivateKeyWO.ValueString())); err != nil {
			return // ValidateConfig has said so
		}
	}
	material, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), key)
	if err != nil {
		return // ValidateConfig has said so
	}
	proof, err := m.proof(ctx, material)
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("verify"), "The proof cannot be made", err.Error()+".")
		return
	}
	if err := deploy.CheckMaterial(material, proof.Endpoint.ServerName, r.services.now()); err != nil {
		at := path.Root("certificate_pem")
		switch {
		case errors.Is(err, pki.ErrKeyMismatch):
			at = path.Root("private_key_pem_wo")
		case errors.Is(err, deploy.ErrNotCovered):
			at = path.Root("verify").AtName("server_name")
		case errors.Is(err, pki.ErrChainBroken):
			at = path.Root("chain_pem")
		}
		response.Diagnostics.AddAttributeError(at, "The certificate cannot be deployed", err.Error()+". Nothing was changed on the server.")
	}
}

// ImportState adopts what a server has: "nginx:FULLCHAIN,KEY",
// "apache:FULLCHAIN,KEY" or "files:FULLCHAIN,KEY" with the paths of its files.
func (r *deploymentResource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	name, files, _ := strings.Cut(request.ID, ":")
	fullchain, key, ok := strings.Cut(files, ",")
	if !ok || !slices.Contains([]string{"nginx", "apache", "files"}, name) {
		response.Diagnostics.AddError("The deployment could not be imported",
			fmt.Sprintf("%q is not of the form nginx:FULLCHAIN,KEY, apache:FULLCHAIN,KEY or files:FULLCHAIN,KEY, with the paths of the server's files.", request.ID))
		return
	}
	text, err := os.ReadFile(fullchain)
	var material deploy.Material
	if err == nil {
		material, err = deploy.ParseMaterial(text, nil, pki.Key{})
	}
	if err != nil {
		response.Diagnostics.AddError("The deployment could not be imported", fmt.Sprintf("Read %s: %s.", fullchain, err))
		return
	}
	set := func(at path.Path, value any) {
		response.Diagnostics.Append(response.State.SetAttribute(ctx, at, value)...)
	}
	set(path.Root("id"), order.NewID())
	set(path.Root("certificate_pem"), string(pki.EncodeCertificates(material.Chain[0])))
	set(path.Root("chain_pem"), string(pki.EncodeCertificates(material.Chain[1:]...)))
	set(path.Root("fingerprint_sha256"), pki.Fingerprint(material.Chain[0]))
	set(path.Root(name).AtName("fullchain_path"), fullchain)
	set(path.Root(name).AtName("private_key_path"), key)
}
