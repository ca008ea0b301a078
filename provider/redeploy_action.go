package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
)

var (
	_ action.Action                   = (*redeployAction)(nil)
	_ action.ActionWithConfigure      = (*redeployAction)(nil)
	_ action.ActionWithValidateConfig = (*redeployAction)(nil)
)

// redeployAction is the action certificate_redeploy, for Terraform 1.14: it
// deploys what a certificate_deployment describes once more.
type redeployAction struct{ services *services }

func newRedeployAction() action.Action { return &redeployAction{} }

func (a *redeployAction) Metadata(_ context.Context, request action.MetadataRequest, response *action.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_redeploy"
}

func (a *redeployAction) Configure(_ context.Context, request action.ConfigureRequest, _ *action.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		a.services = s
	}
}

// deploymentSchema is that of certificate_deployment.
func deploymentSchema(ctx context.Context) schema.Schema {
	var response resource.SchemaResponse
	(&deploymentResource{}).Schema(ctx, resource.SchemaRequest{}, &response)
	return response.Schema
}

// notRedeployed are inputs of a deployment that the action does not take: what
// it is given ends up in a saved plan.
func notRedeployed() []string { return []string{"private_key_pem_wo", "private_key_pem_wo_version"} }

func (a *redeployAction) Schema(ctx context.Context, _ action.SchemaRequest, response *action.SchemaResponse) {
	attributes := actionAttributes(deploymentSchema(ctx).Attributes)
	for _, name := range notRedeployed() {
		delete(attributes, name)
	}
	response.Schema = actionschema.Schema{
		MarkdownDescription: "Deploys what a `certificate_deployment` describes once more: files are written, the server loads them and is proven to serve the certificate, even where nothing differs. If that fails the server is put back as it was. The state is not touched.\n\n" +
			"It takes the arguments of `certificate_deployment` but for `private_key_pem_wo`. **Terraform keeps the arguments of an action in saved plans, passwords among them**: log in by `private_key_path` or the agent. Without `private_key_id` the key that the host has is used.",
		Attributes: attributes,
	}
}

// described is the configuration of the deployment that the action's describes.
func (a *redeployAction) described(ctx context.Context, given tfsdk.Config, diags *diag.Diagnostics) tfsdk.Config {
	full := deploymentSchema(ctx)
	kind, ok := full.Type().TerraformType(ctx).(tftypes.Object)
	values := map[string]tftypes.Value{}
	if err := given.Raw.As(&values); err != nil || !ok {
		diags.AddError("The action cannot be read", fmt.Sprintf("Its configuration is no object (%v).", err))
		return tfsdk.Config{}
	}
	all := map[string]tftypes.Value{}
	for name, attribute := range kind.AttributeTypes {
		all[name] = tftypes.NewValue(attribute, nil)
	}
	maps.Copy(all, values)
	return tfsdk.Config{Raw: tftypes.NewValue(kind, all), Schema: full}
}

// ValidateConfig implements action.ActionWithValidateConfig.
func (a *redeployAction) ValidateConfig(ctx context.Context, request action.ValidateConfigRequest, response *action.ValidateConfigResponse) {
	config := a.described(ctx, request.Config, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	var checked resource.ValidateConfigResponse
	(&deploymentResource{}).ValidateConfig(ctx, resource.ValidateConfigRequest{Config: config}, &checked)
	response.Diagnostics.Append(checked.Diagnostics...)
}

// Invoke implements action.Action.
func (a *redeployAction) Invoke(ctx context.Context, request action.InvokeRequest, response *action.InvokeResponse) {
	config := a.described(ctx, request.Config, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	var m deploymentModel
	response.Diagnostics.Append(config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	to := []string{localHost}
	if !m.Hosts.IsNull() {
		to = slices.Sorted(maps.Keys(m.Hosts.Elements()))
	}
	response.SendProgress(action.InvokeProgressEvent{Message: "deploying to " + strings.Join(to, ", ")})
	described := m
	again := &deploymentResource{services: a.services, force: true}
	if !again.deploy(ctx, &m, described, nil, &response.Diagnostics) || response.Diagnostics.HasError() {
		return
	}
	how := map[deploy.Proven]string{
		deploy.ByHandshake: "proven by handshakes", deploy.ByFile: "the files were compared", deploy.ByService: "the server says so",
	}[deploy.Proven(m.ProvenBy.ValueString())]
	response.SendProgress(action.InvokeProgressEvent{Message: fmt.Sprintf("deployed %s, %s", m.Fingerprint.ValueString(), how)})
}
