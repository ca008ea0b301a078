package acme

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
)

// Revoke implements issuer.Revoker (RFC 8555 §7.6) with the account's key.
func (i *Issuer) Revoke(ctx context.Context, certificate *x509.Certificate, reason uint) error {
	message := acme.RevokeCertMessage{Certificate: base64.RawURLEncoding.EncodeToString(certificate.Raw), Reason: &reason}
	changed, err := i.revoke(ctx, message)
	if changed {
		_, err = i.revoke(ctx, message)
	}
	switch {
	case err == nil, isProblem(err, problemAlreadyRevoked):
		return nil
	case isProblem(err, problemUnauthorized), isProblem(err, problemNoAccount), isGone(err):
		return fmt.Errorf("revoke at %s: %w: %w", i.config.DirectoryURL, issuer.ErrNotOurs, err)
	}
	return fmt.Errorf("revoke at %s: %w", i.config.DirectoryURL, err)
}

// revoke reports also whether another process changed the account's key
// meanwhile.
func (i *Issuer) revoke(ctx context.Context, message acme.RevokeCertMessage) (changed bool, err error) {
	a, err := i.account(ctx)
	if err != nil {
		return false, err
	}
	s, err := i.client.open(ctx, a.url, a.key.Signer())
	if err != nil {
		return false, err
	}
	_, err = call(s, func() (struct{}, error) { return struct{}{}, s.Certificates.Revoke(message) })
	if err != nil && s.refused.Load() {
		var rekeyErr error
		changed, rekeyErr = i.rekeyed(ctx, a)
		err = errors.Join(err, rekeyErr)
	}
	return changed, err
}
