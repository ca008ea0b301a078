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

// TomcatKind describes the target tomcat in a resource's configuration.
func TomcatKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "tomcat",
		Summary: "Apache Tomcat, with a keystore or PEM files. Its manager is told to load them (`sslReload`), without a restart.",
		Attributes: map[string]schema.Attribute{
			"keystore":         keystoreAttribute(false, "tomcat"),
			"certificate_path": optional("The file of `certificateFile`, with the chain where `chain_path` is not set. Excludes `keystore`."),
			"chain_path":       optional("The file of `certificateChainFile`."),
			"private_key_path": optional("The file of `certificateKeyFile`."),
			"server_name":      optional("Name (`hostName` of an `SSLHostConfig`) whose keystore or files are read from `server.xml` where none is set, with the password that stands there. Default: `verify.server_name`, else the first name of the certificate that is not a wildcard."),
			"catalina_base":    optional("Folder with `conf/server.xml`, for reading it. Default: where packages have it, such as `/var/lib/tomcat10`."),
			"manager":          adminAttribute("The manager's text interface (package tomcat10-admin); the user needs the role `manager-script`. Default: `restart_command` is used."),
			"tls_host_name":    optional("Host name of the `SSLHostConfig` to load anew. Default: all."),
			"restart_command":  words("Command that restarts Tomcat where there is no manager, " + restartText + " Default: none; Tomcat is told nothing."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Keystore        types.Object `tfsdk:"keystore"`
				CertificatePath types.String `tfsdk:"certificate_path"`
				ChainPath       types.String `tfsdk:"chain_path"`
				PrivateKeyPath  types.String `tfsdk:"private_key_path"`
				ServerName      types.String `tfsdk:"server_name"`
				Base            types.String `tfsdk:"catalina_base"`
				Manager         types.Object `tfsdk:"manager"`
				TLSHostName     types.String `tfsdk:"tls_host_name"`
				RestartCommand  types.List   `tfsdk:"restart_command"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := TomcatOptions{
				Store: storeOptions(ctx, b.Keystore, &diags), CertificatePath: b.CertificatePath.ValueString(), ChainPath: b.ChainPath.ValueString(),
				PrivateKeyPath: b.PrivateKeyPath.ValueString(), Manager: adminOptions(ctx, b.Manager, &diags), TLSHostName: b.TLSHostName.ValueString(),
				ServerName: b.ServerName.ValueString(), Base: b.Base.ValueString(), Restart: texts(ctx, b.RestartCommand, &diags),
			}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewTomcat(options)
			return built(target, err, at, diags)
		},
	}
}
