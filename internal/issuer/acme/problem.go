package acme

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
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

func isProblem(err error, kind string) bool {
	details := problem(err)
	return details != nil && details.Type == kind
}

// isGone reports whether the CA does not know the resource (any more).
func isGone(err error) bool {
	details := problem(err)
	return details != nil && (details.HTTPStatus == http.StatusNotFound || details.HTTPStatus == http.StatusGone)
}

// refused reports whether the CA understood a new order and will not take it,
// so that asking again the same way is of no use.
func refused(err error) bool {
	details := problem(err)
	return details != nil && details.HTTPStatus >= 400 && details.HTTPStatus < 500 &&
		details.HTTPStatus != http.StatusTooManyRequests && details.Type != problemNoAccount
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

// adviseReach adds what to do when the CA cannot be reached, without lego's own
// words around the cause.
func adviseReach(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w; for a private CA, give its root in ca_bundle_pem", err)
	}
	return fmt.Errorf("%w: %w; check directory_url, and that this machine can reach it", order.ErrUnavailable, err)
}

// classify adds the time a rate limit ends to its error, and marks what another
// CA may not suffer from as order.ErrUnavailable: rate limits, the server's own
// faults, and connections that fail.
func classify(err error) error {
	var limited *acme.RateLimitedError
	if errors.As(err, &limited) {
		return fmt.Errorf("%w: %w%s", order.ErrUnavailable, err, retryHint(limited.RetryAfter))
	}
	var network net.Error
	details := problem(err)
	if details != nil && details.HTTPStatus >= http.StatusInternalServerError || details == nil && errors.As(err, &network) {
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	return err
}

func retryHint(header string) string {
	if header == "" {
		return ""
	}
	if seconds, err := strconv.Atoi(header); err == nil {
		return fmt.Sprintf(" (the CA asks to retry after %s)", time.Duration(seconds)*time.Second)
	}
	return fmt.Sprintf(" (the CA asks to retry after %s)", header)
}

// parseRetryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds or a
// date.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	if header == "" {
		return 0, false
	}
	if seconds, err := strconv.Atoi(header); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
