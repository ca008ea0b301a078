package custody

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// EnvDirectory stands in for storage.directory.path.
const EnvDirectory = "CERTIFICATE_STORAGE_DIRECTORY"

// DirectoryKind describes a directory as storage in the provider's
// configuration.
func DirectoryKind(getenv func(string) string) kind.Kind[Store, schema.Attribute] {
	return kind.Kind[Store, schema.Attribute]{
		Name:    "directory",
		Summary: "Keep everything in a directory of the machine that runs Terraform.",
		Attributes: map[string]schema.Attribute{
			"path": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: fmt.Sprintf("The directory; it is created with mode 0700. Environment: `%s`. "+
					"Default: `terraform-provider-certificate` below `$XDG_STATE_HOME` or `~/.local/state`.", EnvDirectory),
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Store, diag.Diagnostics) {
			var b struct {
				Path types.String `tfsdk:"path"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			directory := b.Path.ValueString()
			if b.Path.IsNull() {
				found, err := DirectoryFromEnvironment(getenv)
				if err != nil {
					diags.AddAttributeError(at.AtName("path"), "No storage directory", err.Error()+".")
					return nil, diags
				}
				directory = found
			}
			store, err := OpenDirectory(directory)
			if err != nil {
				diags.AddAttributeError(at.AtName("path"), "Storage directory not usable",
					fmt.Sprintf("%s. Nothing was stored; account keys, private keys and orders need this place.", err))
				return nil, diags
			}
			return store, diags
		},
	}
}

// DirectoryFromEnvironment is the storage directory when none is configured.
func DirectoryFromEnvironment(getenv func(string) string) (string, error) {
	if directory := getenv(EnvDirectory); directory != "" {
		return directory, nil
	}
	return DefaultDirectory(getenv)
}
