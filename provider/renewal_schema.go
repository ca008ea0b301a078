package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func (r *renewalResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "Keeps a certificate valid: orders it, renews it in its window and hands the next generation to whoever uses it.\n\n" +
			"The private key stays out of Terraform's state unless `private_key.custody` says otherwise.\n\n" +
			"A renewal is an update in place: the same `id`, a new certificate, `generation` one higher. The certificate before is neither revoked nor touched and stays visible as `previous`. " +
			"Destroying revokes and deletes nothing; the certificate is given up, so that a new resource with the same names orders a new one. " +
			"A resource that is only lost from state is adopted from the provider's storage by the next apply, without an order.",
		Attributes: renewalOutputs(map[string]schema.Attribute{
			"domains": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "DNS names of the certificate; wildcards as `*.example.com`, IDNs as people write them. Default: the names of `csr_pem` or `original_certificate_pem`. Changing the names orders a new certificate in place, the old one stays valid.",
			},
			"original_certificate_pem": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "A certificate (PEM) to take names and key type from, so that nothing is typed again. What `domains` and `private_key` say comes first. Default: none.",
			},
			"issuer": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Which of the provider's `issuers` to order from. Default: the only one. Changing it orders a new certificate in place.",
			},
			"csr_pem": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "A certificate signing request (PEM) made elsewhere; then no private key is generated or kept. Excludes `private_key`. Changing its key orders a new certificate in place.",
			},
			"private_key": privateKeyAttribute(),
			"renewal":     renewalAttribute(),
			"wait_timeout": schema.StringAttribute{
				Optional: true, Validators: []validator.String{durationValidator{}},
				MarkdownDescription: "How long an apply waits for the CA, as a duration such as `90s` or `10m`. An order that takes longer is recorded and the next apply goes on with it. Default: `10m`.",
			},
		}),
	}
}

func renewalAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "When to renew. Changing it orders nothing by itself.",
		Attributes: map[string]schema.Attribute{
			"window_days": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 398)},
				MarkdownDescription: "Renew so many days before the expiry, or earlier if the CA asks for it. A window that does not fit into the life of the certificate becomes a third of the life. " +
					"Default: when the CA suggests (ARI); without a suggestion 30 days for lives of 90 days and more, a third of the life below, half of it below ten days.",
			},
			"use_ari": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to ask the CA when to renew (ARI, RFC 9773). Default: `true`.",
			},
		},
	}
}

func privateKeyAttribute() schema.Attribute {
	algorithms := make([]string, 0, len(pki.Algorithms()))
	for _, algorithm := range pki.Algorithms() {
		algorithms = append(algorithms, string(algorithm))
	}
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "The private key that is generated for the certificate.",
		Attributes: map[string]schema.Attribute{
			"algorithm": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(algorithms...)},
				MarkdownDescription: fmt.Sprintf("One of `%s`. Not every CA takes `ED25519` and `RSA_8192`. Default: that of `original_certificate_pem`, else `%s`. Changing it orders a new certificate in place.", strings.Join(algorithms, "`, `"), defaultAlgorithm),
			},
			"rotate": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether each renewal makes a new key. Default: `true`.",
			},
			"custody": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(custodyStorage, custodyState)},
				MarkdownDescription: "Who can have the key: `storage` keeps it in the provider's storage only, `state` **also writes it to Terraform's state** as `private_key_pem`. Default: `storage`.",
			},
		},
	}
}

// renewalOutputs adds the computed attributes to the arguments.
func renewalOutputs(attributes map[string]schema.Attribute) map[string]schema.Attribute {
	for name, description := range map[string]string{
		"id":                 "Identity of the certificate, the same for all its generations.",
		"status":             "`issued`, or where an unfinished order stands: `awaiting_validation`, `issuing`.",
		"status_reason":      "Why the status is not `issued`.",
		"certificate_pem":    "The certificate alone, PEM.",
		"chain_pem":          "The intermediate certificates, PEM, in the order a server sends them.",
		"fullchain_pem":      "`certificate_pem` and `chain_pem`, as servers like nginx want it.",
		"private_key_id":     "Identity of the private key in the provider's storage, for `certificate_deployment`. It is not the key.",
		"serial_number":      "Serial number in hex.",
		"fingerprint_sha256": "SHA-256 fingerprint of the certificate in hex.",
		"not_before":         "Start of the validity (RFC 3339, UTC).",
		"not_after":          "End of the validity (RFC 3339, UTC).",
		"renew_at":           "When the certificate becomes due (RFC 3339, UTC).",
		"renew_reason":       "Why the certificate is due; null while it is not.",
		"window_opens_at":    "When the renewal window opens (RFC 3339, UTC).",
		"reminder_at":        "The second calendar day after the window opens, when a renewal that is still open should worry somebody (RFC 3339, UTC).",
		"issuer_used":        "Name of the issuer the certificate came from; null for an imported one.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes["private_key_pem"] = schema.StringAttribute{
		Computed: true, Sensitive: true,
		MarkdownDescription: "The private key, PEM; only with `custody = \"state\"`, null otherwise.",
	}
	attributes["generation"] = schema.Int64Attribute{
		Computed:            true,
		MarkdownDescription: "How many certificates this resource has had, the current one included.",
	}
	previous := map[string]schema.Attribute{}
	for name, description := range map[string]string{
		"serial_number":      "Its serial number in hex.",
		"fingerprint_sha256": "Its SHA-256 fingerprint in hex.",
		"not_after":          "When it expires (RFC 3339, UTC).",
	} {
		previous[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes["previous"] = schema.SingleNestedAttribute{
		Computed: true, Attributes: previous,
		MarkdownDescription: "The certificate before this one. It is not revoked and stays valid until it expires.",
	}
	return attributes
}

// ValidateConfig refuses what can be refused without asking anybody.
func (r *renewalResource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var m renewalModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	if !m.CSR.IsNull() && !m.PrivateKey.IsNull() {
		response.Diagnostics.AddAttributeError(path.Root("csr_pem"), "Two sources for the key",
			"A signing request brings its own key, private_key would generate another one. Keep one of csr_pem and private_key.")
	}
	if m.Domains.IsNull() && m.OriginalCertificate.IsNull() && m.CSR.IsNull() {
		response.Diagnostics.AddAttributeError(path.Root("domains"), "No names for the certificate",
			"Set domains, or original_certificate_pem or csr_pem to take the names from.")
	}
	if !m.OriginalCertificate.IsNull() && !m.OriginalCertificate.IsUnknown() {
		if _, err := m.original(); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("original_certificate_pem"), "Not a certificate",
				fmt.Sprintf("The text cannot be used: %s. Give a certificate in PEM, for instance with file(\"old.pem\").", err))
		}
	}
	if !m.CSR.IsNull() && !m.CSR.IsUnknown() {
		if _, err := pki.ParseRequest([]byte(m.CSR.ValueString())); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("csr_pem"), "Not a signing request",
				fmt.Sprintf("The text cannot be used: %s. Give a request in PEM, as openssl req -new writes it.", err))
		}
	}
	validateDomains(m.Domains, response)
}

func validateDomains(domains types.Set, response *resource.ValidateConfigResponse) {
	if domains.IsNull() || domains.IsUnknown() {
		return
	}
	if len(domains.Elements()) == 0 {
		response.Diagnostics.AddAttributeError(path.Root("domains"), "No names for the certificate", "The set is empty. Write at least one name.")
	}
	for _, element := range domains.Elements() {
		domain, ok := element.(types.String)
		if !ok || domain.IsUnknown() {
			continue
		}
		if _, err := pki.NormalizeName(domain.ValueString()); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("domains").AtSetValue(domain), "Not a name for a certificate", err.Error()+".")
		}
	}
}

// durationValidator accepts positive durations as time.ParseDuration reads them.
type durationValidator struct{}

func (durationValidator) Description(context.Context) string {
	return "a positive duration such as 90s or 10m"
}

func (v durationValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v durationValidator) ValidateString(ctx context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	if d, err := time.ParseDuration(request.ConfigValue.ValueString()); err != nil || d <= 0 {
		response.Diagnostics.AddAttributeError(request.Path, "Not a duration",
			fmt.Sprintf("%q is not %s.", request.ConfigValue.ValueString(), v.Description(ctx)))
	}
}
