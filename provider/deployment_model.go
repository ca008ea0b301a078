package provider

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What can be wrong with the choice of a target.
var (
	errNoTarget      = errors.New("no target is configured")
	errTwoTargets    = errors.New("more than one target is configured")
	errUnknownTarget = errors.New("the target is only known at apply")
)

// defaultAddress is where a server of this machine is asked.
const defaultAddress = "127.0.0.1:443"

// deploymentModel is the state of a certificate_deployment.
type deploymentModel struct {
	ID types.String `tfsdk:"id"`

	Certificate  types.String `tfsdk:"certificate_pem"`
	Chain        types.String `tfsdk:"chain_pem"`
	PrivateKeyID types.String `tfsdk:"private_key_id"`
	PrivateKeyWO types.String `tfsdk:"private_key_pem_wo"`
	WOVersion    types.Int64  `tfsdk:"private_key_pem_wo_version"`
	Hosts        types.Map    `tfsdk:"hosts"`
	Rollout      types.Object `tfsdk:"rollout"`
	Verify       types.Object `tfsdk:"verify"`
	Refresh      types.String `tfsdk:"refresh"`
	OnDestroy    types.String `tfsdk:"on_destroy"`
	KeepBackups  types.Int64  `tfsdk:"keep_backups"`
	Nginx        types.Object `tfsdk:"nginx"`
	Apache       types.Object `tfsdk:"apache"`
	HAProxy      types.Object `tfsdk:"haproxy"`
	Tomcat       types.Object `tfsdk:"tomcat"`
	Jetty        types.Object `tfsdk:"jetty"`
	JBoss        types.Object `tfsdk:"jboss"`
	GlassFish    types.Object `tfsdk:"glassfish"`
	WebLogic     types.Object `tfsdk:"weblogic"`
	IIS          types.Object `tfsdk:"iis"`
	BTPanel      types.Object `tfsdk:"bt_panel"`
	Files        types.Object `tfsdk:"files"`

	EncryptionFullchain types.String `tfsdk:"encryption_fullchain_pem"`
	EncryptionKeyID     types.String `tfsdk:"encryption_private_key_id"`

	Fingerprint types.String `tfsdk:"fingerprint_sha256"`
	Served      types.String `tfsdk:"served_fingerprint_sha256"`
	FilesHash   types.String `tfsdk:"files_sha256"`
	ProvenBy    types.String `tfsdk:"proven_by"`
	DriftReason types.String `tfsdk:"drift_reason"`
	HostResults types.Map    `tfsdk:"host_results"`
	Discovered  types.Map    `tfsdk:"discovered_paths"`
}

// target builds the one target that is configured.
func (m *deploymentModel) target(ctx context.Context) (deploy.Target, error) {
	var found *kind.Kind[deploy.Target, schema.Attribute]
	blocks := m.blocks()
	for _, k := range targetKinds() {
		if blocks[k.Name].IsNull() {
			continue
		}
		if found != nil {
			return nil, errTwoTargets
		}
		found = &k
	}
	if found == nil {
		return nil, errNoTarget
	}
	if hasUnknown(blocks[found.Name]) {
		return nil, errUnknownTarget
	}
	target, diags := found.New(ctx, path.Root(found.Name), blocks[found.Name])
	if diags.HasError() {
		return nil, diagError(diags)
	}
	return target, nil
}

// serverName is the first name of a certificate that is not a wildcard, or a
// name that its first wildcard covers.
func serverName(material deploy.Material) string {
	names := pki.Names(material.Chain[0])
	for _, name := range names {
		if !strings.HasPrefix(name, "*.") {
			return name
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "www" + strings.TrimPrefix(names[0], "*")
}

func (m *deploymentModel) keep() int {
	switch {
	case m.KeepBackups.IsNull():
		return 0 // deploy's default
	case m.KeepBackups.ValueInt64() == 0:
		return -1
	}
	return int(m.KeepBackups.ValueInt64())
}

// setDeployed writes what is true after a deployment.
func (m *deploymentModel) setDeployed(result deploy.Result) {
	m.Fingerprint = types.StringValue(result.Fingerprint)
	m.FilesHash = types.StringNull()
	if result.FilesHash != "" {
		m.FilesHash = types.StringValue(result.FilesHash)
	}
	m.ProvenBy = types.StringValue(string(result.Proven))
	m.Served = types.StringNull()
	if result.Proven == deploy.ByHandshake {
		m.Served = types.StringValue(result.Served.Fingerprint)
	}
	m.DriftReason = types.StringNull()
}

// setObserved writes what a refresh found on one machine.
func (m *deploymentModel) setObserved(seen deploy.Observation) {
	if seen.FilesHash != "" {
		m.FilesHash = types.StringValue(seen.FilesHash)
	}
	if seen.ServedFingerprint != "" {
		m.Served = types.StringValue(seen.ServedFingerprint)
	}
	if len(seen.Warnings) == 0 {
		m.DriftReason = types.StringNull()
	}
	if len(seen.Drift) > 0 {
		m.DriftReason = types.StringValue(strings.Join(seen.Drift, "; "))
	}
}

func (m *deploymentModel) copyOutputs(from deploymentModel) {
	m.ID, m.Fingerprint, m.Served, m.FilesHash = from.ID, from.Fingerprint, from.Served, from.FilesHash
	m.ProvenBy, m.DriftReason, m.HostResults = from.ProvenBy, from.DriftReason, from.HostResults
	m.Discovered = from.Discovered
}

// unknownOutputs marks the outputs a deployment changes.
func (m *deploymentModel) unknownOutputs() {
	unknown := types.StringUnknown()
	m.Fingerprint, m.Served, m.FilesHash, m.ProvenBy, m.DriftReason = unknown, unknown, unknown, unknown, unknown
	m.HostResults = types.MapUnknown(hostResultType())
	m.Discovered = types.MapUnknown(pathsType())
}
