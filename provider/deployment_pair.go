package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// pairAttributes are the other half of an SM2 pair.
func pairAttributes(attributes map[string]schema.Attribute) {
	attributes["encryption_fullchain_pem"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "The encryption certificate of an SM2 pair and its chain, PEM: `purchased.encryption_fullchain_pem` of a `certificate_renewal`. `certificate_pem` is the signing certificate then, " +
			"both go to the paths of `nginx` or `apache` together, and the proof is a handshake of TLCP (GB/T 38636). Default: none.",
	}
	attributes["encryption_private_key_id"] = schema.StringAttribute{
		Optional:            true,
		MarkdownDescription: "`purchased.encryption_private_key_id` of the `certificate_renewal`: its key is fetched from the provider's storage. Needed with `encryption_fullchain_pem`.",
	}
}

// pair is the other half as a model has it; the key is empty for who only looks.
func (m *deploymentModel) pair(ctx context.Context, keeper order.Keeper) (deploy.Pair, error) {
	if m.EncryptionFullchain.IsNull() {
		return deploy.Pair{}, nil
	}
	chain, err := pki.ParseCertificates([]byte(m.EncryptionFullchain.ValueString()))
	if err != nil {
		return deploy.Pair{}, fmt.Errorf("read encryption_fullchain_pem: %w", err)
	}
	pair := deploy.Pair{Chain: chain}
	if keeper != nil && !m.EncryptionKeyID.IsNull() {
		pair.Key, err = storedKey(ctx, keeper, m.EncryptionKeyID.ValueString())
	}
	return pair, err
}

// paired gives a target the other half of its pair.
func (m *deploymentModel) paired(ctx context.Context, target deploy.Target, material deploy.Material, proof deploy.Proof, keeper order.Keeper) (deploy.Target, error) {
	pair, err := m.pair(ctx, keeper)
	if err != nil {
		return nil, err
	}
	return deploy.WithPair(target, material, pair, proof.Endpoint.Address != "")
}

// validatePair refuses half of a pair.
func validatePair(m deploymentModel, diags *diag.Diagnostics) {
	at := path.Root("encryption_fullchain_pem")
	if m.EncryptionFullchain.IsUnknown() || m.EncryptionKeyID.IsUnknown() {
		return
	}
	if m.EncryptionFullchain.IsNull() != m.EncryptionKeyID.IsNull() {
		diags.AddAttributeError(at, "Half of a pair", "Set both encryption_fullchain_pem and encryption_private_key_id, or neither. Take both from the certificate_renewal's purchased.")
		return
	}
	if _, err := m.pair(context.Background(), nil); err != nil {
		diags.AddAttributeError(at, "Not a certificate", fmt.Sprintf("The text cannot be used: %s. Give certificates in PEM.", err))
	}
}

// checkPair refuses in the plan what cannot be deployed as a pair.
func (r *deploymentResource) checkPair(ctx context.Context, m deploymentModel, target deploy.Target, material deploy.Material, proof deploy.Proof, diags *diag.Diagnostics) {
	if m.EncryptionFullchain.IsUnknown() {
		return
	}
	pair, err := m.pair(ctx, nil)
	if err != nil {
		return // ValidateConfig has said so
	}
	at := path.Root("encryption_fullchain_pem")
	if _, err := deploy.WithPair(target, material, pair, proof.Endpoint.Address != ""); err != nil {
		diags.AddAttributeError(at, "The pair cannot be deployed", err.Error()+". Nothing was changed on the server.")
		return
	}
	if err := deploy.CheckPair(material, pair, r.services.now()); err != nil {
		diags.AddAttributeError(at, "The pair cannot be deployed", err.Error()+". Nothing was changed on the server.")
	}
}

// samePair reports whether the other half of a pair is as before.
func (m *deploymentModel) samePair(prior deploymentModel) bool {
	same := func(a, b types.String) bool { return a.Equal(b) }
	return same(m.EncryptionFullchain, prior.EncryptionFullchain) && same(m.EncryptionKeyID, prior.EncryptionKeyID)
}
