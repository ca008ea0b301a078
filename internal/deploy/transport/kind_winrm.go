package transport

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// WinRMKind describes a Windows that is reached by WinRM.
func WinRMKind() kind.Kind[Transport, schema.Attribute] {
	return kind.Kind[Transport, schema.Attribute]{
		Name:    "winrm",
		Summary: "A Windows that is reached by WinRM over HTTPS. It is spoken to in Windows PowerShell 5.1.",
		Attributes: map[string]schema.Attribute{
			"address":         schema.StringAttribute{Required: true, MarkdownDescription: "`host` or `host:port`. Default port: 5986."},
			"user":            schema.StringAttribute{Required: true, MarkdownDescription: "User to log in as: a local account, `DOMAIN\\name` or `name@domain`."},
			"password_wo":     secretAttribute("Password of the user."),
			"basic":           schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether to log in by basic authentication, which Windows has switched off unless told otherwise, and has for local accounts only. Default: `false`, NTLM."},
			"ca_bundle_pem":   text("Certificates of the CAs that may have issued the service's certificate, PEM; a self-signed one is its own CA. Default: those of the system."),
			"server_name":     text("Name in the service's certificate. Default: the host of `address`."),
			"connect_timeout": text("How long a connection may take, as a duration. Default: `15s`."),
			"command_timeout": text("How long one command or file may take, as a duration. Default: `5m`."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Transport, diag.Diagnostics) {
			var b struct {
				Address        types.String `tfsdk:"address"`
				User           types.String `tfsdk:"user"`
				Password       types.String `tfsdk:"password_wo"`
				Basic          types.Bool   `tfsdk:"basic"`
				CABundle       types.String `tfsdk:"ca_bundle_pem"`
				ServerName     types.String `tfsdk:"server_name"`
				ConnectTimeout types.String `tfsdk:"connect_timeout"`
				CommandTimeout types.String `tfsdk:"command_timeout"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			options := WinRMOptions{
				Address: b.Address.ValueString(), User: b.User.ValueString(), Password: secret.New(b.Password.ValueString()), NTLM: !b.Basic.ValueBool(),
				CABundle: []byte(b.CABundle.ValueString()), ServerName: b.ServerName.ValueString(),
				ConnectTimeout: duration(b.ConnectTimeout, at.AtName("connect_timeout"), &diags),
				CommandTimeout: duration(b.CommandTimeout, at.AtName("command_timeout"), &diags),
			}
			if diags.HasError() {
				return nil, diags
			}
			machine, err := NewWinRM(options)
			if err != nil {
				diags.AddAttributeError(at, "The host cannot be reached as configured", err.Error()+".")
				return nil, diags
			}
			return machine, diags
		},
	}
}
