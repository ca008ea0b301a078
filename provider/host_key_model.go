package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// hostKeyModel is the state of a certificate_host_key.
type hostKeyModel struct {
	ID types.String `tfsdk:"id"`

	Host            types.Object `tfsdk:"host"`
	Path            types.String `tfsdk:"path"`
	Domains         types.Set    `tfsdk:"domains"`
	Algorithm       types.String `tfsdk:"algorithm"`
	Subject         types.Object `tfsdk:"subject"`
	Mode            types.String `tfsdk:"mode"`
	Owner           types.String `tfsdk:"owner"`
	Keepers         types.Map    `tfsdk:"keepers"`
	RotateAfterDays types.Int64  `tfsdk:"rotate_after_days"`
	Refresh         types.String `tfsdk:"refresh"`
	DeleteOnDestroy types.Bool   `tfsdk:"delete_on_destroy"`

	CSR            types.String `tfsdk:"csr_pem"`
	PublicKey      types.String `tfsdk:"public_key_sha256"`
	PrivateKeyPath types.String `tfsdk:"private_key_path"`
	Generation     types.Int64  `tfsdk:"generation"`
	MadeAt         types.String `tfsdk:"made_at"`
	RotateAt       types.String `tfsdk:"rotate_at"`
	RotateReason   types.String `tfsdk:"rotate_reason"`
}

var errUnknownHostKey = errors.New("a part of it is only known at apply")

// incomplete reports whether a part of the configuration is not known yet.
func (m *hostKeyModel) incomplete() bool {
	return m.Path.IsUnknown() || m.Domains.IsUnknown() || m.Algorithm.IsUnknown() || m.Mode.IsUnknown() || m.Owner.IsUnknown() ||
		hasUnknown(m.Subject) || slices.ContainsFunc(m.Domains.Elements(), attr.Value.IsUnknown)
}

// key is what the configuration describes.
func (m *hostKeyModel) key(ctx context.Context) (deploy.HostKey, error) {
	if m.incomplete() {
		return deploy.HostKey{}, errUnknownHostKey
	}
	k := deploy.HostKey{Path: m.Path.ValueString(), Algorithm: m.algorithm(), Owner: m.Owner.ValueString()}
	var names []string
	if diags := m.Domains.ElementsAs(ctx, &names, false); diags.HasError() {
		return k, diagError(diags)
	}
	slices.Sort(names)
	var err error
	if k.Names, err = pki.NormalizeNames(names); err != nil {
		return k, fmt.Errorf("domains: %w", err)
	}
	if !m.Subject.IsNull() {
		if k.Subject, err = subjectOf(ctx, m.Subject); err != nil {
			return k, err
		}
	}
	if !m.Mode.IsNull() {
		bits, err := strconv.ParseUint(m.Mode.ValueString(), 8, 9)
		if err != nil || bits == 0 {
			return k, fmt.Errorf("mode: %q is no permission in octal, such as 0640", m.Mode.ValueString())
		}
		k.Mode = fs.FileMode(bits)
	}
	return k, nil
}

func (m *hostKeyModel) algorithm() pki.Algorithm {
	if m.Algorithm.IsNull() {
		return defaultAlgorithm
	}
	return pki.Algorithm(m.Algorithm.ValueString())
}

// windows names the way to a Windows, where that is what the host is.
func (m *hostKeyModel) windows() string {
	ways := m.Host.Attributes()
	if winrm, ok := ways["winrm"]; ok && !winrm.IsNull() {
		return "winrm"
	}
	if ssh, ok := ways["ssh"].(types.Object); ok {
		if windows, ok := ssh.Attributes()["windows"].(types.Bool); ok && windows.ValueBool() {
			return "ssh"
		}
	}
	return ""
}

// machine is the host of a configuration, or of a state, which has no passwords.
func (m *hostKeyModel) machine(ctx context.Context, kinds []kind.Kind[transport.Transport, schema.Attribute]) (transport.Transport, error) {
	if hasUnknown(m.Host) {
		return nil, errUnknownHostKey
	}
	_, machine, diags := kind.New(ctx, kinds, path.Root("host"), m.Host)
	if diags.HasError() {
		return nil, diagError(diags)
	}
	return machine, nil
}

// looks reports whether a refresh asks the host.
func (m *hostKeyModel) looks() bool {
	local, ok := m.Host.Attributes()["local"]
	if m.Refresh.IsNull() {
		return ok && !local.IsNull()
	}
	return m.Refresh.ValueString() == refreshHost
}

// rekey says why a new key has to be made; empty when it does not. The answer is
// the same in plan and apply: it depends on state and configuration alone.
func (m *hostKeyModel) rekey(prior hostKeyModel) string {
	switch {
	case prior.PublicKey.IsNull(): // just imported
		return ""
	case !m.Keepers.Equal(prior.Keepers):
		return "keepers changes"
	case m.algorithm() != prior.algorithm():
		return fmt.Sprintf("the algorithm changes from %s to %s", prior.algorithm(), m.algorithm())
	}
	return prior.RotateReason.ValueString()
}

// asksAnew reports whether another signing request is needed.
func (m *hostKeyModel) asksAnew(prior hostKeyModel) bool {
	return prior.PublicKey.IsNull() || !m.Domains.Equal(prior.Domains) || !m.Subject.Equal(prior.Subject)
}

func (m *hostKeyModel) moves(prior hostKeyModel) bool { return !m.Host.Equal(prior.Host) }

func (m *hostKeyModel) copyOutputs(from hostKeyModel) {
	m.ID, m.CSR, m.PublicKey, m.Generation, m.MadeAt = from.ID, from.CSR, from.PublicKey, from.Generation, from.MadeAt
	m.RotateAt, m.RotateReason, m.PrivateKeyPath = from.RotateAt, from.RotateReason, m.Path
}

// unknownKey marks the outputs that a new key changes.
func (m *hostKeyModel) unknownKey() {
	m.CSR, m.PublicKey, m.MadeAt = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	m.Generation = types.Int64Unknown()
	m.unknownTurn()
}

func (m *hostKeyModel) unknownTurn() {
	m.RotateAt, m.RotateReason = types.StringUnknown(), types.StringUnknown()
}

// setMade writes what is true of a key that was just made.
func (m *hostKeyModel) setMade(held deploy.HeldKey, generation int64, now time.Time) {
	m.setRequest(held)
	m.Generation = types.Int64Value(generation)
	m.MadeAt = types.StringValue(now.UTC().Format(time.RFC3339))
	m.setTurn(now)
}

func (m *hostKeyModel) setRequest(held deploy.HeldKey) {
	m.CSR, m.PublicKey, m.PrivateKeyPath = types.StringValue(string(held.Request)), types.StringValue(held.Hash), m.Path
}

// setTurn decides whether the key is old enough for another one.
func (m *hostKeyModel) setTurn(now time.Time) {
	m.RotateAt, m.RotateReason = types.StringNull(), types.StringNull()
	made, err := time.Parse(time.RFC3339, m.MadeAt.ValueString())
	if err != nil || m.RotateAfterDays.IsNull() {
		return
	}
	due := made.AddDate(0, 0, int(m.RotateAfterDays.ValueInt64()))
	m.RotateAt = types.StringValue(due.Format(time.RFC3339))
	if !now.Before(due) {
		m.RotateReason = types.StringValue(fmt.Sprintf("the key is from %s, and rotate_after_days is %d", m.MadeAt.ValueString(), m.RotateAfterDays.ValueInt64()))
	}
}
