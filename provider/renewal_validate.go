package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *renewalResource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	response.Diagnostics.Append(m.validate()...)
}

// validate refuses what does not fit together, and what is no certificate, key or
// name.
func (m renewalModel) validate() (diags diag.Diagnostics) {
	if !m.CSR.IsNull() && !m.PrivateKey.IsNull() {
		diags.AddAttributeError(path.Root("csr_pem"), "Two sources for the key",
			"A signing request brings its own key, private_key would generate another one. Keep one of csr_pem and private_key.")
	}
	if !m.PrivateKeyWO.IsNull() && (!m.CSR.IsNull() || !m.PrivateKey.IsNull()) {
		diags.AddAttributeError(path.Root("private_key_pem_wo"), "Two sources for the key",
			"Keep one of private_key_pem_wo, csr_pem and private_key.")
	}
	if m.PrivateKeyWO.IsNull() != m.WOVersion.IsNull() {
		diags.AddAttributeError(path.Root("private_key_pem_wo_version"), "Key and version belong together",
			"Set both private_key_pem_wo and private_key_pem_wo_version, or neither: the version is how a change of the key is noticed.")
	}
	if !m.PrivateKeyWO.IsNull() && !m.PrivateKeyWO.IsUnknown() {
		if _, err := pki.ParseKey([]byte(m.PrivateKeyWO.ValueString())); err != nil {
			diags.AddAttributeError(path.Root("private_key_pem_wo"), "Not a private key",
				fmt.Sprintf("The text cannot be used: %s. Give a private key in PEM.", err))
		}
	}
	if !m.Issuer.IsNull() && !m.Issuers.IsNull() {
		diags.AddAttributeError(path.Root("issuers"), "Issuer named twice", "Keep one of issuer and issuers.")
	}
	if m.Domains.IsNull() && m.OriginalCertificate.IsNull() && m.CSR.IsNull() {
		diags.AddAttributeError(path.Root("domains"), "No names for the certificate",
			"Set domains, or original_certificate_pem or csr_pem to take the names from.")
	}
	if !m.OriginalCertificate.IsNull() && !m.OriginalCertificate.IsUnknown() {
		if _, err := m.original(); err != nil {
			diags.AddAttributeError(path.Root("original_certificate_pem"), "Not a certificate",
				fmt.Sprintf("The text cannot be used: %s. Give a certificate in PEM, for instance with file(\"old.pem\").", err))
		}
	}
	if !m.CSR.IsNull() && !m.CSR.IsUnknown() {
		if _, err := pki.ParseRequest([]byte(m.CSR.ValueString())); err != nil {
			diags.AddAttributeError(path.Root("csr_pem"), "Not a signing request",
				fmt.Sprintf("The text cannot be used: %s. Give a request in PEM, as openssl req -new writes it.", err))
		}
	}
	validateDomains(m.Domains, &diags)
	return diags
}

func validateDomains(domains types.Set, diags *diag.Diagnostics) {
	if domains.IsNull() || domains.IsUnknown() {
		return
	}
	if len(domains.Elements()) == 0 {
		diags.AddAttributeError(path.Root("domains"), "No names for the certificate", "The set is empty. Write at least one name.")
	}
	for _, element := range domains.Elements() {
		domain, ok := element.(types.String)
		if !ok || domain.IsUnknown() {
			continue
		}
		if _, err := pki.NormalizeIdentifier(domain.ValueString()); err != nil {
			diags.AddAttributeError(path.Root("domains").AtSetValue(domain), "Not a name for a certificate", err.Error()+".")
		}
	}
}

// checkSuits refuses a plan whose apply would order what the provider's
// validation cannot prove control over.
func (r *renewalResource) checkSuits(m renewalModel, w wanted, diags *diag.Diagnostics) {
	if r.services == nil {
		return
	}
	at := path.Root("domains")
	switch {
	case !m.Domains.IsNull():
	case !m.CSR.IsNull():
		at = path.Root("csr_pem")
	default:
		at = path.Root("original_certificate_pem")
	}
	for _, name := range w.names {
		if err := r.services.suits(name); err != nil {
			diags.AddAttributeError(at, "The name cannot be validated", err.Error()+".")
		}
	}
}
