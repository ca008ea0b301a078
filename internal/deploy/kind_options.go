package deploy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// What the kinds of targets have in common in configuration.

func optional(what string) schema.Attribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: what}
}

func required(what string) schema.Attribute {
	return schema.StringAttribute{Required: true, MarkdownDescription: what}
}

func words(what string) schema.Attribute {
	return schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: what}
}

// secret is a password that lands in neither state nor plan.
func secretAttribute(what string) schema.Attribute {
	return schema.StringAttribute{
		Optional: true, WriteOnly: true, Sensitive: true,
		MarkdownDescription: what + " Write-only: it is in neither state nor plan.",
	}
}

const restartText = "as a list of program and arguments; no shell reads it."

// keystoreAttribute is a keystore of a server in Java; alias is that of a new one.
func keystoreAttribute(need bool, alias string) schema.Attribute {
	kinds := pki.KeystoreKinds()
	return schema.SingleNestedAttribute{
		Required: need, Optional: !need,
		MarkdownDescription: "The keystore that the server reads. What it holds under other aliases stays.",
		Attributes: map[string]schema.Attribute{
			"path": required("The file."),
			"type": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(kinds...)},
				MarkdownDescription: "`PKCS12`, `PKCS12_LEGACY` (3DES, for old systems) or `JKS`. Default: `PKCS12`.",
			},
			"alias":       optional("Name of the key in the keystore. Default: that of the only key there is, `" + alias + "` in a new file."),
			"password_wo": secretAttribute("Password of the keystore and of the key in it."),
		},
	}
}

type keystoreBlock struct {
	Path     types.String `tfsdk:"path"`
	Type     types.String `tfsdk:"type"`
	Alias    types.String `tfsdk:"alias"`
	Password types.String `tfsdk:"password_wo"`
}

func storeOptions(ctx context.Context, object types.Object, diags *diag.Diagnostics) StoreOptions {
	if object.IsNull() {
		return StoreOptions{}
	}
	var b keystoreBlock
	diags.Append(object.As(ctx, &b, basetypes.ObjectAsOptions{})...)
	return StoreOptions{
		Path: b.Path.ValueString(), Kind: pki.KeystoreKind(b.Type.ValueString()), Alias: b.Alias.ValueString(),
		Password: secret.New(b.Password.ValueString()),
	}
}

// adminAttribute is the HTTP interface by which a server is administered, where
// there are other ways.
func adminAttribute(summary string) schema.Attribute {
	return schema.SingleNestedAttribute{Optional: true, MarkdownDescription: summary, Attributes: adminAttributes()}
}

// managementAttribute is one without which nothing works.
func managementAttribute(summary string) schema.Attribute {
	return schema.SingleNestedAttribute{Required: true, MarkdownDescription: summary, Attributes: adminAttributes()}
}

func adminAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"url":           required("URL of the server, such as `http://127.0.0.1:8080`, as the host itself reaches it."),
		"username":      optional("User to log in as."),
		"password_wo":   secretAttribute("Password of the user."),
		"ca_bundle_pem": optional("Root certificates (PEM) to trust for its HTTPS besides those of the system. Default: none."),
	}
}

type adminBlock struct {
	URL      types.String `tfsdk:"url"`
	Username types.String `tfsdk:"username"`
	Password types.String `tfsdk:"password_wo"`
	CABundle types.String `tfsdk:"ca_bundle_pem"`
}

func adminOptions(ctx context.Context, object types.Object, diags *diag.Diagnostics) Admin {
	if object.IsNull() {
		return Admin{}
	}
	var b adminBlock
	diags.Append(object.As(ctx, &b, basetypes.ObjectAsOptions{})...)
	return Admin{
		URL: b.URL.ValueString(), Username: b.Username.ValueString(), Password: secret.New(b.Password.ValueString()),
		CABundle: []byte(b.CABundle.ValueString()),
	}
}

// strings of a list; nil for null.
func texts(ctx context.Context, list types.List, diags *diag.Diagnostics) []string {
	var all []string
	diags.Append(list.ElementsAs(ctx, &all, false)...)
	return all
}

// built reports an error of a target's constructor at its block.
func built[T Target](target T, err error, at path.Path, diags diag.Diagnostics) (Target, diag.Diagnostics) {
	if err != nil {
		diags.AddAttributeError(at, "The target cannot be used", err.Error()+".")
		return nil, diags
	}
	return target, diags
}
