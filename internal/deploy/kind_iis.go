package deploy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// IISKind describes the target iis in a resource's configuration.
func IISKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name: "iis",
		Summary: "Internet Information Services, on hosts that are Windows: the certificate goes into the machine's store and the https binding of the site is given it; the one before stays in the store. " +
			"Not yet tried against the real product.",
		Attributes: map[string]schema.Attribute{
			"site": required("Name of the site."),
			"host": optional("Host name of the binding. Default: the binding without one."),
			"port": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)},
				MarkdownDescription: "Port of the binding. Default: `443`.",
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				Site types.String `tfsdk:"site"`
				Host types.String `tfsdk:"host"`
				Port types.Int64  `tfsdk:"port"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewIIS(IISOptions{Site: b.Site.ValueString(), Host: b.Host.ValueString(), Port: int(b.Port.ValueInt64())})
			return built(target, err, at, diags)
		},
	}
}
