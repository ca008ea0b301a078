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

// JettyKind describes the target jetty in a resource's configuration.
func JettyKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "jetty",
		Summary: "Eclipse Jetty, with a keystore. Its module `ssl-reload` sees the new file; without the module, `restart_command` restarts it.",
		Attributes: map[string]schema.Attribute{
			"keystore":        keystoreAttribute(true, "jetty"),
			"restart_command": words("Command that restarts Jetty, " + restartText + " Default: none; the module `ssl-reload` is at work."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Keystore       types.Object `tfsdk:"keystore"`
				RestartCommand types.List   `tfsdk:"restart_command"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := JettyOptions{Store: storeOptions(ctx, b.Keystore, &diags), Restart: texts(ctx, b.RestartCommand, &diags)}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewJetty(options)
			return built(target, err, at, diags)
		},
	}
}
