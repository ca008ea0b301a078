package tencentcloud

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Endpoints of the API. The international one lacks the purchase by points.
const (
	EndpointChina         = "https://ssl.tencentcloudapi.com"
	EndpointInternational = "https://ssl.intl.tencentcloudapi.com"
)

// Config is one account at Tencent Cloud.
type Config struct {
	URL     string // of the API; default EndpointChina
	Account string // what the account is called where there are several at one URL
	// SecretID, SecretKey and Token are the credential; without them the SDK
	// finds one: environment, profile, role of the machine.
	SecretID  string
	SecretKey secret.Text
	Token     secret.Text // of a temporary credential
}

// Open implements issuer.Config.
func (c Config) Open(keeper order.Keeper, solver issuer.Solver, logger *slog.Logger) (issuer.Issuer, error) {
	return New(c, keeper, solver, logger)
}

// Ready implements issuer.Config.
func (c Config) Ready() error {
	if (c.SecretID == "") != (c.SecretKey.Reveal() == "") {
		return errors.New("tencentcloud has one of secret_id and secret_key: set both, or none to use what the environment has")
	}
	return nil
}

// Endpoint implements issuer.Config.
func (c Config) Endpoint() string {
	if c.URL == "" {
		return EndpointChina
	}
	return c.URL
}

// id identifies the account in intents. It cannot follow from the credential,
// which people replace while orders are open.
func (c Config) id() string {
	id := "tencentcloud:" + c.Endpoint()
	if c.Account != "" {
		id += "#" + c.Account
	}
	return id
}

// Beside implements issuer.Sibling.
func (c Config) Beside(other issuer.Config) error {
	if o, ok := other.(Config); ok && o.id() == c.id() && o.SecretID != c.SecretID {
		return fmt.Errorf("both are of the account %q at %s with different credentials, so each would take the other's orders for its own; set account of one of them", c.Account, c.Endpoint())
	}
	return nil
}

// PubliclyTrusted implements issuer.Config. The caps of browsers are left to the
// CA: products of SM2 are not bound by them.
func (Config) PubliclyTrusted() bool { return false }

// parseURL splits the URL of the API.
func parseURL(text string) (scheme, host string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" {
		return "", "", fmt.Errorf("%q is no URL of the API; write one like %s", text, EndpointChina)
	}
	return u.Scheme, u.Host, nil
}
