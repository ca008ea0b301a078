package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// targetKinds is the family of servers a certificate can be deployed to. A new
// one is one file and one line here.
func targetKinds() []kind.Kind[deploy.Target, schema.Attribute] {
	return []kind.Kind[deploy.Target, schema.Attribute]{
		deploy.NginxKind(), deploy.ApacheKind(), deploy.HAProxyKind(), deploy.TomcatKind(), deploy.JettyKind(),
		deploy.JBossKind(), deploy.GlassFishKind(), deploy.WebLogicKind(), deploy.IISKind(), deploy.BTPanelKind(), deploy.FilesKind(),
	}
}

func (r *deploymentResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"certificate_pem": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "The certificate to deploy, PEM; it may be followed by its chain. Changing it replaces the one that is served. " +
				"Null, as that of a `certificate_renewal` is until its first certificate is issued, deploys nothing yet and says so. Needed to deploy.",
		},
		"chain_pem": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "The intermediate certificates, PEM, in the order a server sends them. Default: what follows in `certificate_pem`.",
		},
		"private_key_id": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "`private_key_id` of a `certificate_renewal`: the key is fetched from the provider's storage. Without it and `private_key_pem_wo` the key already lives on the host.",
		},
		"private_key_pem_wo": schema.StringAttribute{
			Optional: true, WriteOnly: true, Sensitive: true,
			MarkdownDescription: "The private key, PEM; write-only: it is in neither state nor plan. Excludes `private_key_id`.",
		},
		"private_key_pem_wo_version": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "Change it to deploy another `private_key_pem_wo` with the same certificate.",
		},
		"hosts":            hostsAttribute(transport.Kinds(transport.Environment{})),
		"rollout":          rolloutAttribute(),
		"host_results":     hostResultsAttribute(),
		"discovered_paths": discoveredAttribute(),
		"verify":           verifyAttribute(),
		"refresh":          refreshAttribute(),
		"on_destroy":       onDestroyAttribute(),
		"keep_backups": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(0, 100)},
			MarkdownDescription: "How many backups of each replaced file to keep beside it. Default: `3`.",
		},
	}
	pairAttributes(attributes)
	for name, description := range map[string]string{
		"id":                        "Identity of the deployment.",
		"fingerprint_sha256":        "SHA-256 fingerprint of the deployed certificate in hex.",
		"served_fingerprint_sha256": "SHA-256 fingerprint of the certificate that was served when last asked; null when there is nothing to ask.",
		"files_sha256":              "SHA-256 of the certificates in the target's files; null for a target without files.",
		"proven_by":                 "`handshake` when the server was seen to serve the certificate, `command` when the command of `verify` succeeded, `file` when only the files were compared, `service` when only the server's own interface was asked.",
		"drift_reason":              "How files or server differ from what was deployed; null when they do not.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	for _, k := range targetKinds() {
		attributes[k.Name] = schema.SingleNestedAttribute{
			Optional: true, Attributes: k.Attributes,
			MarkdownDescription: k.Summary + " Exactly one target is configured.",
		}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "Replaces the certificate of a server and proves by TLS handshakes that the new one is served, or puts the old one back.\n\n" +
			"Without `hosts` the server is on the machine Terraform runs on. With them, a rollout that fails leaves what became of each host in `host_results`; the next apply goes on with those that are left.\n\n" +
			"A refresh connects to the servers and needs no password or key; the files are compared too where they are on this machine, or where `refresh` says so.\n\n" +
			"Nothing is removed on destroy unless `on_destroy` says so: the server goes on with the certificate it has.",
		Attributes: attributes,
	}
}

// ValidateConfig refuses what can be refused without asking anybody.
func (r *deploymentResource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var m deploymentModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	if !m.PrivateKeyID.IsNull() && !m.PrivateKeyWO.IsNull() {
		response.Diagnostics.AddAttributeError(path.Root("private_key_pem_wo"), "Two sources for the key",
			"private_key_id fetches the key from the storage, private_key_pem_wo brings another one. Keep one of them.")
	}
	validatePair(m, &response.Diagnostics)
	validateTarget(ctx, m, response)
	if m.Certificate.IsUnknown() || m.Certificate.IsNull() || m.Chain.IsUnknown() {
		return
	}
	if _, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), pki.Key{}); err != nil {
		at := path.Root("certificate_pem")
		if _, own := pki.ParseCertificates([]byte(m.Certificate.ValueString())); own == nil {
			at = path.Root("chain_pem")
		}
		response.Diagnostics.AddAttributeError(at, "Not a certificate",
			fmt.Sprintf("The text cannot be used: %s. Give certificates in PEM, for instance certificate_renewal.….certificate_pem.", err))
	}
	if !m.PrivateKeyWO.IsNull() && !m.PrivateKeyWO.IsUnknown() {
		if _, err := pki.ParseKey([]byte(m.PrivateKeyWO.ValueString())); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("private_key_pem_wo"), "Not a private key",
				fmt.Sprintf("The text cannot be used: %s. Give a private key in PEM.", err))
		}
	}
}

func validateTarget(ctx context.Context, m deploymentModel, response *resource.ValidateConfigResponse) {
	_, err := m.target(ctx)
	switch {
	case errors.Is(err, errNoTarget):
		response.Diagnostics.AddError("No target", fmt.Sprintf("Configure one of %s: where the certificate goes.", quoted(kind.Names(targetKinds()))))
	case errors.Is(err, errTwoTargets):
		var names []string
		for _, k := range targetKinds() {
			if !m.blocks()[k.Name].IsNull() {
				names = append(names, k.Name)
			}
		}
		response.Diagnostics.AddAttributeError(path.Root(names[1]), "Two targets",
			fmt.Sprintf("It has %s. One deployment has one target: write a second certificate_deployment for the other.", quoted(names)))
	case errors.Is(err, errUnknownTarget):
	case err != nil:
		for _, k := range targetKinds() {
			if !m.blocks()[k.Name].IsNull() {
				response.Diagnostics.AddAttributeError(path.Root(k.Name), "The target cannot be used", err.Error()+".")
			}
		}
	}
}

// blocks are the targets' blocks by name.
func (m *deploymentModel) blocks() map[string]types.Object {
	return map[string]types.Object{
		"nginx": m.Nginx, "apache": m.Apache, "haproxy": m.HAProxy, "tomcat": m.Tomcat, "jetty": m.Jetty,
		"jboss": m.JBoss, "glassfish": m.GlassFish, "weblogic": m.WebLogic, "iis": m.IIS, "bt_panel": m.BTPanel, "files": m.Files,
	}
}
