package acme

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// The problem types that change what is done next (RFC 8555 §6.7).
const (
	problemNoAccount     = "urn:ietf:params:acme:error:accountDoesNotExist"
	problemOrderNotReady = "urn:ietf:params:acme:error:orderNotReady"
	problemMalformed     = "urn:ietf:params:acme:error:malformed"
	problemUnauthorized  = "urn:ietf:params:acme:error:unauthorized"

	problemRejectedIdentifier = "urn:ietf:params:acme:error:rejectedIdentifier"

	problemAlreadyRevoked = "urn:ietf:params:acme:error:alreadyRevoked"
)

// problem returns the CA's problem document inside an error, or nil.
func problem(err error) *acme.ProblemDetails {
	var details *acme.ProblemDetails
	if errors.As(err, &details) {
		return details
	}
	return nil
}

// statusOf is the HTTP status inside an error, or 0.
func statusOf(err error) int {
	var status *statusError
	if details := problem(err); details != nil {
		return details.HTTPStatus
	}
	if errors.As(err, &status) {
		return status.code
	}
	return 0
}

func isProblem(err error, kind string) bool {
	details := problem(err)
	return details != nil && details.Type == kind
}

// isGone reports whether the CA does not know the resource (any more).
func isGone(err error) bool {
	details := problem(err)
	return details != nil && (details.HTTPStatus == http.StatusNotFound || details.HTTPStatus == http.StatusGone)
}

// isServerError reports whether the CA failed in a way that it does not explain.
func isServerError(err error) bool {
	details := problem(err)
	return details != nil && details.HTTPStatus == http.StatusInternalServerError
}

// refused reports whether the CA understood a new order and will not take it,
// so that asking again the same way is of no use.
func refused(err error) bool {
	details := problem(err)
	return details != nil && details.HTTPStatus >= 400 && details.HTTPStatus < 500 &&
		details.HTTPStatus != http.StatusTooManyRequests && details.Type != problemNoAccount
}

// blamesReplaces reports whether a new order may have been refused for what it
// replaces (RFC 9773 §5): for anything but a limit, a pause of the CA, an unknown
// account or the names. Boulder calls it unauthorized where the certificate is
// another account's.
func blamesReplaces(err error) bool {
	details := problem(err)
	if details == nil || details.HTTPStatus == http.StatusTooManyRequests || details.HTTPStatus == http.StatusServiceUnavailable {
		return false
	}
	switch details.Type {
	case problemNoAccount, problemRejectedIdentifier:
		return false
	}
	return true
}

// describe words a problem for people: the CA's own text, and each
// subproblem's (RFC 8555 §6.7.1).
func describe(details *acme.ProblemDetails) string {
	if details == nil {
		return "the CA gave no reason"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s)", details.Detail, strings.TrimPrefix(details.Type, "urn:ietf:params:acme:error:"))
	for _, sub := range details.SubProblems {
		fmt.Fprintf(&text, "; %s: %s", sub.Identifier.Value, sub.Detail)
	}
	return text.String()
}

// adviseReach adds what to do when the CA cannot be reached.
func adviseReach(err error) error {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w; for a private CA, give its root in ca_bundle_pem", err)
	}
	if !errors.Is(err, order.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	return fmt.Errorf("%w; check directory_url, and that this machine can reach it", err)
}

func retryHint(wait time.Duration, now time.Time) string {
	if wait <= 0 {
		return ""
	}
	return fmt.Sprintf(" (the CA asks to wait %s, until %s)", wait.Round(time.Second), now.Add(wait).Round(time.Second).UTC().Format("2006-01-02 15:04:05 MST"))
}

// longestRetryAfter stands for whatever is longer, which a time.Duration may
// not hold.
const longestRetryAfter = 100 * 365 * 24 * time.Hour

// parseRetryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds or a
// date.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	if header == "" {
		return 0, false
	}
	seconds, err := strconv.ParseUint(header, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestRetryAfter/time.Second))) * time.Second, true
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), longestRetryAfter), true
	}
	return 0, false
}
