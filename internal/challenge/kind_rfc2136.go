package challenge

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// The environment variables that stand in for attributes that are not set.
const (
	EnvUpdateServer    = "CERTIFICATE_RFC2136_SERVER"
	EnvUpdateZone      = "CERTIFICATE_RFC2136_ZONE"
	EnvUpdateKeyName   = "CERTIFICATE_RFC2136_KEY_NAME"
	EnvUpdateAlgorithm = "CERTIFICATE_RFC2136_ALGORITHM"
	EnvUpdateSecret    = "CERTIFICATE_RFC2136_SECRET"
)

const defaultAlgorithm = "hmac-sha256"

func algorithms() []string { return []string{defaultAlgorithm, "hmac-sha384", "hmac-sha512"} }

// updateBlock is the configuration of dynamic updates.
type updateBlock struct {
	Server    types.String `tfsdk:"server"`
	Zone      types.String `tfsdk:"zone"`
	KeyName   types.String `tfsdk:"key_name"`
	Algorithm types.String `tfsdk:"algorithm"`
	Secret    types.String `tfsdk:"secret"`
}

// UpdateKind describes publishing by dynamic updates in the provider's
// configuration.
func UpdateKind(getenv func(string) string) kind.Kind[Config, schema.Attribute] {
	text := func(sensitive bool, description string, arguments ...any) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Sensitive: sensitive, MarkdownDescription: fmt.Sprintf(description, arguments...)}
	}
	return kind.Kind[Config, schema.Attribute]{
		Name:    "rfc2136",
		Summary: "Publish by dynamic updates (RFC 2136) that are signed with TSIG (RFC 8945), as BIND, Knot and PowerDNS take them.",
		Attributes: map[string]schema.Attribute{
			"server":    text(false, "Primary server of the zone, as `host` or `host:port`; it is spoken to over TCP. Environment: `%s`. Default port: 53.", EnvUpdateServer),
			"zone":      text(false, "Zone to change, where all names lie in one. Environment: `%s`. Default: the server is asked for the zone of each name.", EnvUpdateZone),
			"key_name":  text(false, "Name of the TSIG key. Environment: `%s`.", EnvUpdateKeyName),
			"algorithm": text(false, "Algorithm of the key, one of `%s`. Environment: `%s`. Default: `%s`.", strings.Join(algorithms(), "`, `"), EnvUpdateAlgorithm, defaultAlgorithm),
			"secret":    text(true, "Secret of the key in base64, as `tsig-keygen` prints it; never stored in state or plan. Environment: `%s`.", EnvUpdateSecret),
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Config, diag.Diagnostics) {
			var b updateBlock
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			publisher, attribute, err := b.publisher(getenv)
			if err != nil {
				diags.AddAttributeError(at.AtName(attribute), "No usable dynamic updates", err.Error()+".")
				return nil, diags
			}
			return publishing{publisher}, diags
		},
	}
}

func updateFromEnvironment(getenv func(string) string) (Config, error) {
	publisher, _, err := updateBlock{}.publisher(getenv)
	if err != nil {
		return nil, err
	}
	return publishing{publisher}, nil
}

// publisher checks the attributes; attribute names the wrong one.
func (b updateBlock) publisher(getenv func(string) string) (p *UpdatePublisher, attribute string, err error) {
	or := func(configured types.String, variable string) string {
		if configured.IsNull() {
			return getenv(variable)
		}
		return configured.ValueString()
	}
	p = &UpdatePublisher{now: time.Now, turns: make(chan struct{}, maxUpdates), zones: map[string]string{}}
	if p.server, err = serverAddress(or(b.Server, EnvUpdateServer)); err != nil {
		return nil, "server", fmt.Errorf("%w; set server, or %s in the environment, to the zone's primary server", err, EnvUpdateServer)
	}
	if zone := or(b.Zone, EnvUpdateZone); zone != "" {
		if p.zone, err = domainName(zone); err != nil {
			return nil, "zone", err
		}
	}
	if p.key.name, err = domainName(or(b.KeyName, EnvUpdateKeyName)); err != nil {
		return nil, "key_name", fmt.Errorf("%w; set key_name, or %s in the environment, to the name of the key at the server", err, EnvUpdateKeyName)
	}
	algorithm := strings.ToLower(strings.TrimSuffix(cmp.Or(or(b.Algorithm, EnvUpdateAlgorithm), defaultAlgorithm), "."))
	if !slices.Contains(algorithms(), algorithm) {
		return nil, "algorithm", fmt.Errorf("%q is none of %s", algorithm, strings.Join(algorithms(), ", "))
	}
	p.key.algorithm = dns.Fqdn(algorithm)
	secret := or(b.Secret, EnvUpdateSecret)
	if decoded, err := base64.StdEncoding.DecodeString(secret); err != nil || len(decoded) == 0 {
		// The text is not repeated: it may be nearly right.
		return nil, "secret", fmt.Errorf("the secret is not base64; set secret, or %s in the environment, to what tsig-keygen printed", EnvUpdateSecret)
	}
	p.key.secret = func() string { return secret }
	return p, "", nil
}

// serverAddress is host:port of a DNS server.
func serverAddress(text string) (string, error) {
	if address, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return net.JoinHostPort(address.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, "53"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if _, ip := netip.ParseAddr(host); err != nil || number == 0 || host == "" || ip != nil && strings.ContainsAny(host, "/: ") {
		return "", fmt.Errorf("%q is not the address of a server", text)
	}
	return net.JoinHostPort(host, port), nil
}

// domainName is the absolute form of a name in DNS.
func domainName(text string) (string, error) {
	if text == "" {
		return "", errors.New("a name is missing")
	}
	if _, ok := dns.IsDomainName(text); !ok || strings.ContainsAny(text, " /:\\") {
		return "", fmt.Errorf("%q is no name in DNS", text)
	}
	return strings.ToLower(dns.Fqdn(text)), nil
}
