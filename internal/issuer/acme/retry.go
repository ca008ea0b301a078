package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

const (
	// patience is how long one request goes on asking a CA that does not do its
	// work. The rest is the caller's: another CA, or the wait of the order.
	patience        = 5 * time.Second
	firstPause      = 10 * time.Millisecond
	maxNonceRetries = 200
	// limitPause is the pause after a rate limit that names none.
	limitPause = time.Minute
)

// failure sorts what went wrong with a request by what may be done about it.
type failure int

const (
	// lasting: asking again leads to the same answer.
	lasting failure = iota
	// unsent: the CA has not seen the request.
	unsent
	// busy: the CA says that it did not do what it was asked.
	busy
	// lost: nobody knows whether the CA did it.
	lost
)

// unavailableError is what is left of a CA that may do its work later. It is an
// order.ErrUnavailable.
type unavailableError struct {
	cause   error
	wait    time.Duration // how long the CA asks to be left alone, 0 when it does not
	at      time.Time
	limited bool // it is a rate limit
}

func (e *unavailableError) Error() string {
	return order.ErrUnavailable.Error() + ": " + e.cause.Error() + retryHint(e.wait, e.at)
}

// Unwrap implements the contract of errors.Is and errors.As.
func (e *unavailableError) Unwrap() []error { return []error{order.ErrUnavailable, e.cause} }

// pause is how long to leave the CA alone; 0 leaves it to the caller.
func (e *unavailableError) pause() time.Duration {
	if e.wait == 0 && e.limited {
		return limitPause
	}
	return e.wait
}

// statusError is an answer without a problem document.
type statusError struct {
	status string
	code   int
	wait   time.Duration
}

func (e *statusError) Error() string { return "the CA answers " + e.status }

// connectionError is a request that got no answer, or not all of it.
type connectionError struct{ error }

// Unwrap implements the contract of errors.Is and errors.As.
func (e connectionError) Unwrap() error { return e.error }

// unsentError is a failure on the way to the request.
type unsentError struct{ error }

// Unwrap implements the contract of errors.Is and errors.As.
func (e unsentError) Unwrap() error { return e.error }

// call runs one of lego's requests that may be repeated: because it only asks,
// or because the CA does the same thing once.
func call[T any](s *session, request func() (T, error)) (T, error) {
	return callUpTo(s, lost, request)
}

// callUpTo runs one of lego's requests, with a nonce of its own, and repeats it
// after failures up to a kind.
func callUpTo[T any](s *session, most failure, request func() (T, error)) (T, error) {
	return repeat(s, most, func() (result T, err error) {
		if err := s.reserveNonce(); err != nil {
			return result, unsentError{fmt.Errorf("get a nonce: %w", err)}
		}
		return request()
	})
}

// repeat makes a request until it succeeds, fails for good, or the patience is
// over. A nonce that the CA rejects costs no pause: a new one came with the
// answer (RFC 8555 §6.5).
func repeat[T any](s *session, most failure, request func() (T, error)) (T, error) {
	deadline, pause := time.Now().Add(patience), firstPause
	for nonces := 1; ; {
		result, err := request()
		if errors.Is(err, errBadNonce) && nonces < maxNonceRetries {
			nonces++
			continue
		}
		kind, wait := s.judge(err)
		again := kind != lasting && kind <= most && (wait > 0 || !isLimit(err)) && s.rest(max(wait, pause), deadline)
		switch ended := s.ctx.Err(); {
		case err != nil && ended != nil:
			if errors.Is(err, ended) {
				return result, err
			}
			return result, fmt.Errorf("%w: %w", ended, err) // not all of lego's errors wrap
		case again:
			pause *= 2
		case kind == lasting:
			return result, err
		default:
			return result, &unavailableError{cause: err, wait: wait, at: time.Now(), limited: isLimit(err)}
		}
	}
}

// rest waits before the next try. It returns false when that would be too late,
// or the CA has answered nobody for so long that one try is enough.
func (s *session) rest(pause time.Duration, deadline time.Time) bool {
	next := time.Now().Add(pause)
	if next.After(deadline) || next.After(s.client.patienceEnds()) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// judge tells what kind of failure an error is, and how long the CA asks to
// wait.
func (s *session) judge(err error) (failure, time.Duration) {
	var status *statusError
	var untrusted *tls.CertificateVerificationError
	var before unsentError
	var connection connectionError
	var network *net.OpError
	switch details := problem(err); {
	case errors.As(err, &before):
		kind, wait := s.judge(before.error)
		return min(kind, unsent), wait
	case details != nil:
		return judgeStatus(details.HTTPStatus), s.retryAfterOf(details.URL)
	case errors.As(err, &status):
		return judgeStatus(status.code), status.wait
	case !errors.As(err, &connection), errors.As(err, &untrusted):
		return lasting, 0
	case errors.As(err, &network) && network.Op == "dial":
		return unsent, 0
	}
	return lost, 0
}

// judgeStatus tells what kind of failure an HTTP status is. Those of gateways do
// not say what the server behind them did.
func judgeStatus(code int) failure {
	switch {
	case code == http.StatusTooManyRequests, code == http.StatusInternalServerError, code == http.StatusServiceUnavailable:
		return busy
	case code == http.StatusNotImplemented, code < http.StatusInternalServerError:
		return lasting
	}
	return lost
}

// isLimit reports whether the CA says that it was asked too often.
func isLimit(err error) bool { return statusOf(err) == http.StatusTooManyRequests }
