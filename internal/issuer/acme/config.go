package acme

import (
	"errors"
	"log/slog"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Config is one CA and the account there.
type Config struct {
	DirectoryURL         string
	Email                string
	TermsOfServiceAgreed bool
	// CABundle is PEM to be trusted besides the system's roots.
	CABundle string
	// ExternalKeyID and ExternalHMAC (base64url) bind the account to one at the
	// CA (RFC 8555 §7.3.4); empty where the CA does not need that.
	ExternalKeyID string
	ExternalHMAC  secret.Text
	// AccountKey is the account's key; empty to have one made and kept.
	AccountKey pki.Key
	// PreviousAccountKey is the key that the account of AccountKey had before;
	// empty where it had none.
	PreviousAccountKey pki.Key
	// AccountKeyVersion has a key that is kept replaced by a new one, once for
	// each value; empty leaves it as it is.
	AccountKeyVersion string
	// Profile is the certificate profile to ask for; empty for the CA's default
	// (draft-ietf-acme-profiles-00).
	Profile string

	// Private says that the CA is not publicly trusted.
	Private bool

	problem error // what is wrong with the environment
}

// Open implements issuer.Config.
func (c Config) Open(keeper order.Keeper, solver issuer.Solver, logger *slog.Logger) (issuer.Issuer, error) {
	return New(c, keeper, solver, logger)
}

// Ready implements issuer.Config.
func (c Config) Ready() error {
	if c.problem != nil {
		return c.problem
	}
	if !c.TermsOfServiceAgreed {
		return errors.New("terms_of_service_agreed is not set: read the terms of the CA and set it to true for this issuer")
	}
	return nil
}

// Endpoint implements issuer.Config.
func (c Config) Endpoint() string { return c.DirectoryURL }

// PubliclyTrusted implements issuer.Config.
func (c Config) PubliclyTrusted() bool { return !c.Private }

// keysProblem says which of the attributes about the account's key does not go
// with the others, and why.
func (c Config) keysProblem() (attribute string, err error) {
	switch own, previous := c.AccountKey, c.PreviousAccountKey; {
	case !previous.Empty() && own.Empty():
		return "previous_account_key_pem", errors.New("it says from which key the account is moved to account_key_pem, which is not set; to replace a key that the provider made, change account_key_version")
	case !previous.Empty() && previous.Hash() == own.Hash():
		return "previous_account_key_pem", errors.New("it is the same key as account_key_pem; remove it")
	case c.AccountKeyVersion != "" && !own.Empty():
		return "account_key_version", errors.New("it replaces a key that the provider made, and account_key_pem is set; to replace that one, give the new key there and the old one in previous_account_key_pem")
	}
	return "", nil
}
