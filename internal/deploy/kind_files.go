package deploy

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

type filesBlock struct {
	CertificatePath types.String `tfsdk:"certificate_path"`
	ChainPath       types.String `tfsdk:"chain_path"`
	FullchainPath   types.String `tfsdk:"fullchain_path"`
	PrivateKeyPath  types.String `tfsdk:"private_key_path"`
	CombinedPath    types.String `tfsdk:"combined_path"`
	PKCS7Path       types.String `tfsdk:"pkcs7_path"`
	DERPath         types.String `tfsdk:"der_path"`
	Keystore        types.Object `tfsdk:"keystore"`
	CertificateMode types.String `tfsdk:"certificate_mode"`
	PrivateKeyMode  types.String `tfsdk:"private_key_mode"`
	TestCommand     types.List   `tfsdk:"test_command"`
	ReloadCommand   types.List   `tfsdk:"reload_command"`
}

// FilesKind describes the target files in a resource's configuration.
func FilesKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "files",
		Summary: "Any server that reads files, PEM, DER, PKCS#7 or a keystore, and can be told to load them by a command.",
		Attributes: map[string]schema.Attribute{
			"certificate_path": optional("File for the certificate alone."),
			"chain_path":       optional("File for the intermediate certificates."),
			"fullchain_path":   optional("File for certificate and chain."),
			"private_key_path": optional("File for the private key."),
			"combined_path":    optional("File for certificate, chain and key in one."),
			"pkcs7_path":       optional("File for certificate and chain as PKCS#7 (`.p7b`), PEM."),
			"der_path":         optional("File for the certificate alone in DER (`.cer`, `.crt` of Windows and Java)."),
			"keystore":         keystoreAttribute(false, "mykey"),
			"certificate_mode": optional("Permissions of files without the key, in octal. Default: those of the file that is there, `0644` for a new one."),
			"private_key_mode": optional("Permissions of files with the key, in octal. Default: those of the file that is there, `0600` for a new one."),
			"test_command":     words("Command that succeeds when the server can use the files, " + restartText + " Default: none."),
			"reload_command":   words("Command that has the server load the files, " + restartText + " Default: none."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b filesBlock
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			options := FilesOptions{
				CertificatePath: b.CertificatePath.ValueString(), ChainPath: b.ChainPath.ValueString(),
				FullchainPath: b.FullchainPath.ValueString(), PrivateKeyPath: b.PrivateKeyPath.ValueString(),
				CombinedPath: b.CombinedPath.ValueString(), PKCS7Path: b.PKCS7Path.ValueString(), DERPath: b.DERPath.ValueString(),
				Store: storeOptions(ctx, b.Keystore, &diags),
			}
			options.CertificateMode = mode(b.CertificateMode, at.AtName("certificate_mode"), &diags)
			options.PrivateKeyMode = mode(b.PrivateKeyMode, at.AtName("private_key_mode"), &diags)
			options.TestCommand, options.ReloadCommand = texts(ctx, b.TestCommand, &diags), texts(ctx, b.ReloadCommand, &diags)
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewFiles(options)
			return built(target, err, at, diags)
		},
	}
}

// mode reads permissions in octal; 0 for null.
func mode(text types.String, at path.Path, diags *diag.Diagnostics) fs.FileMode {
	if text.IsNull() {
		return 0
	}
	bits, err := strconv.ParseUint(text.ValueString(), 8, 9)
	if err != nil || bits == 0 {
		diags.AddAttributeError(at, "Not a file mode", fmt.Sprintf("%q is no permission in octal, such as 0640.", text.ValueString()))
	}
	return fs.FileMode(bits)
}
