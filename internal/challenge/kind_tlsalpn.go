package challenge

import (
	"cmp"
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// EnvTLSListen is the environment variable that stands in for listen.
const EnvTLSListen = "CERTIFICATE_TLS_ALPN_01_LISTEN"

const defaultTLSListen = ":443"

// TLSKind describes validation by handshakes in the provider's configuration.
func TLSKind(getenv func(string) string) kind.Kind[Config, schema.Attribute] {
	return kind.Kind[Config, schema.Attribute]{
		Name:    "tls_alpn_01",
		Summary: "Have the CA make a TLS handshake at port 443 of each name, which the provider itself answers. Also for IP addresses; not for wildcards.",
		Attributes: map[string]schema.Attribute{
			"listen": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Address to answer at, as `:443` or `192.0.2.1:8443`; the CA's connections to port 443 of the names have to arrive there. " +
					fmt.Sprintf("It listens only while a validation is open. Environment: `%s`. Default: `%s`.", EnvTLSListen, defaultTLSListen),
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Config, diag.Diagnostics) {
			var b struct {
				Listen types.String `tfsdk:"listen"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			listen := b.Listen.ValueString()
			if b.Listen.IsNull() {
				listen = cmp.Or(getenv(EnvTLSListen), defaultTLSListen)
			}
			config, err := newTLS(listen)
			if err != nil {
				diags.AddAttributeError(at.AtName("listen"), "No usable validation over TLS", err.Error()+".")
			}
			return config, diags
		},
	}
}

func tlsFromEnvironment(getenv func(string) string) (Config, error) {
	return newTLS(getenv(EnvTLSListen))
}

func newTLS(listen string) (Config, error) {
	if err := checkListen(listen); err != nil {
		return nil, err
	}
	return listening{TLSALPN01, listen}, nil
}
