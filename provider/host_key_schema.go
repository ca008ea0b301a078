package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// hostKeyAlgorithms are those that openssl makes and public CAs take.
func hostKeyAlgorithms() []string {
	var names []string
	for _, algorithm := range pki.Algorithms() {
		if algorithm == pki.SM2 {
			continue // its CAs make the other key of the pair, and wrap it for who has the first
		}
		names = append(names, string(algorithm))
	}
	return names
}

func (r *hostKeyResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	kinds := transport.Kinds(transport.Environment{})
	ways := map[string]schema.Attribute{}
	for _, k := range kinds {
		ways[k.Name] = schema.SingleNestedAttribute{Optional: true, MarkdownDescription: k.Summary, Attributes: k.Attributes}
	}
	subject := subjectAttribute()
	if nested, ok := subject.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "What the signing request says of its owner, for CAs that check organizations. Default: nothing. Changing it makes another request for the same key."
		subject = nested
	}
	attributes := map[string]schema.Attribute{
		"host": schema.SingleNestedAttribute{
			Required: true, Attributes: ways, Validators: []validator.Object{kind.ExactlyOne(kind.Names(kinds))},
			MarkdownDescription: "The machine the key is made on, reached as an element of `hosts` of a `certificate_deployment`. It needs the program `openssl`. Changing it looks for the key there, and makes one where it is not.",
		},
		"path": schema.StringAttribute{
			Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			MarkdownDescription: "The file from which the server reads its key, absolute. Where there is a file already, the new key is made beside it with `.next` behind its name. Changing it makes another key and leaves the one before where it is.",
		},
		"domains": schema.SetAttribute{
			Required: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.SizeAtLeast(1)},
			MarkdownDescription: "DNS names and IP addresses of the signing request. Changing them makes another request for the same key.",
		},
		"algorithm": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(hostKeyAlgorithms()...)},
			MarkdownDescription: fmt.Sprintf("One of `%s`. Default: `%s`. Changing it makes another key.", strings.Join(hostKeyAlgorithms(), "`, `"), defaultAlgorithm),
		},
		"subject": subject,
		"mode": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Permissions of the key's file in octal, such as `0640`. Default: those of the file that is there, `0600` for a new one. A change holds for the next key.",
		},
		"owner": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Owner of the key's file as `chown` takes it: `user` or `user:group`. Default: that of the file that is there, else who made it. A change holds for the next key.",
		},
		"keepers": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Any values; when one changes, a new key is made beside the one in use. Default: none.",
		},
		"rotate_after_days": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
			MarkdownDescription: "Age at which a new key is made, in days. Choose it a little below the age at which the certificate is renewed anyway, so that one order serves both. Default: never by age.",
		},
		"refresh": schema.StringAttribute{
			Optional: true, Validators: []validator.String{stringvalidator.OneOf(refreshHost, refreshNone)},
			MarkdownDescription: "`host` has a refresh connect and ask whether the key is still there; passwords are not at hand then, but `private_key_path` and the agent are. `none` trusts the state. Default: `host` on the machine Terraform runs on, `none` elsewhere.",
		},
		"delete_on_destroy": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Whether destroying removes the key from the host, **whether or not a server uses it**. Default: `false`, it stays.",
		},
		"generation": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many keys were made, this one included."},
	}
	for name, description := range map[string]string{
		"id":                "Identity of the key's resource, the same for all generations.",
		"csr_pem":           "Signing request for the key, PEM: for `csr_pem` of a `certificate_renewal`.",
		"public_key_sha256": "SHA-256 of the key's public part (SubjectPublicKeyInfo), in hex.",
		"private_key_path":  "Where the server reads the key once a deployment has taken it into place: `path`, for the target of a `certificate_deployment`.",
		"made_at":           "When the key was made, RFC 3339.",
		"rotate_at":         "When a new key is due by age, RFC 3339; null without `rotate_after_days`.",
		"rotate_reason":     "Why the next apply makes a new key; null when it does not.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "Makes a private key on a host, by the `openssl` there, and a signing request for it. **The key never leaves the host**: not to Terraform, its state or its logs; only the request and the public part come back.\n\n" +
			"The request goes to `csr_pem` of a `certificate_renewal`, and a `certificate_deployment` with the same host and no key of its own installs the certificate beside the key.\n\n" +
			"A new key (by age, by `keepers`, or because the one before is gone) is made beside the one in use. The request changes with it, so the same apply orders a certificate for the new key, and the deployment takes both into place together or leaves both as they were.\n\n" +
			"Nothing is removed on destroy unless `delete_on_destroy` says so. Import by the key's path adopts the key that is there.",
		Attributes: attributes,
	}
}

// ValidateConfig refuses what can be refused without asking anybody.
func (r *hostKeyResource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var m hostKeyModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	if way := m.windows(); way != "" {
		response.Diagnostics.AddAttributeError(path.Root("host").AtName(way), "A key cannot be made on Windows",
			"Keys are made by openssl on hosts with POSIX paths. Make the key with certreq there and give its request to csr_pem of the renewal, or let the provider keep the key: leave csr_pem out.")
		return
	}
	if k, err := m.key(ctx); err == nil {
		if err := k.Check(ctx, nil); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("path"), "The key cannot be made", err.Error()+".")
		}
	} else if !m.incomplete() {
		response.Diagnostics.AddError("The key cannot be made", err.Error()+".")
	}
}
