package challenge

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// The environment variables that stand in for attributes that are not set.
const (
	EnvHTTPListen  = "CERTIFICATE_HTTP_01_LISTEN"
	EnvHTTPWebroot = "CERTIFICATE_HTTP_01_WEBROOT"
)

// HTTPKind describes validation by files over HTTP in the provider's
// configuration.
func HTTPKind(getenv func(string) string) kind.Kind[Config, schema.Attribute] {
	return kind.Kind[Config, schema.Attribute]{
		Name:    "http_01",
		Summary: "Have the CA fetch a file from port 80 of each name. Exactly one of `listen` and `webroot`. Also for IP addresses; not for wildcards.",
		Attributes: map[string]schema.Attribute{
			"listen": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Address where the provider itself answers, as `:80` or `192.0.2.1:8080`; the CA's connections to port 80 of the names have to arrive there. " +
					fmt.Sprintf("It listens only while a validation is open. Environment: `%s`.", EnvHTTPListen),
			},
			"webroot": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Folder whose files the web server of the names shows, such as `/var/www/html`: the provider writes `.well-known/acme-challenge/…` there and removes it afterwards. " +
					fmt.Sprintf("Environment: `%s`.", EnvHTTPWebroot),
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Config, diag.Diagnostics) {
			var b struct {
				Listen  types.String `tfsdk:"listen"`
				Webroot types.String `tfsdk:"webroot"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			listen, webroot := b.Listen.ValueString(), b.Webroot.ValueString()
			if b.Listen.IsNull() && b.Webroot.IsNull() {
				listen, webroot = getenv(EnvHTTPListen), getenv(EnvHTTPWebroot)
			}
			config, attribute, err := newHTTP(listen, webroot)
			if err != nil {
				diags.AddAttributeError(at.AtName(attribute), "No usable validation over HTTP", err.Error()+".")
			}
			return config, diags
		},
	}
}

func httpFromEnvironment(getenv func(string) string) (Config, error) {
	config, _, err := newHTTP(getenv(EnvHTTPListen), getenv(EnvHTTPWebroot))
	return config, err
}

// newHTTP checks the attributes; attribute names the wrong one.
func newHTTP(listen, webroot string) (config Config, attribute string, err error) {
	switch {
	case listen == "" && webroot == "":
		return nil, "listen", fmt.Errorf("%w: listen, or %s in the environment, has the provider answer the CA itself; webroot, or %s, has it write files for the web server", errListenOrWebroot, EnvHTTPListen, EnvHTTPWebroot)
	case listen != "" && webroot != "":
		return nil, "webroot", fmt.Errorf("%w: where a web server shows the files of webroot, port 80 is its own", errListenOrWebroot)
	case webroot != "":
		// The journal of an order outlives the directory it was begun in.
		absolute, err := filepath.Abs(webroot)
		if err != nil {
			return nil, "webroot", fmt.Errorf("find the folder %q: %w", webroot, err)
		}
		return writing{absolute}, "", nil
	}
	if err := checkListen(listen); err != nil {
		return nil, "listen", err
	}
	return listening{HTTP01, listen}, "", nil
}
