package challenge

import (
	"context"
	"fmt"
	"net/url"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// The environment variables that stand in for attributes that are not set.
const (
	EnvResponderURL   = "CERTIFICATE_RESPONDER_URL"
	EnvResponderToken = "CERTIFICATE_RESPONDER_TOKEN"
)

// ResponderKind describes the companion responder in the provider's
// configuration.
func ResponderKind(getenv func(string) string) kind.Kind[Config, schema.Attribute] {
	return kind.Kind[Config, schema.Attribute]{
		Name:    "responder",
		Summary: "Publish through `certificate-dns`, the companion DNS server.",
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("URL of the responder's API. Environment: `%s`.", EnvResponderURL),
			},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: fmt.Sprintf("Token for the API; never stored in state or plan. Environment: `%s`.", EnvResponderToken),
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Config, diag.Diagnostics) {
			var b struct {
				URL   types.String `tfsdk:"url"`
				Token types.String `tfsdk:"token"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			address, token := b.URL.ValueString(), b.Token.ValueString()
			if b.URL.IsNull() {
				address = getenv(EnvResponderURL)
			}
			if b.Token.IsNull() {
				token = getenv(EnvResponderToken)
			}
			responder, attribute, err := newResponderFrom(address, token)
			if err != nil {
				diags.AddAttributeError(at.AtName(attribute), "No usable responder", err.Error()+".")
				return nil, diags
			}
			return publishing{responder}, diags
		},
	}
}

func responderFromEnvironment(getenv func(string) string) (Config, error) {
	responder, _, err := newResponderFrom(getenv(EnvResponderURL), getenv(EnvResponderToken))
	if err != nil {
		return nil, err
	}
	return publishing{responder}, nil
}

// newResponderFrom checks url and token; attribute names the wrong one.
func newResponderFrom(address, token string) (r *Responder, attribute string, err error) {
	if u, err := url.Parse(address); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, "url", fmt.Errorf("%q is no http or https URL; set url, or %s in the environment, to the API address of certificate-dns", address, EnvResponderURL)
	}
	if token == "" {
		return nil, "token", fmt.Errorf("the responder's API needs a token; set token, or %s in the environment (certificate-dns token makes one)", EnvResponderToken)
	}
	r, err = NewResponder(address, token)
	return r, "url", err
}
