package acme

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-acme/lego/v4/acme"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// authorize reads all authorizations (RFC 8555 §7.5) and notes the records of
// those that are still pending.
func (i *Issuer) authorize(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	authorizations := make([]acme.Authorization, len(p.Authorizations))
	group := parallel()
	for n, url := range p.Authorizations {
		group.Go(func() (err error) {
			authorizations[n], err = call(s, func() (acme.Authorization, error) { return s.Authorizations.Get(url) })
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return j, p, fmt.Errorf("read the authorizations: %w", err)
	}
	var records []challenge.Record
	p.Challenges = nil
	for _, authorization := range authorizations {
		switch authorization.Status {
		case acme.StatusValid:
			continue
		case acme.StatusPending:
		default:
			j.Status, j.Detail = order.StatusRejected, whyUnauthorized(authorization)
			return j, p, nil
		}
		offered := slices.IndexFunc(authorization.Challenges, func(c acme.Challenge) bool { return c.Type == challenge.DNS01 })
		if offered < 0 {
			return j, p, fmt.Errorf("the CA offers no %s validation for %s", challenge.DNS01, authorization.Identifier.Value)
		}
		chosen := authorization.Challenges[offered]
		keyAuthorization, err := s.GetKeyAuthorization(chosen.Token)
		if err != nil {
			return j, p, fmt.Errorf("compute the validation value for %s: %w", authorization.Identifier.Value, err)
		}
		records = append(records, challenge.DNSRecord(authorization.Identifier.Value, keyAuthorization))
		if chosen.Status == acme.StatusPending {
			p.Challenges = append(p.Challenges, chosen.URL)
		}
	}
	if len(records) == 0 {
		p.Phase = phasePoll
		return j, p, nil
	}
	located, err := i.solver.Locate(s.ctx, records)
	if err != nil {
		return j, p, err
	}
	j.Records, p.Phase = fromChallenge(located), phasePresent
	return j, p, nil
}

// present publishes all records and tells the CA to look (RFC 8555 §7.5.1).
func (i *Issuer) present(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	if err := i.solver.Present(s.ctx, toChallenge(j.Records)); err != nil {
		return j, p, err
	}
	group := parallel()
	for _, url := range p.Challenges {
		group.Go(func() error {
			_, err := call(s, func() (acme.ExtendedChallenge, error) { return s.Challenges.New(url) })
			if isProblem(err, problemMalformed) {
				// A killed run may have answered it already.
				_, err = call(s, func() (acme.ExtendedChallenge, error) { return s.Challenges.Get(url) })
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return j, p, fmt.Errorf("answer the challenges: %w", err)
	}
	p.Phase, j.Wait = phasePoll, firstPoll
	return j, p, nil
}

// whyInvalid collects what the CA says about a failed order: its own error and
// those of the authorizations.
func (i *Issuer) whyInvalid(s *session, p progress, current acme.Order) string {
	var reasons []string
	if current.Error != nil {
		reasons = append(reasons, describe(current.Error))
	}
	for _, url := range p.Authorizations {
		authorization, err := call(s, func() (acme.Authorization, error) { return s.Authorizations.Get(url) })
		if err == nil && authorization.Status != acme.StatusValid && authorization.Status != acme.StatusPending {
			reasons = append(reasons, whyUnauthorized(authorization))
		}
	}
	if len(reasons) == 0 {
		return fmt.Sprintf("the order is %s and the CA gave no reason", current.Status)
	}
	return strings.Join(reasons, "; ")
}

func whyUnauthorized(a acme.Authorization) string {
	for _, c := range a.Challenges {
		if c.Error != nil {
			return fmt.Sprintf("%s: %s", a.Identifier.Value, describe(c.Error))
		}
	}
	return fmt.Sprintf("%s: the authorization is %s", a.Identifier.Value, a.Status)
}

func parallel() *errgroup.Group {
	group := new(errgroup.Group)
	group.SetLimit(maxConnections)
	return group
}

func toChallenge(records []order.Record) []challenge.Record {
	converted := make([]challenge.Record, len(records))
	for n, r := range records {
		converted[n] = challenge.Record(r)
	}
	return converted
}

func fromChallenge(records []challenge.Record) []order.Record {
	converted := make([]order.Record, len(records))
	for n, r := range records {
		converted[n] = order.Record(r)
	}
	return converted
}
