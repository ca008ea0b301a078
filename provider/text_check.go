package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var _ validator.String = textCheck{}

// textCheck refuses a text that a function has an error for. The same function
// reads the text later, so that a plan accepts what an apply can use.
type textCheck struct {
	summary string
	want    string // what the text has to be
	mend    string // what to do, as sentences
	check   func(string) error
}

func (c textCheck) Description(context.Context) string             { return c.want }
func (c textCheck) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

// ValidateString implements validator.String.
func (c textCheck) ValidateString(_ context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	if err := c.check(request.ConfigValue.ValueString()); err != nil {
		response.Diagnostics.AddAttributeError(request.Path, c.summary, fmt.Sprintf("%s: %s. %s", attributeName(request.Path), err, c.mend))
	}
}

// attributeName is a path as people write it: an element of a set has no name of
// its own.
func attributeName(at path.Path) string {
	steps := at.Steps()
	if len(steps) == 0 {
		return ""
	}
	if _, ok := steps[len(steps)-1].(path.PathStepElementKeyValue); ok {
		at = at.ParentPath()
	}
	return at.String()
}

func certificatesCheck() textCheck {
	return textCheck{
		"Not a certificate", "certificates in PEM", "Give certificates in PEM, for instance with file(\"old.pem\").",
		func(text string) error { _, err := pki.ParseCertificates([]byte(text)); return err },
	}
}

func addressCheck() textCheck {
	return textCheck{
		"Not an address", "host:port", "Write host and port, such as \"www.example.com:443\" or \"[2001:db8::1]:443\".",
		func(text string) error { _, _, err := splitAddress(text); return err },
	}
}

func serverNameCheck() textCheck {
	return textCheck{
		"Not a server name", "the name of a host", "Write the name that the server is to be asked for, such as \"www.example.com\".",
		func(text string) error { _, err := hostName(text); return err },
	}
}

func domainCheck() textCheck {
	return textCheck{
		"Not a name for a certificate", "a domain name", "Write it as in the domains of a certificate_renewal, such as \"www.example.com\".",
		func(text string) error { _, err := pki.NormalizeName(text); return err },
	}
}

func zoneCheck() textCheck {
	return textCheck{
		"Not a DNS zone", "the name of a zone", "Write the zone's name, such as \"auth.example.net\".",
		func(text string) error { _, err := zoneName(text); return err },
	}
}

func timeZoneCheck() textCheck {
	return textCheck{
		"Not a time zone", "an IANA time zone", "Write a name of the IANA database, such as \"Asia/Shanghai\" or \"UTC\".",
		func(text string) error { _, err := timeZone(text); return err },
	}
}

func durationCheck() textCheck {
	return textCheck{
		"Not a duration", "a positive duration", "Write a positive duration, such as \"90s\" or \"10m\".",
		func(text string) error {
			if d, err := time.ParseDuration(text); err != nil || d <= 0 {
				return fmt.Errorf("%q is not a positive duration", text)
			}
			return nil
		},
	}
}

func dateCheck() textCheck {
	return textCheck{
		"Not a date", "a date and time", "Write a date with its time and zone as in RFC 3339, such as \"2027-06-30T00:00:00Z\".",
		func(text string) error {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				return fmt.Errorf("%q is not written as in RFC 3339", text)
			}
			return nil
		},
	}
}

// keyIDCheck does not repeat the text: it may be a key that stands in the wrong
// place.
func keyIDCheck() textCheck {
	return textCheck{
		"Not the id of a private key", "the private_key_id of a certificate_renewal",
		"Write the private_key_id of a certificate_renewal, not the key itself.",
		func(text string) error {
			if custody.CheckKey(text) != nil || strings.Contains(text, "/") {
				return errors.New("the text is no id of a stored key")
			}
			return nil
		},
	}
}

// zoneName normalizes the name of a zone.
func zoneName(text string) (string, error) {
	if strings.HasPrefix(text, "*") {
		return "", fmt.Errorf("%q is a wildcard", text)
	}
	name, err := pki.NormalizeName(text)
	if below, belowErr := pki.NormalizeName("a." + text); err != nil && belowErr == nil {
		return strings.TrimPrefix(below, "a."), nil // one label, as private networks have
	}
	return name, err
}

// timeZone finds an IANA time zone. That of the machine is none: a plan in CI
// has to say what one on a desk does.
func timeZone(text string) (*time.Location, error) {
	if text == "" || text == "Local" {
		return nil, fmt.Errorf("%q is no time zone of the IANA database", text)
	}
	return time.LoadLocation(text)
}

// hostName is the form in which a host is connected to and asked for: an IP
// address, or a name with IDNs as A-labels. It takes local names too, which no
// public CA would.
func hostName(text string) (string, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, nil
	}
	switch i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune("/:@*[]?#%\"\\\x7f", r) }); {
	case strings.Trim(text, ".") == "":
		return "", fmt.Errorf("%q names no host", text)
	case i >= 0:
		return "", fmt.Errorf("%q is no name of a host: it contains %q", text, text[i])
	case len(text) > 253:
		return "", fmt.Errorf("%.40q… is %d bytes long, the name of a host has at most 253", text, len(text))
	}
	if strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		return pki.NormalizeName(text)
	}
	return strings.TrimSuffix(text, "."), nil
}

// splitAddress splits host:port and normalizes the host.
func splitAddress(text string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is not host:port", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q has the port %q, want a number from 1 to 65535", text, port)
	}
	host, err = hostName(host)
	return host, port, err
}

// endpointAt is where to ask for a certificate; without a server name it asks
// for the host of the address.
func endpointAt(address, serverName string) (deploy.Endpoint, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return deploy.Endpoint{}, err
	}
	name := host
	if serverName != "" {
		if name, err = hostName(serverName); err != nil {
			return deploy.Endpoint{}, err
		}
	}
	return deploy.Endpoint{Address: net.JoinHostPort(host, port), ServerName: name}, nil
}
