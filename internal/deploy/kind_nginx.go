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

// NginxKind describes the target nginx in a resource's configuration.
func NginxKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "nginx",
		Summary: "nginx, or a server with its command line such as OpenResty or Tengine. The configuration is tested with `nginx -t` before `nginx -s reload`.",
		Attributes: map[string]schema.Attribute{
			"fullchain_path":   optional("The file of `ssl_certificate`: certificate and chain. Default: read from the server's configuration (`nginx -T`), for `server_name`."),
			"private_key_path": optional("The file of `ssl_certificate_key`. Default: read like `fullchain_path`."),
			"server_name":      optional("Name of the server (`server_name`) whose paths are read from the configuration where they are not set. Default: `verify.server_name`, else the first name of the certificate that is not a wildcard."),
			"binary":           optional("The nginx program. Default: `nginx`, found on the PATH; on Windows `nginx.exe` in the `prefix`."),
			"config_path":      optional("The main configuration file (`-c`). Default: the one compiled in."),
			"prefix":           optional("The prefix of relative paths (`-p`). Default: the one compiled in. Needed on Windows, such as `C:\\nginx`."),
			"service":          optional("Name of the Windows service that runs nginx, on Windows. Default: none; nginx is a process of its own."),

			"encryption_fullchain_path":   optional("For an SM2 pair, the file of the encryption certificate and its chain: `ssl_enc_certificate` of Tengine and Tongsuo, or the second `ssl_certificate` of other builds. `fullchain_path` has the signing certificate. Default: none."),
			"encryption_private_key_path": optional("The file of its key: `ssl_enc_certificate_key`. Default: none."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				FullchainPath  types.String `tfsdk:"fullchain_path"`
				PrivateKeyPath types.String `tfsdk:"private_key_path"`
				ServerName     types.String `tfsdk:"server_name"`
				Binary         types.String `tfsdk:"binary"`
				ConfigPath     types.String `tfsdk:"config_path"`
				Prefix         types.String `tfsdk:"prefix"`
				Service        types.String `tfsdk:"service"`

				EncryptionFullchain types.String `tfsdk:"encryption_fullchain_path"`
				EncryptionKey       types.String `tfsdk:"encryption_private_key_path"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewNginx(NginxOptions{
				FullchainPath: b.FullchainPath.ValueString(), PrivateKeyPath: b.PrivateKeyPath.ValueString(), ServerName: b.ServerName.ValueString(),
				Binary: b.Binary.ValueString(), ConfigPath: b.ConfigPath.ValueString(), Prefix: b.Prefix.ValueString(), Service: b.Service.ValueString(),

				Encryption: PairFiles{FullchainPath: b.EncryptionFullchain.ValueString(), PrivateKeyPath: b.EncryptionKey.ValueString()},
			})
			return built(target, err, at, diags)
		},
	}
}
