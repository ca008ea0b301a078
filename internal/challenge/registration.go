package challenge

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// Registration is a domain that a responder keeps validation records for.
type Registration struct {
	Domain    string // without wildcard
	Target    string // where its validation name has to lead
	Zone      string // of the responder, in which Target is
	Subdomain string // Target without Zone
}

// Errors of registrations.
var (
	// ErrNotRegistered says that the responder does not know a domain.
	ErrNotRegistered = errors.New("the domain is not registered at the responder")
	// ErrNoRegistrar says that nobody registers domains.
	ErrNoRegistrar = errors.New("domains are registered at a responder, and the provider's validation is none: set validation.responder")
)

// RegistrarOf is the responder behind a solver.
func RegistrarOf(solver Solver) (*Responder, error) {
	if s, ok := solver.(*DNSSolver); ok {
		if r, ok := s.Publisher.(*Responder); ok {
			return r, nil
		}
	}
	return nil, ErrNoRegistrar
}

// Register registers a domain, in a zone of the responder, the first one where
// that is empty, below a label. One that is registered like that already is no
// error; one that is registered otherwise is.
func (r *Responder) Register(ctx context.Context, domain, subdomain, zone string) (Registration, error) {
	made, err := r.api.Register(ctx, client.Registration{Domain: domain, Subdomain: subdomain, Zone: zone})
	if err == nil {
		return registrationOf(made), nil
	}
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == http.StatusConflict {
		known, lookErr := r.Registered(ctx, domain)
		if lookErr == nil && known.Subdomain == subdomain && (zone == "" || known.Zone == zone) {
			return known, nil
		}
		if lookErr == nil && known.Domain == domain {
			return known, fmt.Errorf("register %s at the responder: it is registered as %s: set subdomain to %q and responder_zone to %q, or unregister it there",
				domain, known.Target, known.Subdomain, known.Zone)
		}
	}
	return Registration{}, fmt.Errorf("register %s at the responder: %w", domain, adviseRegistrar(err))
}

// Registered returns what is registered of a domain, or ErrNotRegistered.
func (r *Responder) Registered(ctx context.Context, domain string) (Registration, error) {
	known, err := r.api.Delegation(ctx, domain)
	var answer *client.Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		return Registration{}, fmt.Errorf("%s: %w", domain, ErrNotRegistered)
	case err != nil:
		return Registration{}, fmt.Errorf("look up %s at the responder: %w", domain, adviseRegistrar(err))
	}
	return registrationOf(known), nil
}

// Unregister has the responder forget a domain. One that it does not know is no
// error.
func (r *Responder) Unregister(ctx context.Context, domain string) error {
	if err := r.api.Unregister(ctx, domain); err != nil {
		return fmt.Errorf("unregister %s at the responder: %w", domain, adviseRegistrar(err))
	}
	return nil
}

func registrationOf(d client.Delegation) Registration {
	return Registration{Domain: d.Domain, Target: d.Target, Zone: d.Zone, Subdomain: d.Subdomain}
}

// adviseRegistrar is advise for registrations, which take more of a token.
func adviseRegistrar(err error) error {
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == http.StatusForbidden {
		return fmt.Errorf("%w; give the token the right to register in the responder's configuration", err)
	}
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return err
	}
	return advise(err, "")
}

// Led returns nil when every authoritative server of the zone that a validation
// name is in leads it to the target, and else which one does not.
func (s *DNSSolver) Led(ctx context.Context, name, target string) error {
	talk := s.Resolver.converse()
	defer talk.close()
	laggard, err := s.look(ctx, talk, Record{Type: CNAME, Name: name, Target: name, Value: target})
	return errors.Join(err, laggard)
}
