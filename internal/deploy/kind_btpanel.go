package deploy

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

// BTPanelKind describes the target bt_panel in a resource's configuration.
func BTPanelKind() kind.Kind[Target, schema.Attribute] {
	return kind.Kind[Target, schema.Attribute]{
		Name:    "bt_panel",
		Summary: "A site of the BT panel (宝塔): the panel keeps the pair, checks it and reloads its web server. Its API has to be switched on, with the address that asks allowed. Not yet tried against the real product.",
		Attributes: map[string]schema.Attribute{
			"url":           required("URL of the panel, such as `https://127.0.0.1:8888`, as the host itself reaches it."),
			"api_key_wo":    secretAttribute("API key from the panel's settings."),
			"site":          required("Name of the site in the panel."),
			"ca_bundle_pem": optional("Root certificates (PEM) to trust for the panel's HTTPS besides those of the system; its own certificate is self-signed. Default: none."),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Target, diag.Diagnostics) {
			var b struct {
				URL      types.String `tfsdk:"url"`
				APIKey   types.String `tfsdk:"api_key_wo"`
				Site     types.String `tfsdk:"site"`
				CABundle types.String `tfsdk:"ca_bundle_pem"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			options := BTPanelOptions{
				URL: b.URL.ValueString(), APIKey: secret.New(b.APIKey.ValueString()), Site: b.Site.ValueString(), CABundle: []byte(b.CABundle.ValueString()),
			}
			if diags.HasError() {
				return nil, diags
			}
			target, err := NewBTPanel(options)
			return built(target, err, at, diags)
		},
	}
}
