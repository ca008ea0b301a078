package deploy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// JBossKind describes the target jboss in a resource's configuration.
func JBossKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "jboss",
		Summary: "WildFly or JBoss EAP with Elytron: the key-store is loaded and the key-manager initialized anew through the HTTP management interface, without a restart. Not yet tried against the real product.",
		Attributes: map[string]schema.Attribute{
			"keystore":    keystoreAttribute(true, "server"),
			"management":  managementAttribute("The HTTP management interface, port 9990; the user is a management user (`add-user`)."),
			"key_store":   required("Name of the Elytron `key-store` that reads the file."),
			"key_manager": required("Name of the Elytron `key-manager` that uses it."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Keystore   types.Object `tfsdk:"keystore"`
				Management types.Object `tfsdk:"management"`
				KeyStore   types.String `tfsdk:"key_store"`
				KeyManager types.String `tfsdk:"key_manager"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := JBossOptions{
				Store: storeOptions(ctx, b.Keystore, &diags), Management: adminOptions(ctx, b.Management, &diags),
				KeyStore: b.KeyStore.ValueString(), KeyManager: b.KeyManager.ValueString(),
			}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewJBoss(options)
			return built(target, err, at, diags)
		},
	}
}
