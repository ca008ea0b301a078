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

// blamesReplaces reports whether a new order may have been refused for what it
// replaces (RFC 9773 §5): for anything but a limit, the account or the names.
func blamesReplaces(err error) bool {
	details := problem(err)
	if details == nil || details.HTTPStatus == http.StatusTooManyRequests {
		return false
	}
	switch details.Type {
	case problemNoAccount, problemUnauthorized, problemRejectedIdentifier:
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

// classify adds to an error how long the CA asks to be left alone, and marks
// what another CA may not suffer from as order.ErrUnavailable: rate limits, the
// server's own faults, and connections that fail.
func classify(s *session, err error) error {
	details := problem(err)
	var network net.Error
	if details == nil {
		if errors.As(err, &network) {
			return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
		}
		return err
	}
	hint := retryHint(s.retryAfterOf(details.URL), time.Now())
	if details.HTTPStatus == http.StatusTooManyRequests || details.HTTPStatus >= http.StatusInternalServerError {
		return fmt.Errorf("%w: %w%s", order.ErrUnavailable, err, hint)
	}
	return fmt.Errorf("%w%s", err, hint)
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
