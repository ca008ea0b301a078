package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// LetsEncrypt is the production directory of Let's Encrypt, the default CA.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// The environment variables that stand in for attributes that are not set.
const (
	EnvDirectoryURL = "CERTIFICATE_ACME_DIRECTORY_URL"
	EnvEmail        = "CERTIFICATE_ACME_EMAIL"
	EnvCABundle     = "CERTIFICATE_ACME_CA_BUNDLE_PEM"
	EnvTerms        = "CERTIFICATE_ACME_TERMS_OF_SERVICE_AGREED"
	EnvExternalID   = "CERTIFICATE_ACME_EXTERNAL_KEY_ID"
	EnvExternalHMAC = "CERTIFICATE_ACME_EXTERNAL_HMAC_KEY"
	EnvAccountKey   = "CERTIFICATE_ACME_ACCOUNT_KEY_PEM"
	EnvPreviousKey  = "CERTIFICATE_ACME_PREVIOUS_ACCOUNT_KEY_PEM"
	EnvKeyVersion   = "CERTIFICATE_ACME_ACCOUNT_KEY_VERSION"
)

type block struct {
	DirectoryURL         types.String `tfsdk:"directory_url"`
	Email                types.String `tfsdk:"email"`
	TermsOfServiceAgreed types.Bool   `tfsdk:"terms_of_service_agreed"`
	CABundlePEM          types.String `tfsdk:"ca_bundle_pem"`
	Profile              types.String `tfsdk:"profile"`
	ExternalAccount      types.Object `tfsdk:"external_account"`
	AccountKeyPEM        types.String `tfsdk:"account_key_pem"`
	PubliclyTrusted      types.Bool   `tfsdk:"publicly_trusted"`
	PreviousKeyPEM       types.String `tfsdk:"previous_account_key_pem"`
	AccountKeyVersion    types.String `tfsdk:"account_key_version"`
}

type externalBlock struct {
	KeyID   types.String `tfsdk:"key_id"`
	HMACKey types.String `tfsdk:"hmac_key"`
}

// Kind describes an ACME CA in the provider's configuration.
func Kind(getenv func(string) string) kind.Kind[issuer.Config, schema.Attribute] {
	return kind.Kind[issuer.Config, schema.Attribute]{
		Name:    "acme",
		Summary: "A CA that speaks ACME (RFC 8555), such as Let's Encrypt.",
		Attributes: map[string]schema.Attribute{
			"directory_url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("URL of the CA's ACME directory. Environment: `%s`. Default: Let's Encrypt production, `%s`.", EnvDirectoryURL, LetsEncrypt),
			},
			"email": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("Contact address of the account, for the CA's notices. Changing it updates the account. Environment: `%s`. Default: none.", EnvEmail),
			},
			"terms_of_service_agreed": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("Whether you agree to the CA's terms of service. Nothing is ordered before you do. Environment: `%s`. Default: `false`.", EnvTerms),
			},
			"ca_bundle_pem": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("Root certificates (PEM) to trust for the CA's HTTPS besides those of the system; for private CAs. Environment: `%s`. Default: none.", EnvCABundle),
			},
			"external_account": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("External account binding: what a commercial CA gave its customer. Environment: `%s`, `%s`. Default: none.", EnvExternalID, EnvExternalHMAC),
				Attributes: map[string]schema.Attribute{
					"key_id":   schema.StringAttribute{Required: true, MarkdownDescription: "Identifier of the key."},
					"hmac_key": schema.StringAttribute{Required: true, Sensitive: true, MarkdownDescription: "The key in base64url; never stored."},
				},
			},
			"account_key_pem": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: fmt.Sprintf("Private key (PEM) of an account that exists or should be made; never stored. Another key is another account, unless `previous_account_key_pem` says which one to move. Environment: `%s`. Default: a key is made once and kept in the storage.", EnvAccountKey),
			},
			"previous_account_key_pem": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: fmt.Sprintf("Private key (PEM) that the account had before `account_key_pem`; never stored. The next apply that orders or revokes has the CA know the account by `account_key_pem` from then on (RFC 8555 §7.3.5): it stays the same account, with its open orders. Afterwards the attribute can be removed. Environment: `%s`. Default: none.", EnvPreviousKey),
			},
			"account_key_version": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: fmt.Sprintf("Setting or changing it has the next apply that orders or revokes replace the account's key that is kept in the storage by a new one (RFC 8555 §7.3.5); it stays the same account, with its open orders. Write what was never written here before, such as a date: the key is replaced once for each value. Environment: `%s`. Default: the key stays.", EnvKeyVersion),
			},
			"publicly_trusted": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether browsers trust the CA, so that no certificate may live longer than the CA/Browser Forum allows on the day. Default: `true`, and `false` where `ca_bundle_pem` is set.",
			},
			"profile": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Certificate profile to ask the CA for, such as `tlsserver` at Let's Encrypt. Default: the CA's choice.",
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (issuer.Config, diag.Diagnostics) {
			var b block
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			config := FromEnvironment(getenv)
			override(&config.DirectoryURL, b.DirectoryURL)
			override(&config.Email, b.Email)
			override(&config.CABundle, b.CABundlePEM)
			override(&config.Profile, b.Profile)
			if config.Private = config.CABundle != ""; !b.PubliclyTrusted.IsNull() {
				config.Private = !b.PubliclyTrusted.ValueBool()
			}
			configureAccount(ctx, &config, b, at, getenv, &diags)
			if !b.TermsOfServiceAgreed.IsNull() {
				config.TermsOfServiceAgreed = b.TermsOfServiceAgreed.ValueBool()
			}
			if u, err := url.Parse(config.DirectoryURL); err != nil || u.Scheme != "https" || u.Host == "" {
				diags.AddAttributeError(at.AtName("directory_url"), "No ACME directory",
					fmt.Sprintf("%q is no https URL. Write the directory URL that the CA documents, for instance %s.", config.DirectoryURL, LetsEncrypt))
			}
			if config.CABundle != "" {
				if _, err := pki.ParseCertificates([]byte(config.CABundle)); err != nil {
					diags.AddAttributeError(at.AtName("ca_bundle_pem"), "No usable root certificates",
						fmt.Sprintf("The text cannot be used: %s. Give certificates in PEM, for instance with file(\"ca.pem\").", err))
				}
			}
			return config, diags
		},
	}
}

// FromEnvironment is the issuer when nothing is configured: Let's Encrypt, or
// what the environment says.
func FromEnvironment(getenv func(string) string) Config {
	config := Config{
		DirectoryURL: LetsEncrypt, Email: getenv(EnvEmail), CABundle: getenv(EnvCABundle),
		TermsOfServiceAgreed: getenv(EnvTerms) == "true", Private: getenv(EnvCABundle) != "",
		ExternalKeyID: getenv(EnvExternalID), ExternalHMAC: secret.New(getenv(EnvExternalHMAC)),
		AccountKeyVersion: getenv(EnvKeyVersion),
	}
	for variable, key := range map[string]*pki.Key{EnvAccountKey: &config.AccountKey, EnvPreviousKey: &config.PreviousAccountKey} {
		if text := getenv(variable); text != "" {
			var err error
			if *key, err = pki.ParseKey([]byte(text)); err != nil {
				config.problem = errors.Join(config.problem, fmt.Errorf("%s: %w", variable, err))
			}
		}
	}
	if attribute, err := config.keysProblem(); err != nil && config.problem == nil {
		config.problem = fmt.Errorf("%s: %w", attribute, err)
	}
	if directory := getenv(EnvDirectoryURL); directory != "" {
		config.DirectoryURL = directory
	}
	return config
}

// configureAccount reads what identifies the account: the binding to one at the
// CA, and a key of the user's own.
func configureAccount(ctx context.Context, config *Config, b block, at path.Path, getenv func(string) string, diags *diag.Diagnostics) {
	if !b.ExternalAccount.IsNull() {
		var external externalBlock
		diags.Append(b.ExternalAccount.As(ctx, &external, basetypes.ObjectAsOptions{})...)
		config.ExternalKeyID, config.ExternalHMAC = external.KeyID.ValueString(), secret.New(external.HMACKey.ValueString())
	}
	if config.ExternalKeyID != "" {
		if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(config.ExternalHMAC.Reveal(), "=")); err != nil || config.ExternalHMAC.Reveal() == "" {
			diags.AddAttributeError(at.AtName("external_account").AtName("hmac_key"), "Not a key in base64url",
				"The key cannot be decoded. Copy it as the CA shows it.")
		}
	}
	override(&config.AccountKeyVersion, b.AccountKeyVersion)
	config.AccountKey = configureKey(getenv(EnvAccountKey), b.AccountKeyPEM, at.AtName("account_key_pem"), diags)
	config.PreviousAccountKey = configureKey(getenv(EnvPreviousKey), b.PreviousKeyPEM, at.AtName("previous_account_key_pem"), diags)
	if attribute, err := config.keysProblem(); err != nil && !diags.HasError() {
		diags.AddAttributeError(at.AtName(attribute), "The account's keys do not go together", attribute+": "+err.Error()+".")
	}
	config.problem = nil // what the environment lacks was told above
}

// configureKey reads a private key of the account; empty where there is none.
func configureKey(text string, configured types.String, at path.Path, diags *diag.Diagnostics) pki.Key {
	override(&text, configured)
	if text == "" {
		return pki.Key{}
	}
	key, err := pki.ParseKey([]byte(text))
	if err != nil {
		diags.AddAttributeError(at, "Not a private key", fmt.Sprintf("The text cannot be used: %s.", err))
	}
	return key
}

func override(setting *string, configured types.String) {
	if !configured.IsNull() {
		*setting = configured.ValueString()
	}
}
