package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
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
type deploymentResource struct {
	services *services
	force    bool // deploy even where nothing differs
}

func newDeploymentResource() resource.Resource { return &deploymentResource{} }

func (r *deploymentResource) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_deployment"
}

func (r *deploymentResource) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		r.services = s
	}
}

// job is the deployment to one host that a model describes. The key comes from
// the storage, or from the configuration's write-only attribute; with neither it
// is empty. The target is that of the configuration, which alone has its
// passwords, or of the state.
//
// The other key of a pair comes from the keeper; nil for who only looks.
func (r *deploymentResource) job(ctx context.Context, m, described deploymentModel, h host, key pki.Key, keeper order.Keeper) (deploy.Job, error) {
	material, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), key)
	if err != nil {
		return deploy.Job{}, err
	}
	target, err := described.target(ctx)
	if err != nil {
		return deploy.Job{}, err
	}
	proof, err := m.proof(ctx, material, h)
	if err != nil {
		return deploy.Job{}, err
	}
	if target, err = m.paired(ctx, target, material, proof, keeper); err != nil {
		return deploy.Job{}, err
	}
	return deploy.Job{
		Host: h.name, Machine: h.machine, Force: r.force, Target: target, Paths: m.pathsOf(h.name), Material: material, Proof: proof,
		Now: r.services.now(), Keep: m.keep(), Origin: m.OnDestroy.ValueString() == string(deploy.Restore), Locks: &r.services.locks, Logger: r.services.logger,
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

// deploy does the work of Create and Update. It reports whether there is
// something to keep in state: after a rollout there is, whatever became of it.
func (r *deploymentResource) deploy(ctx context.Context, m *deploymentModel, config deploymentModel, prior *deploymentModel, diags *diag.Diagnostics) (keep bool) {
	key, err := r.key(ctx, *m, config)
	if err != nil {
		diags.AddError("The private key is not available", err.Error()+". Nothing was changed on the server.")
		return false
	}
	hosts, err := config.machines(ctx, r.services.transports)
	jobs := map[string]deploy.Job{}
	for _, h := range hosts {
		defer func() { _ = h.machine.Close() }() // nothing is written any more
		if err == nil {
			jobs[h.name], err = r.job(ctx, *m, config, h, key, r.services.store)
		}
	}
	if err != nil {
		diags.AddError("The certificate was not deployed", err.Error()+". Nothing was changed on the server.")
		return false
	}
	if !m.Hosts.IsNull() {
		return r.rollOut(ctx, m, prior, hosts, jobs, diags)
	}
	result, err := deploy.Deploy(ctx, jobs[localHost])
	if err != nil {
		kept := "Nothing was changed on the server."
		var rolledBack *deploy.RollbackError
		if errors.As(err, &rolledBack) {
			kept = "" // the error says what is true now
		}
		diags.AddError("The certificate was not deployed", strings.TrimSpace(fmt.Sprintf("%s.\n\n%s Correct the cause and apply again.", err, kept)))
		return false
	}
	warn(diags, localHost, result)
	m.setDeployed(result)
	m.setDiscovered(ctx, map[string]deploy.Paths{localHost: result.Paths}, nil, diags)
	m.HostResults = types.MapNull(hostResultType())
	return true
}

func warn(diags *diag.Diagnostics, name string, result deploy.Result) {
	for _, warning := range result.Warnings {
		diags.AddWarning("The certificate was deployed, but look", fmt.Sprintf("%s: %s", name, warning))
	}
}

// rollOut deploys to a fleet.
func (r *deploymentResource) rollOut(ctx context.Context, m, prior *deploymentModel, hosts []host, jobs map[string]deploy.Job, diags *diag.Diagnostics) (keep bool) {
	plan, err := m.rollout(ctx)
	if err != nil {
		diags.AddAttributeError(path.Root("rollout"), "The rollout cannot be planned", err.Error()+".")
		return false
	}
	fingerprint := pki.Fingerprint(jobs[hosts[0].name].Material.Chain[0])
	before := map[string]hostResult{}
	if prior != nil {
		before = prior.results(ctx)
	}
	states := begun(ctx, hosts, prior, prior != nil && m.sameOnHost(*prior), fingerprint)
	outcome, err := plan.Run(ctx, states, func(ctx context.Context, name string) (deploy.Result, error) {
		return deploy.Deploy(ctx, jobs[name])
	}, r.services.logger)
	if outcome == nil {
		diags.AddAttributeError(path.Root("rollout"), "The rollout cannot be planned", err.Error()+".")
		return false
	}
	proven, discovered := deploy.ByFile, map[string]deploy.Paths{}
	for name, one := range outcome {
		discovered[name] = one.Result.Paths
		warn(diags, name, one.Result)
		if one.Result.Proven != "" {
			proven = one.Result.Proven
		}
	}
	if err != nil {
		diags.AddError("The certificate was not deployed to every host", strings.TrimSpace(fmt.Sprintf("%s.\n\n%s", err, fleetKept(err))))
	}
	m.setFleet(fingerprint, proven)
	m.setDiscovered(ctx, discovered, prior, diags)
	if err == nil {
		r.proveTogether(ctx, m, jobs[hosts[0].name].Material, diags)
	}
	if err := m.setResults(ctx, merge(before, outcome)); err != nil {
		diags.AddError("The results of the hosts cannot be kept", err.Error()+".")
	}
	return true
}

func (r *deploymentResource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var m, config deploymentModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	if response.Diagnostics.HasError() {
		return
	}
	if !m.setUnissued() && !r.deploy(ctx, &m, config, nil, &response.Diagnostics) {
		return
	}
	m.ID = types.StringValue(order.NewID())
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// Read compares files and servers with what was deployed. It needs no key and no
// password.
func (r *deploymentResource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var m deploymentModel
	response.Diagnostics.Append(request.State.Get(ctx, &m)...)
	if response.Diagnostics.HasError() || m.Certificate.IsNull() {
		return
	}
	if m.Refresh.ValueString() == refreshNone {
		return
	}
	seen, err := r.observe(ctx, m)
	if err != nil {
		response.Diagnostics.AddError("The deployment cannot be looked at", err.Error()+".")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		for _, warning := range seen[name].Warnings {
			response.Diagnostics.AddWarning("The deployment could not be looked at in full", fmt.Sprintf("%s: %s What was known stays in state.", name, warning))
		}
	}
	if m.Hosts.IsNull() {
		if _, looked := seen[localHost]; looked {
			m.setObserved(seen[localHost])
		}
		m.HostResults = types.MapNull(hostResultType())
	} else if err := m.setObservedHosts(ctx, seen); err != nil {
		response.Diagnostics.AddError("The results of the hosts cannot be kept", err.Error()+".")
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (r *deploymentResource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var m, config, prior deploymentModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(request.Config.Get(ctx, &config)...)
	response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
	if response.Diagnostics.HasError() {
		return
	}
	// Changes that are of no matter to a server are settled.
	if m.setUnissued() || m.settled(ctx, prior) || r.deploy(ctx, &m, config, &prior, &response.Diagnostics) {
		response.Diagnostics.Append(response.State.Set(ctx, &m)...)
	}
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
	config.checkLogins(&response.Diagnostics)
	if response.Diagnostics.HasError() || m.planUnissued(ctx, request, response) {
		return
	}
	if !request.State.Raw.IsNull() {
		var prior deploymentModel
		response.Diagnostics.Append(request.State.Get(ctx, &prior)...)
		if response.Diagnostics.HasError() {
			return
		}
		m.copyOutputs(prior)
		left := m.pending(ctx)
		if m.settled(ctx, prior) {
			response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
			return
		}
		if !prior.DriftReason.IsNull() {
			response.Diagnostics.AddWarning("The server differs from what was deployed", prior.DriftReason.ValueString()+". The certificate will be deployed again.")
		}
		if prior.DriftReason.IsNull() && len(left) > 0 {
			response.Diagnostics.AddWarning("Hosts are left", fmt.Sprintf("The certificate will be deployed to %s.", quoted(left)))
		}
		m.unknownOutputs()
		response.Diagnostics.Append(response.Plan.Set(ctx, &m)...)
		r.checkPlan(ctx, m, config, &prior, response)
		return
	}
	r.checkPlan(ctx, m, config, nil, response)
}

// settled reports whether nothing is to be deployed.
func (m *deploymentModel) settled(ctx context.Context, prior deploymentModel) bool {
	return prior.DriftReason.IsNull() && len(m.pending(ctx)) == 0 && m.same(prior)
}

// same reports whether nothing that a deployment depends on differs.
func (m *deploymentModel) same(prior deploymentModel) bool {
	return m.Hosts.Equal(prior.Hosts) && m.sameOnHost(prior)
}

// sameOnHost reports whether nothing differs that matters to a single host.
func (m *deploymentModel) sameOnHost(prior deploymentModel) bool {
	for _, pair := range [][2]attr.Value{
		{m.Certificate, prior.Certificate},
		{m.Chain, prior.Chain},
		{m.PrivateKeyID, prior.PrivateKeyID},
		{m.WOVersion, prior.WOVersion},
		{m.Verify, prior.Verify},
		{m.KeepBackups, prior.KeepBackups},
		{m.OnDestroy, prior.OnDestroy},
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
	return m.samePair(prior)
}

// checkPlan refuses a deployment that would be refused at apply.
func (r *deploymentResource) checkPlan(ctx context.Context, m, config deploymentModel, prior *deploymentModel, response *resource.ModifyPlanResponse) {
	if r.services == nil {
		return
	}
	hosts, err := config.machines(ctx, r.services.transports)
	if errors.Is(err, errUnknownTarget) {
		return
	}
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("hosts"), "A host cannot be reached as configured", err.Error()+".")
		return
	}
	r.discover(ctx, m, config, hosts, response)
	target, err := config.target(ctx)
	if how, ok := m.withdrawal(); ok && err == nil {
		if err := deploy.CheckWithdrawal(target, how); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("on_destroy"), "The deployment cannot be undone in this way", err.Error()+". Leave on_destroy out, and the server keeps the certificate.")
		}
	}
	if finder, ok := target.(deploy.Finder); err == nil && (!ok || !finder.Open()) {
		r.checkHosts(ctx, m.left(ctx, hosts, prior), target, &response.Diagnostics)
	}
	if !hasUnknown(m.Verify) {
		m.checkDialers(ctx, hosts, &response.Diagnostics)
	}
	if m.Certificate.IsUnknown() || m.Chain.IsUnknown() || hasUnknown(m.Verify) || response.Diagnostics.HasError() {
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
	proof, err := m.proof(ctx, material, hosts[0])
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("verify"), "The proof cannot be made", err.Error()+".")
		return
	}
	if target, err := config.target(ctx); err == nil {
		r.checkPair(ctx, m, target, material, proof, &response.Diagnostics)
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
