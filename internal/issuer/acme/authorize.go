package acme

import (
	"cmp"
	"context"
	"fmt"
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
		chosen, err := i.choose(authorization)
		if err != nil {
			return j, p, err
		}
		keyAuthorization, err := s.GetKeyAuthorization(chosen.Token)
		if err != nil {
			return j, p, fmt.Errorf("compute the validation value for %s: %w", authorization.Identifier.Value, err)
		}
		record, err := challenge.NewRecord(chosen.Type, authorization.Identifier.Value, chosen.Token, keyAuthorization)
		if err != nil {
			return j, p, err
		}
		records = append(records, record)
		if chosen.Status == acme.StatusPending {
			p.Challenges = append(p.Challenges, chosen.URL)
		}
	}
	if len(records) == 0 {
		p.Phase = phasePoll
		return j, p, nil
	}
	preparing := new(errgroup.Group)
	preparing.Go(func() error { return i.checkCAA(s, p, authorizations) })
	preparing.Go(func() (err error) {
		if locator, ok := i.solver.(challenge.Locator); ok {
			records, err = locator.Locate(s.ctx, records)
		}
		return err
	})
	if err := preparing.Wait(); err != nil {
		return j, p, err
	}
	j.Records, p.Phase = fromChallenge(records), phasePresent
	return j, p, nil
}

// checkCAA looks for what would make the CA refuse, before an authorization is
// spent. A CA that does not say who it is in CAA records is not checked (RFC 8555
// §9.7.6).
func (i *Issuer) checkCAA(s *session, p progress, authorizations []acme.Authorization) error {
	checker, ok := i.solver.(challenge.CAAChecker)
	identities := s.GetDirectory().Meta.CaaIdentities
	if !ok || len(identities) == 0 {
		return nil
	}
	var names []challenge.CAA
	for _, a := range authorizations {
		if a.Status == acme.StatusPending && a.Identifier.Type == "dns" {
			names = append(names, challenge.CAA{Domain: a.Identifier.Value, Wildcard: a.Wildcard, Identities: identities, AccountURL: p.AccountURL})
		}
	}
	return checker.CheckCAA(s.ctx, names)
}

// choose returns the challenge of an authorization that the solver answers.
func (i *Issuer) choose(a acme.Authorization) (acme.Challenge, error) {
	var offered []string
	for _, c := range a.Challenges {
		if c.Type == i.solver.Type() {
			return c, nil
		}
		offered = append(offered, c.Type)
	}
	return acme.Challenge{}, fmt.Errorf("the CA offers no %s validation for %s, but %s: configure one of these as the provider's validation",
		i.solver.Type(), a.Identifier.Value, strings.Join(offered, ", "))
}

// present publishes all records and tells the CA to look (RFC 8555 §7.5.1). A
// run before this one may have validated in another way, which is over.
func (i *Issuer) present(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	mine := i.answerable(s.ctx, j)
	if len(mine) < len(j.Records) {
		p.Phase = phaseAuthorize
		return j, p, nil
	}
	if err := i.solver.Present(s.ctx, mine); err != nil {
		return j, p, err
	}
	i.presented.Store(j.OrderID, true)
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

// unseen reports whether the CA may find nothing where it still has to look:
// the records are those of a run that died, and what it had answered with may
// have died with it.
func (i *Issuer) unseen(j order.Journal) bool {
	_, presented := i.presented.Load(j.OrderID)
	return len(j.Records) > 0 && !presented
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

// answerable are the records of an order that the solver knows how to handle.
// The others were published in a way that is no longer configured: there is
// nobody to take them back.
func (i *Issuer) answerable(ctx context.Context, j order.Journal) []challenge.Record {
	var mine []challenge.Record
	for _, r := range j.Records {
		r := challenge.Record(r)
		r.Type = cmp.Or(r.Type, challenge.DNS01) // as before there were others
		if r.Type != i.solver.Type() {
			i.logger.WarnContext(ctx, "leave a validation record behind: the provider's validation was changed", "type", r.Type, "name", r.Name, "value", r.Value)
			continue
		}
		mine = append(mine, r)
	}
	return mine
}

func fromChallenge(records []challenge.Record) []order.Record {
	converted := make([]order.Record, len(records))
	for n, r := range records {
		converted[n] = order.Record(r)
	}
	return converted
}
