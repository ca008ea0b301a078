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

// WebLogicKind describes the target weblogic in a resource's configuration.
func WebLogicKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "weblogic",
		Summary: "Oracle WebLogic Server with a custom identity keystore: its TLS channels are restarted through the RESTful management. Not yet tried against the real product.",
		Attributes: map[string]schema.Attribute{
			"keystore":   keystoreAttribute(true, "server"),
			"management": managementAttribute("The RESTful management of the server itself, such as `https://127.0.0.1:7002`."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Keystore   types.Object `tfsdk:"keystore"`
				Management types.Object `tfsdk:"management"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := WebLogicOptions{Store: storeOptions(ctx, b.Keystore, &diags), Management: adminOptions(ctx, b.Management, &diags)}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewWebLogic(options)
			return built(target, err, at, diags)
		},
	}
}
