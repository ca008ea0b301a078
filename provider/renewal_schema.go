package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func (r *renewalResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = renewalSchema()
}

// renewalSchema is the schema of a certificate_renewal, which the function
// confirmation_letter takes too.
func renewalSchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "Keeps a certificate valid: orders it, renews it in its window and hands the next generation to whoever uses it.\n\n" +
			"The private key stays out of Terraform's state unless `private_key.custody` says otherwise.\n\n" +
			"A renewal is an update in place: the same `id`, a new certificate, `generation` one higher. The certificate before is neither revoked nor touched and stays visible as `previous`. " +
			"Destroying revokes and deletes nothing; the certificate is given up, so that a new resource with the same names orders a new one. " +
			"A resource that is only lost from state is adopted from the provider's storage by the next apply, without an order.",
		Attributes: renewalOutputs(map[string]schema.Attribute{
			"domains": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "DNS names and IP addresses of the certificate; wildcards as `*.example.com`, IDNs as people write them. Wildcards need validation by DNS, addresses validation by `http_01` or `tls_alpn_01`. Default: the names of `csr_pem` or `original_certificate_pem`. Changing the names orders a new certificate in place, the old one stays valid.",
			},
			"original_certificate_pem": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "A certificate (PEM) to take names and key type from, so that nothing is typed again. What `domains` and `private_key` say comes first. Default: none.",
			},
			"issuer": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Which of the provider's `issuers` to order from. Default: the only one. Changing it orders a new certificate in place.",
			},
			"issuers": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.UniqueValues()},
				MarkdownDescription: "Several of the provider's `issuers`, the first choice first: the next one is asked when the one before is down or limits the rate, and nothing was placed there; never after a failed validation. Excludes `issuer`.",
			},
			"private_key_pem_wo": schema.StringAttribute{
				Optional: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "A private key (PEM) of your own; write-only: it is in neither state, plan nor storage, and has to be there whenever a certificate is ordered. Needs `private_key_pem_wo_version`; excludes `private_key` and `csr_pem`.",
			},
			"private_key_pem_wo_version": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Version of `private_key_pem_wo`. Changing it orders a certificate for the key that is there then.",
			},
			"csr_pem": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "A certificate signing request (PEM) made elsewhere, by a `certificate_host_key` for instance; then no private key is generated or kept. Excludes `private_key`. Changing its key orders a new certificate in place.",
			},
			"private_key": privateKeyAttribute(),
			"subject":     subjectAttribute(),
			"validity":    validityAttribute(),
			"timeouts":    timeoutsAttribute(),
			"purchase":    purchaseAttribute(),
			"renewal":     renewalAttribute(),
			"carry_over": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to ask the CA to add the days left on the old certificate to the new one, within the longest life allowed on the day. A CA that does not do that issues its usual life, and a warning says so; `carried_over_days` is what was granted. Default: `false`.",
			},
			"profile": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Certificate profile to ask the CA for; one that the CA does not have is refused in the plan. Default: that of the issuer. Changing it orders a new certificate in place.",
			},
			"preferred_chain": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Common name of the root whose chain is preferred, where the CA offers several. Default: the CA's first. Changing it orders a new certificate in place.",
			},
			"must_staple": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to ask for the TLS feature extension (OCSP must staple, RFC 7633); some CAs refuse it. Default: `false`. Changing it orders a new certificate in place.",
			},
			"keep_generations": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1000)},
				MarkdownDescription: "How many generations' private keys stay in the storage, the current one included. Default: `3`.",
			},
			"revoke_on_destroy": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether destroying revokes the certificate. One that is revoked already is a success. Default: `false`.",
			},
			"revocation_reason": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(revocationReasons()...)},
				MarkdownDescription: "Why it is revoked: one of `" + strings.Join(revocationReasons(), "`, `") + "`. Default: `unspecified`.",
			},
			"wait_timeout": schema.StringAttribute{
				Optional: true, Validators: []validator.String{durationCheck()},
				MarkdownDescription: "How long an apply waits for the CA, as a duration such as `90s` or `10m`. An order that takes longer is recorded and the next apply goes on with it. It ends before `timeouts` do. Default: `10m`.",
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
			"time_zone": schema.StringAttribute{
				Optional: true, Validators: []validator.String{timeZoneCheck()},
				MarkdownDescription: "IANA time zone, such as `Asia/Shanghai`, in whose calendar `reminder_at` is the second day. Default: `UTC`.",
			},
			"force_token": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Change it to any other text to renew now, and to try again at once after repeated rejections. Default: none.",
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
				MarkdownDescription: fmt.Sprintf("One of `%s`. Not every CA takes `ED25519` and `RSA_8192`; `SM2` is for SM2 products of a commercial CA and needs one. Default: that of the product, else of `original_certificate_pem`, else `%s`. Changing it orders a new certificate in place.", strings.Join(algorithms, "`, `"), defaultAlgorithm),
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
