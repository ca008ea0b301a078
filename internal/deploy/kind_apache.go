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

// ApacheKind describes the target apache in a resource's configuration.
func ApacheKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "apache",
		Summary: "Apache httpd. The configuration is tested with `-t` before `-k graceful`; a server that is gone after that is started again.",
		Attributes: map[string]schema.Attribute{
			"fullchain_path":   optional("The file of `SSLCertificateFile`: certificate and chain (2.4.8 and later). Default: read from the server's configuration, for `server_name`."),
			"certificate_path": optional("The file of `SSLCertificateFile` for the certificate alone, beside `chain_path`. Excludes `fullchain_path`."),
			"chain_path":       optional("The file of `SSLCertificateChainFile`."),
			"private_key_path": optional("The file of `SSLCertificateKeyFile`. Default: read like `fullchain_path`."),
			"server_name":      optional("Name of the virtual host (`ServerName` or `ServerAlias`) whose paths are read from the configuration where none is set. Default: `verify.server_name`, else the first name of the certificate that is not a wildcard."),
			"binary":           optional("The program that controls the server. Default: `apachectl` found on the PATH; on Windows `bin\\httpd.exe` in the `server_root`, without it `httpd` found on the PATH."),
			"config_path":      optional("The main configuration file (`-f`). Default: the one compiled in."),
			"server_root":      optional("The server root (`-d`). Default: the one compiled in."),
			"dry_start": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Before the reload, start a second server for a moment, on a spare port of 127.0.0.1, with the modules and directives of TLS of the same configuration. It finds what `-t` does not, above all a key that belongs to another certificate, with the running server untouched. Default: `false`.",
			},
			"service": optional("Name of the Windows service (`-n`). Default: `Apache2.4` where a path is one of Windows, else none."),

			"encryption_fullchain_path":   optional("For an SM2 pair and a build that serves one, the file of the encryption certificate and its chain: the second `SSLCertificateFile`. Default: none."),
			"encryption_private_key_path": optional("The file of its key: the second `SSLCertificateKeyFile`. Default: none."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				FullchainPath   types.String `tfsdk:"fullchain_path"`
				CertificatePath types.String `tfsdk:"certificate_path"`
				ChainPath       types.String `tfsdk:"chain_path"`
				PrivateKeyPath  types.String `tfsdk:"private_key_path"`
				ServerName      types.String `tfsdk:"server_name"`
				Binary          types.String `tfsdk:"binary"`
				ConfigPath      types.String `tfsdk:"config_path"`
				ServerRoot      types.String `tfsdk:"server_root"`
				DryStart        types.Bool   `tfsdk:"dry_start"`
				Service         types.String `tfsdk:"service"`

				EncryptionFullchain types.String `tfsdk:"encryption_fullchain_path"`
				EncryptionKey       types.String `tfsdk:"encryption_private_key_path"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewApache(ApacheOptions{
				FullchainPath: b.FullchainPath.ValueString(), CertificatePath: b.CertificatePath.ValueString(), ChainPath: b.ChainPath.ValueString(),
				PrivateKeyPath: b.PrivateKeyPath.ValueString(), ServerName: b.ServerName.ValueString(), Binary: b.Binary.ValueString(), ConfigPath: b.ConfigPath.ValueString(),
				ServerRoot: b.ServerRoot.ValueString(), Service: b.Service.ValueString(), DryStart: b.DryStart.ValueBool(),

				Encryption: PairFiles{FullchainPath: b.EncryptionFullchain.ValueString(), PrivateKeyPath: b.EncryptionKey.ValueString()},
			})
			return built(target, err, at, diags)
		},
	}
}
