package challenge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

const (
	// responderTimeout bounds one request to the responder.
	responderTimeout = 15 * time.Second
	// settlePatience is how long one request waits for the responder's secondaries.
	settlePatience = 5 * time.Second
)

// Responder publishes through the HTTP API of certificate-dns.
type Responder struct{ api *client.Client }

// NewResponder prepares a publisher for the responder at url; it sends nothing.
func NewResponder(url, token string) (*Responder, error) {
	// One connection for each record that is published at once, kept for the
	// next ones: Go keeps two by itself and would open the others anew.
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second,
		MaxConnsPerHost: maxParallel, MaxIdleConnsPerHost: maxParallel,
	}
	api, err := client.New(url, token, &http.Client{Transport: transport, Timeout: responderTimeout})
	if err != nil {
		return nil, err
	}
	return &Responder{api}, nil
}

// Publish implements Publisher.
func (r *Responder) Publish(ctx context.Context, name, value string) error {
	if err := r.api.Put(ctx, name, value); err != nil {
		return fmt.Errorf("publish %s at the responder: %w", name, advise(err, name))
	}
	return nil
}

// Withdraw implements Publisher.
func (r *Responder) Withdraw(ctx context.Context, name, value string) error {
	if err := r.api.Delete(ctx, name, value); err != nil {
		return fmt.Errorf("withdraw %s at the responder: %w", name, advise(err, name))
	}
	return nil
}

// PublishAlias implements AliasPublisher.
func (r *Responder) PublishAlias(ctx context.Context, name, target string) error {
	if err := r.api.PutCNAME(ctx, name, target); err != nil {
		return fmt.Errorf("publish the CNAME %s at the responder: %w", name, adviseAlias(err, name))
	}
	return nil
}

// WithdrawAlias implements AliasPublisher.
func (r *Responder) WithdrawAlias(ctx context.Context, name, target string) error {
	if err := r.api.DeleteCNAME(ctx, name, target); err != nil {
		return fmt.Errorf("withdraw the CNAME %s at the responder: %w", name, adviseAlias(err, name))
	}
	return nil
}

// Settle implements Settler where the responder offers it: it waits until the
// responder's secondaries have what was published.
func (r *Responder) Settle(ctx context.Context, name string) error {
	for {
		lagging, offered, err := r.api.Settle(ctx, name, settlePatience)
		var answer *client.Error
		switch {
		case ctx.Err() != nil && len(lagging) == 0:
			return fmt.Errorf("the responder's secondaries: %w", context.Cause(ctx))
		case errors.As(err, &answer): // not for this token: asking the servers has to do
			return nil
		case err != nil:
			return fmt.Errorf("wait for the responder's secondaries: %w", advise(err, name))
		case !offered || len(lagging) == 0:
			return nil
		case ctx.Err() != nil || pastDeadline(ctx):
			return laggards(lagging)
		}
	}
}

// pastDeadline reports whether there is no time for another wait.
func pastDeadline(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < settlePatience
}

// laggards names the secondaries that lag.
func laggards(lagging []client.Lag) error {
	var who []string
	for _, l := range lagging {
		text := fmt.Sprintf("the secondary %s (%s)", l.Secondary, l.Address)
		switch {
		case l.Problem != "":
			text += ": " + l.Problem
		case l.Serial != 0:
			text += fmt.Sprintf(" still has serial %d", l.Serial)
		default:
			text += " has not answered"
		}
		who = append(who, text)
	}
	return errors.New(strings.Join(who, "; ") + "; see that it may transfer the zone and is reached, or take it out of the responder's configuration")
}

// adviseAlias is advise for a CNAME, which cannot be delegated by another one.
func adviseAlias(err error, name string) error {
	var answer *client.Error
	if !errors.As(err, &answer) || answer.Status != http.StatusNotFound {
		return advise(err, name)
	}
	return fmt.Errorf("%w; delegate the zone of %s to the responder by NS records, update the certificate-dns there, or create the CNAME by hand: it is in validation_records", err, name)
}

// advise adds what to do about the answers a configuration mistake leads to.
func advise(err error, name string) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return fmt.Errorf("%w; check that certificate-dns runs and that the URL in validation.responder leads to it", err)
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w; check the token in validation.responder", err)
	case http.StatusForbidden:
		return fmt.Errorf("%w; give the token the name in the responder's configuration", err)
	case http.StatusNotFound:
		return fmt.Errorf("%w; create a CNAME record from %s to a name below the responder's zone", err, name)
	}
	return err
}
