package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Config is one CA and the account there.
type Config struct {
	DirectoryURL         string
	Email                string
	TermsOfServiceAgreed bool
	// CABundle is PEM to be trusted besides the system's roots.
	CABundle string
	// ExternalKeyID and ExternalHMAC (base64url) bind the account to one at the
	// CA (RFC 8555 §7.3.4); empty where the CA does not need that.
	ExternalKeyID string
	ExternalHMAC  HMACKey
	// AccountKey is the account's key; empty to have one made and kept.
	AccountKey pki.Key
	// Profile is the certificate profile to ask for; empty for the CA's default
	// (draft-ietf-acme-profiles-00).
	Profile string

	problem error // what is wrong with the environment
}

// HMACKey is the key of an external account. It does not show itself.
type HMACKey struct{ text *string }

// NewHMACKey keeps a key in base64url.
func NewHMACKey(text string) HMACKey { return HMACKey{&text} }

func (k HMACKey) reveal() string {
	if k.text == nil {
		return ""
	}
	return *k.text
}

// Format implements fmt.Formatter without the key, whatever the verb.
func (HMACKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[hmac key]") }

// LogValue implements slog.LogValuer without the key.
func (HMACKey) LogValue() slog.Value { return slog.StringValue("[hmac key]") }

// Open implements issuer.Config.
func (c Config) Open(keeper order.Keeper, solver issuer.Solver, logger *slog.Logger) (issuer.Issuer, error) {
	return New(c, keeper, solver, logger)
}

// Ready implements issuer.Config.
func (c Config) Ready() error {
	if c.problem != nil {
		return c.problem
	}
	if !c.TermsOfServiceAgreed {
		return errors.New("terms_of_service_agreed is not set: read the terms of the CA and set it to true for this issuer")
	}
	return nil
}

// Endpoint implements issuer.Config.
func (c Config) Endpoint() string { return c.DirectoryURL }

// Issuer orders from one CA. It implements issuer.Issuer and issuer.Suggester.
type Issuer struct {
	config Config
	keeper order.Keeper
	solver issuer.Solver
	logger *slog.Logger
	client *client

	// accountTurn holds one token; its holder may use registered.
	accountTurn chan struct{}
	registered  account

	// presented are the orders whose records this process has published.
	presented sync.Map
}

// New prepares an issuer; it sends nothing. The solver may be nil where no
// order will be stepped, to ask Suggest only.
func New(config Config, keeper order.Keeper, solver issuer.Solver, logger *slog.Logger) (*Issuer, error) {
	client, err := newClient(config.DirectoryURL, []byte(config.CABundle))
	if err != nil {
		return nil, err
	}
	return &Issuer{
		config: config, keeper: keeper, solver: solver, logger: logger, client: client,
		accountTurn: make(chan struct{}, 1),
	}, nil
}

// ID identifies the CA in intents and outputs: its directory URL.
func (i *Issuer) ID() string { return "acme:" + i.config.DirectoryURL }

// phase is the next thing to do for an order that was placed.
type phase string

const (
	phaseAuthorize phase = "authorize" // read the authorizations, find what to publish
	phasePresent   phase = "present"   // publish, wait until visible, answer
	phasePoll      phase = "poll"      // do what the state of the order calls for
)

// progress is the part of the journal that only this package reads.
type progress struct {
	Phase          phase    `json:"phase"`
	AccountURL     string   `json:"account_url"`
	Authorizations []string `json:"authorizations"`
	Challenges     []string `json:"challenges,omitempty"`
	Finalize       string   `json:"finalize"`
}

// Step implements order.Issuer.
func (i *Issuer) Step(ctx context.Context, j order.Journal) (order.Journal, error) {
	a, err := i.account(ctx)
	if err != nil {
		return j, err
	}
	s, err := i.client.open(ctx, a.URL, a.key.Signer())
	if err != nil {
		return j, err
	}
	if j.OrderID == "" {
		return i.place(s, a, j)
	}
	var p progress
	if err := json.Unmarshal(j.Progress, &p); err != nil {
		return j, fmt.Errorf("read the progress of order %s: %w", j.OrderID, err)
	}
	if p.AccountURL != a.URL {
		j.Status, j.Detail = order.StatusExpired, "the order belongs to another account, "+p.AccountURL
		return j, nil
	}
	next, p, err := i.advance(s, j, p)
	if isProblem(err, problemNoAccount) {
		next.Status, next.Detail = order.StatusExpired, "the CA no longer knows the account of the order"
		return next, i.forgetAccount(ctx, a.URL, false)
	}
	text, encodeErr := json.Marshal(p)
	if encodeErr != nil {
		return j, errors.Join(err, encodeErr)
	}
	next.Progress = text
	if err != nil {
		return next, fmt.Errorf("order %s: %w", j.OrderID, classify(s, err))
	}
	return next, nil
}

// Withdraw implements order.Issuer. An order that still waits for its
// validation goes back to publishing.
func (i *Issuer) Withdraw(ctx context.Context, j order.Journal) (order.Journal, error) {
	if len(j.Records) == 0 {
		return j, nil
	}
	if err := i.solver.Withdraw(ctx, i.answerable(ctx, j)); err != nil {
		return j, err
	}
	i.presented.Delete(j.OrderID)
	j.Records = nil
	var p progress
	if json.Unmarshal(j.Progress, &p) == nil && p.Phase != phaseAuthorize && !j.Status.Final() {
		p.Phase = phaseAuthorize
		text, err := json.Marshal(p)
		if err != nil {
			return j, err
		}
		j.Progress = text
	}
	return j, nil
}

// place sends newOrder (RFC 8555 §7.4).
func (i *Issuer) place(s *session, a account, j order.Journal) (order.Journal, error) {
	options := &api.OrderOptions{NotAfter: j.NotAfter, Profile: i.config.Profile, ReplacesCertID: i.replaces(j)}
	if j.Intent.Options.Profile != "" {
		options.Profile = j.Intent.Options.Profile
	}
	request := func() (acme.ExtendedOrder, error) { return s.Orders.NewWithOptions(j.Intent.Names, options) }
	created, err := call(s, request)
	if options.ReplacesCertID != "" && blamesReplaces(err) {
		// What the order replaces is a courtesy and must not cost the renewal.
		i.logger.WarnContext(s.ctx, "order again without what it replaces", "names", j.Intent.Names, "error", err)
		options.ReplacesCertID = ""
		created, err = call(s, request)
	}
	if err != nil {
		if gone := isProblem(err, problemNoAccount); gone || isProblem(err, problemUnauthorized) && i.deactivated(s, a) {
			j.Wait = slower(j.Wait)
			return j, i.forgetAccount(s.ctx, a.URL, !gone)
		}
		if refused(err) {
			j.Status, j.EndRefused = order.StatusRejected, !j.NotAfter.IsZero()
			j.Detail = fmt.Sprintf("%s does not take the order: %s", i.config.DirectoryURL, describe(problem(err)))
			return j, nil
		}
		return j, fmt.Errorf("place the order at %s: %w", i.config.DirectoryURL, classify(s, err))
	}
	j.OrderID, j.Status = created.Location, order.StatusAwaitingValidation
	p := progress{Phase: phaseAuthorize, AccountURL: a.URL, Authorizations: created.Authorizations, Finalize: created.Finalize}
	if created.Status == acme.StatusReady {
		p.Phase = phasePoll
	}
	j.Progress, err = json.Marshal(p)
	return j, err
}

// replaces is the identifier of the certificate the order replaces (RFC 9773
// §5): only one from the same CA that shares a name with the order.
func (i *Issuer) replaces(j order.Journal) string {
	if len(j.Predecessor) == 0 || j.PredecessorIssuer != i.ID() {
		return ""
	}
	predecessor, err := x509.ParseCertificate(j.Predecessor)
	if err != nil || !slices.ContainsFunc(pki.Names(predecessor), func(name string) bool { return slices.Contains(j.Intent.Names, name) }) {
		return ""
	}
	id, err := certificateID(predecessor)
	if err != nil {
		return ""
	}
	return id
}

func (i *Issuer) advance(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	switch p.Phase {
	case phaseAuthorize:
		j.Wait = 0
		return i.authorize(s, j, p)
	case phasePresent:
		return i.present(s, j, p)
	case phasePoll:
		j, err := i.poll(s, j, p)
		if err == nil && j.Status == order.StatusAwaitingValidation && i.unseen(j) {
			j.Wait, p.Phase = 0, phasePresent
		}
		return j, p, err
	default:
		return j, p, fmt.Errorf("the journal names the unknown phase %q: it was written by a newer provider", p.Phase)
	}
}

// poll asks where the order stands and does what that calls for.
func (i *Issuer) poll(s *session, j order.Journal, p progress) (order.Journal, error) {
	current, err := call(s, func() (acme.ExtendedOrder, error) { return s.Orders.Get(j.OrderID) })
	if isGone(err) {
		j.Status, j.Detail = order.StatusExpired, "the CA no longer knows the order"
		return j, nil
	}
	if err != nil {
		return j, err
	}
	return i.follow(s, j, p, current.Order, j.OrderID)
}

// follow acts on the state of an order (RFC 8555 §7.1.6) as url answered it.
func (i *Issuer) follow(s *session, j order.Journal, p progress, current acme.Order, url string) (order.Journal, error) {
	switch current.Status {
	case acme.StatusPending:
		return wait(s, j, order.StatusAwaitingValidation, url), nil
	case acme.StatusReady:
		return i.finalize(s, j, p)
	case acme.StatusProcessing:
		return wait(s, j, order.StatusIssuing, url), nil
	case acme.StatusValid:
		return i.download(s, j, current.Certificate)
	default:
		j.Status, j.Detail = order.StatusRejected, i.whyInvalid(s, p, current)
		return j, nil
	}
}

const (
	firstPoll   = 3 * time.Millisecond
	slowestPoll = 5 * time.Second
)

// wait sets the time until the next poll: as long as the CA asked in its answer
// at url, else from a few milliseconds up to five seconds, starting over when the status changes.
func wait(s *session, j order.Journal, status order.Status, url string) order.Journal {
	if asked := s.retryAfterOf(url); asked > 0 {
		j.Wait = asked
	} else if j.Status != status || j.Wait < firstPoll {
		j.Wait = firstPoll
	} else {
		j.Wait = slower(j.Wait)
	}
	j.Status = status
	return j
}

func slower(wait time.Duration) time.Duration { return min(max(3*wait, firstPoll), slowestPoll) }

// finalize sends the signing request (RFC 8555 §7.4) and goes on with what
// becomes of the order. Where an earlier run sent it already the CA says that
// the order is not ready, and the next poll finds out.
func (i *Issuer) finalize(s *session, j order.Journal, p progress) (order.Journal, error) {
	current, err := call(s, func() (acme.ExtendedOrder, error) { return s.Orders.UpdateForCSR(p.Finalize, j.Request) })
	switch {
	case isProblem(err, problemOrderNotReady):
		return wait(s, j, order.StatusIssuing, p.Finalize), nil
	case refused(err), problem(err) != nil && !j.NotAfter.IsZero():
		// step-ca answers 500 to an end outside of its range.
		j.Status, j.Detail, j.EndRefused = order.StatusRejected, describe(problem(err)), !j.NotAfter.IsZero()
		return j, nil
	case err != nil:
		return j, fmt.Errorf("finalize: %w", err)
	case current.Status == acme.StatusReady:
		// An answer from before the request took effect.
		return wait(s, j, order.StatusIssuing, p.Finalize), nil
	}
	return i.follow(s, j, p, current.Order, p.Finalize)
}

// download fetches the chain the CA sends by default, or among its alternates
// the preferred one (RFC 8555 §7.4.2).
func (i *Issuer) download(s *session, j order.Journal, url string) (order.Journal, error) {
	chain, err := call(s, func() ([]byte, error) {
		if j.Intent.Options.PreferredChain != "" {
			return preferredChain(s, url, j.Intent.Options.PreferredChain)
		}
		chain, _, err := s.Certificates.Get(url, true)
		return chain, err
	})
	if err != nil {
		return j, fmt.Errorf("download the certificate: %w", err)
	}
	j.Certificate, j.Status = chain, order.StatusIssued
	return j, nil
}

// preferredChain returns the chain whose last certificate was issued by the
// name, or the default one when the CA offers none such.
func preferredChain(s *session, url, issuer string) ([]byte, error) {
	offered, err := s.Certificates.GetAll(url, true)
	if err != nil {
		return nil, err
	}
	for _, alternate := range slices.Sorted(maps.Keys(offered)) {
		chain, err := pki.ParseCertificates(offered[alternate].Cert)
		if err == nil && chain[len(chain)-1].Issuer.CommonName == issuer {
			return offered[alternate].Cert, nil
		}
	}
	return offered[url].Cert, nil
}
