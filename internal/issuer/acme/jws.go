package acme

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-jose/go-jose/v4"
)

// sendKeyChange asks the CA to know the account by another key (RFC 8555
// §7.3.5): what the new key signs, signed by the old one. It is here because
// lego does not do it.
func (s *session) sendKeyChange(accountURL string, before, after crypto.Signer) error {
	target := s.GetDirectory().KeyChangeURL
	body, err := keyChange(target, accountURL, before, after, s)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/jose+json")
	request.Header.Set("User-Agent", userAgent)
	response, err := s.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w by %s", ErrKeyTaken, response.Header.Get("Location"))
	case response.StatusCode < http.StatusBadRequest:
		return nil
	}
	details := &acme.ProblemDetails{}
	if err := json.NewDecoder(response.Body).Decode(details); err != nil {
		return &statusError{status: response.Status, code: response.StatusCode}
	}
	details.HTTPStatus, details.Method, details.URL = response.StatusCode, request.Method, target
	return details
}

// Nonce implements jose.NonceSource.
func (s *session) Nonce() (string, error) {
	if nonce := s.takeNonce(); nonce != "" {
		return nonce, nil
	}
	return "", errors.New("no nonce is left")
}

// keyChange makes the request's body.
func keyChange(target, accountURL string, before, after crypto.Signer, nonces jose.NonceSource) ([]byte, error) {
	payload, err := json.Marshal(map[string]any{"account": accountURL, "oldKey": jose.JSONWebKey{Key: before.Public()}})
	if err != nil {
		return nil, fmt.Errorf("encode the account's old key: %w", err)
	}
	inner, err := sign(payload, after, jose.JSONWebKey{Key: after}, &jose.SignerOptions{
		EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{"url": target},
	})
	if err != nil {
		return nil, fmt.Errorf("sign with the account's new key: %w", err)
	}
	outer, err := sign(inner, before, jose.JSONWebKey{Key: before, KeyID: accountURL}, &jose.SignerOptions{
		NonceSource: nonces, ExtraHeaders: map[jose.HeaderKey]any{"url": target},
	})
	if err != nil {
		return nil, fmt.Errorf("sign with the account's old key: %w", err)
	}
	return outer, nil
}

func sign(payload []byte, key crypto.Signer, as jose.JSONWebKey, options *jose.SignerOptions) ([]byte, error) {
	algorithm, err := signatureAlgorithm(key)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: as}, options)
	if err != nil {
		return nil, err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	return []byte(signed.FullSerialize()), nil
}

// signatureAlgorithm is what lego signs with, too, for a key.
func signatureAlgorithm(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return jose.RS256, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		}
	}
	return "", fmt.Errorf("accounts cannot have a key of the type %T: use RSA, ECDSA P-256 or P-384", key)
}

// thumbprint identifies the account's key inside validation values (RFC 8555
// §8.1).
func thumbprint(key crypto.Signer) (string, error) {
	web := jose.JSONWebKey{Key: key.Public()}
	sum, err := web.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("compute the thumbprint of the account's key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
