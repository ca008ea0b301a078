package acme

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
)

// ErrNoSuggestion says that the CA does not suggest renewal windows.
var ErrNoSuggestion = errors.New("the CA offers no renewal information")

// suggestionPause is the time between questions where the CA names none (RFC
// 9773 §4.3.2: six hours).
const suggestionPause = 6 * time.Hour

// longestPause is the most of a CA's Retry-After that is obeyed, so that one
// odd answer does not end the questions (RFC 9773 §4.3.2: one day).
const longestPause = 24 * time.Hour

// Suggest asks the CA when the certificate should be renewed (RFC 9773 §4.1).
// The request is unauthenticated. It returns how long not to ask again, for an
// error too. ErrNoSuggestion where the CA has no such service.
func (i *Issuer) Suggest(ctx context.Context, certificate *x509.Certificate) (suggestion lifecycle.Suggestion, pause time.Duration, err error) {
	text, err := i.client.fetchDirectory(ctx)
	if err != nil {
		var status *statusError
		if errors.As(err, &status) {
			pause = min(status.wait, longestPause)
		}
		return lifecycle.Suggestion{}, pause, fmt.Errorf("reach the CA at %s: %w", i.config.DirectoryURL, err)
	}
	var directory acme.Directory
	if err := json.Unmarshal(text, &directory); err != nil {
		return lifecycle.Suggestion{}, 0, fmt.Errorf("read the directory of %s: %w", i.config.DirectoryURL, err)
	}
	if directory.RenewalInfo == "" {
		return lifecycle.Suggestion{}, suggestionPause, ErrNoSuggestion
	}
	id, err := certificateID(certificate)
	if err != nil {
		return lifecycle.Suggestion{}, suggestionPause, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, directory.RenewalInfo+"/"+id, nil)
	if err != nil {
		return lifecycle.Suggestion{}, suggestionPause, err
	}
	got, err := i.client.send(request, requestTimeout) // its failure says nothing of orders
	if err != nil {
		return lifecycle.Suggestion{}, 0, fmt.Errorf("ask for renewal information: %w", err)
	}
	pause, ok := parseRetryAfter(got.header.Get("Retry-After"), time.Now())
	if !ok {
		pause = suggestionPause
	}
	pause = min(pause, longestPause)
	if got.code != http.StatusOK {
		return lifecycle.Suggestion{}, pause, fmt.Errorf("ask for renewal information at %s: the CA answers %s", request.URL, got.status)
	}
	var info acme.RenewalInfoResponse
	if err := json.Unmarshal(got.body, &info); err != nil {
		return lifecycle.Suggestion{}, pause, fmt.Errorf("ask for renewal information at %s: the answer is malformed", request.URL)
	}
	suggestion = lifecycle.Suggestion{Start: info.SuggestedWindow.Start, End: info.SuggestedWindow.End, ExplanationURL: info.ExplanationURL}
	if !suggestion.Valid() {
		return lifecycle.Suggestion{}, pause, fmt.Errorf("ask for renewal information at %s: the suggested window ends before it starts", request.URL)
	}
	return suggestion, pause, nil
}

// certificateID is the identifier of a certificate in renewal information (RFC
// 9773 §4.1): key identifier and serial, base64url without padding.
func certificateID(certificate *x509.Certificate) (string, error) {
	if len(certificate.AuthorityKeyId) == 0 {
		return "", errors.New("the certificate has no authority key identifier")
	}
	der, err := asn1.Marshal(certificate.SerialNumber)
	if err != nil {
		return "", fmt.Errorf("encode serial number: %w", err)
	}
	var serial asn1.RawValue
	if _, err := asn1.Unmarshal(der, &serial); err != nil {
		return "", fmt.Errorf("encode serial number: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(certificate.AuthorityKeyId) + "." + encode(serial.Bytes), nil
}
