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

// GlassFishKind describes the target glassfish in a resource's configuration.
func GlassFishKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "glassfish",
		Summary: "GlassFish or Payara: the domain reads its keystore when it starts, so it is restarted. The password of the keystore is the master password. Not yet tried against the real product.",
		Attributes: map[string]schema.Attribute{
			"keystore":        keystoreAttribute(true, "s1as"),
			"admin":           adminAttribute("The administration, port 4848, which restarts the domain. Default: `restart_command` is used."),
			"restart_command": words("Command that restarts the domain, such as `[\"asadmin\", \"restart-domain\"]`, " + restartText + " Default: none."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Keystore       types.Object `tfsdk:"keystore"`
				Admin          types.Object `tfsdk:"admin"`
				RestartCommand types.List   `tfsdk:"restart_command"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := GlassFishOptions{
				Store: storeOptions(ctx, b.Keystore, &diags), Admin: adminOptions(ctx, b.Admin, &diags), Restart: texts(ctx, b.RestartCommand, &diags),
			}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewGlassFish(options)
			return built(target, err, at, diags)
		},
	}
}
