package tencentcloud

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// The environment variables that stand in for attributes that are not set. Those
// of the credential are the SDK's.
const (
	EnvURL       = "CERTIFICATE_TENCENTCLOUD_URL"
	EnvSecretID  = "TENCENTCLOUD_SECRET_ID"
	EnvSecretKey = "TENCENTCLOUD_SECRET_KEY"
	EnvToken     = "TENCENTCLOUD_TOKEN"
)

type block struct {
	URL       types.String `tfsdk:"url"`
	Account   types.String `tfsdk:"account"`
	SecretID  types.String `tfsdk:"secret_id"`
	SecretKey types.String `tfsdk:"secret_key"`
	Token     types.String `tfsdk:"token"`
}

// Kind describes an account at Tencent Cloud in the provider's configuration.
func Kind(getenv func(string) string) kind.Kind[issuer.Config, schema.Attribute] {
	return kind.Kind[issuer.Config, schema.Attribute]{
		Name: "tencentcloud",
		Summary: "An account at Tencent Cloud, whose SSL API sells and renews DV, OV, EV and SM2 certificates of several brands. " +
			"What to buy says `purchase` of each `certificate_renewal`. Tried against a simulator, not yet against the live service.",
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "URL of the API. Environment: `" + EnvURL + "`. Default: `" + EndpointChina + "`; the international one is `" + EndpointInternational +
					"`, which does not sell for points.",
			},
			"account": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "A name of your choice for the account, needed where several at one `url` are issuers: by it orders are known as those of the account, whatever its API key is. " +
					"Leave it as it is while an order is open. Default: none.",
			},
			"secret_id": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Id of the API key. Default: what the official SDK finds: `TENCENTCLOUD_SECRET_ID` and `TENCENTCLOUD_SECRET_KEY`, a profile in `~/.tencentcloud/credentials`, or the role of the machine.",
			},
			"secret_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "The API key itself. It is in no state and no log. Default: as for `secret_id`.",
			},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Token of a temporary API key. Default: none.",
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (issuer.Config, diag.Diagnostics) {
			var b block
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			config := Config{URL: getenv(EnvURL), Account: b.Account.ValueString(), SecretID: b.SecretID.ValueString(), SecretKey: secret.New(b.SecretKey.ValueString()), Token: secret.New(b.Token.ValueString())}
			if b.SecretID.IsNull() && b.SecretKey.IsNull() {
				config.SecretID, config.SecretKey, config.Token = getenv(EnvSecretID), secret.New(getenv(EnvSecretKey)), secret.New(getenv(EnvToken))
			}
			if !b.URL.IsNull() {
				config.URL = b.URL.ValueString()
			}
			if _, _, err := parseURL(config.Endpoint()); err != nil {
				diags.AddAttributeError(at.AtName("url"), "No URL of the API", err.Error()+".")
				return nil, diags
			}
			if err := config.Ready(); err != nil {
				diags.AddAttributeError(at.AtName("secret_key"), "Half a credential", err.Error()+".")
				return nil, diags
			}
			return config, diags
		},
	}
}
