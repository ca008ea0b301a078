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

// HAProxyKind describes the target haproxy in a resource's configuration.
func HAProxyKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name: "haproxy",
		Summary: "HAProxy. The configuration is tested with `-c`. With `socket` the certificate is exchanged through the runtime API and no connection is lost (needs `socat` on the host); " +
			"otherwise `reload_command` runs, or the process of `pid_file` gets the signal to reload.",
		Attributes: map[string]schema.Attribute{
			"combined_path":  required("The file of `crt` on the `bind` line: certificate, chain and key in one."),
			"config_paths":   words("Configuration files (`-f`). Default: `/etc/haproxy/haproxy.cfg`."),
			"binary":         optional("The program. Default: `haproxy`, found on the PATH."),
			"socket":         optional("The socket of the runtime API, with `level admin`. Default: none."),
			"pid_file":       optional("The pid file of the master process. Default: none."),
			"reload_command": words("Command that has HAProxy load its files, " + restartText + " Default: `systemctl reload haproxy` without `socket` and `pid_file`."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				CombinedPath  types.String `tfsdk:"combined_path"`
				ConfigPaths   types.List   `tfsdk:"config_paths"`
				Binary        types.String `tfsdk:"binary"`
				Socket        types.String `tfsdk:"socket"`
				PIDFile       types.String `tfsdk:"pid_file"`
				ReloadCommand types.List   `tfsdk:"reload_command"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := HAProxyOptions{
				CombinedPath: b.CombinedPath.ValueString(), ConfigPaths: texts(ctx, b.ConfigPaths, &diags), Binary: b.Binary.ValueString(),
				Socket: b.Socket.ValueString(), PIDFile: b.PIDFile.ValueString(), ReloadCommand: texts(ctx, b.ReloadCommand, &diags),
			}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewHAProxy(options)
			return built(target, err, at, diags)
		},
	}
}
