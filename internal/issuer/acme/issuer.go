package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Issuer orders from one CA. It implements issuer.Issuer,
// issuer.Suggester, issuer.Revoker and issuer.Timekeeper.
type Issuer struct {
	config Config
	keeper order.Keeper
	solver issuer.Solver
	logger *slog.Logger
	client *client

	// accountTurn holds one token; its holder may use registered, and the
	// storage's lock of the account.
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

// Ahead implements issuer.Timekeeper by the Date of the CA's answers (RFC 9110
// §6.6.1).
func (i *Issuer) Ahead() (time.Duration, bool) {
	i.client.mu.Lock()
	defer i.client.mu.Unlock()
	if i.client.ahead == nil {
		return 0, false
	}
	return *i.client.ahead, true
}

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
	Thumbprint     string   `json:"thumbprint,omitempty"` // of the account's key
	Authorizations []string `json:"authorizations"`
	Challenges     []string `json:"challenges,omitempty"`
	Finalize       string   `json:"finalize"`
	// EndFailures counts the server errors at finalizing with an end of ours.
	EndFailures int `json:"end_failures,omitempty"`
}

// Step implements order.Issuer. Where the CA is not available, it says how long
// that may take.
func (i *Issuer) Step(ctx context.Context, j order.Journal) (order.Journal, error) {
	next, err := i.step(ctx, j)
	var unavailable *unavailableError
	if errors.As(err, &unavailable) {
		next.Wait = unavailable.pause()
	}
	return next, err
}

func (i *Issuer) step(ctx context.Context, j order.Journal) (order.Journal, error) {
	a, err := i.account(ctx)
	if err != nil {
		return j, err
	}
	s, err := i.client.open(ctx, a.url, a.key.Signer())
	if err != nil {
		return j, err
	}
	var next order.Journal
	if j.OrderID == "" {
		next, err = i.place(s, a, j)
	} else {
		next, err = i.resume(s, a, j)
	}
	failed := err != nil || next.Status == order.StatusRejected || next.Status == order.StatusExpired
	if failed && next.OrderID == j.OrderID && s.refused.Load() {
		switch changed, rekeyErr := i.rekeyed(ctx, a); {
		case rekeyErr != nil:
			return next, errors.Join(err, rekeyErr)
		case changed:
			j.Wait = slower(j.Wait)
			return j, nil
		}
	}
	return next, err
}

// resume does the next thing for an order that was placed.
func (i *Issuer) resume(s *session, a account, j order.Journal) (order.Journal, error) {
	var p progress
	if err := json.Unmarshal(j.Progress, &p); err != nil {
		return j, fmt.Errorf("read the progress of order %s: %w", j.OrderID, err)
	}
	if p.AccountURL != a.url {
		j.Status, j.Detail = order.StatusExpired, "the order belongs to another account, "+p.AccountURL
		return j, nil
	}
	key, err := thumbprint(a.key.Signer())
	if err != nil {
		return j, err
	}
	if p.Thumbprint != "" && p.Thumbprint != key && p.Phase != phaseAuthorize && j.Status == order.StatusAwaitingValidation {
		p.Phase = phaseAuthorize // the CA looks for what the account's new key makes of its tokens
	}
	p.Thumbprint = key
	next, p, err := i.advance(s, j, p)
	if isProblem(err, problemNoAccount) {
		next.Status, next.Detail = order.StatusExpired, "the CA no longer knows the account of the order"
		return next, i.forgetAccount(s.ctx, a, false)
	}
	text, encodeErr := json.Marshal(p)
	if encodeErr != nil {
		return j, errors.Join(err, encodeErr)
	}
	next.Progress = text
	if err != nil {
		return next, fmt.Errorf("order %s: %w", j.OrderID, err)
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

// place sends newOrder (RFC 8555 §7.4). It is repeated only where the CA says
// that it took no order.
func (i *Issuer) place(s *session, a account, j order.Journal) (order.Journal, error) {
	options := &api.OrderOptions{NotBefore: j.NotBefore, NotAfter: j.NotAfter, Profile: i.config.Profile, ReplacesCertID: i.replaces(s.ctx, a, j)}
	if j.Intent.Options.Profile != "" {
		options.Profile = j.Intent.Options.Profile
	}
	request := func() (acme.ExtendedOrder, error) { return s.Orders.NewWithOptions(j.Intent.Names, options) }
	again := busy
	if options.ReplacesCertID != "" {
		again = unsent
	}
	created, err := callUpTo(s, again, request)
	if options.ReplacesCertID != "" && blamesReplaces(err) {
		// What the order replaces is a courtesy and must not cost the renewal.
		i.logger.WarnContext(s.ctx, "order again without what it replaces", "names", j.Intent.Names, "error", err)
		options.ReplacesCertID = ""
		created, err = callUpTo(s, busy, request)
	}
	if err != nil {
		if gone := isProblem(err, problemNoAccount); gone || isProblem(err, problemUnauthorized) && i.deactivated(s, a) {
			j.Wait = slower(j.Wait)
			return j, i.forgetAccount(s.ctx, a, !gone)
		}
		if refused(err) {
			j.Status, j.DatesRefused = order.StatusRejected, j.AsksDates()
			j.Detail = fmt.Sprintf("%s does not take the order: %s", i.config.DirectoryURL, describe(problem(err)))
			return j, nil
		}
		return j, fmt.Errorf("place the order at %s: %w", i.config.DirectoryURL, err)
	}
	j.OrderID, j.Status = created.Location, order.StatusAwaitingValidation
	p := progress{Phase: phaseAuthorize, AccountURL: a.url, Authorizations: created.Authorizations, Finalize: created.Finalize}
	if created.Status == acme.StatusReady {
		p.Phase = phasePoll
	}
	j.Progress, err = json.Marshal(p)
	return j, err
}

func (i *Issuer) advance(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	switch p.Phase {
	case phaseAuthorize:
		j.Wait = 0
		before := fromChallenge(i.answerable(s.ctx, j)) // published for an earlier key of the account
		next, p, err := i.authorize(s, j, p)
		for _, r := range before {
			if !slices.Contains(next.Records, r) {
				next.Records = append(next.Records, r)
			}
		}
		return next, p, err
	case phasePresent:
		return i.present(s, j, p)
	case phasePoll:
		j, p, err := i.poll(s, j, p)
		if err == nil && j.Status == order.StatusAwaitingValidation && i.unseen(j) {
			j.Wait, p.Phase = 0, phasePresent
		}
		return j, p, err
	default:
		return j, p, fmt.Errorf("the journal names the unknown phase %q: it was written by a newer provider", p.Phase)
	}
}

// poll asks where the order stands and does what that calls for.
func (i *Issuer) poll(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	current, err := call(s, func() (acme.ExtendedOrder, error) { return s.Orders.Get(j.OrderID) })
	if isGone(err) {
		j.Status, j.Detail = order.StatusExpired, "the CA no longer knows the order"
		return j, p, nil
	}
	if err != nil {
		return j, p, err
	}
	if current.Status == acme.StatusReady {
		return i.finalize(s, j, p)
	}
	j, err = i.follow(s, j, p, current.Order, j.OrderID)
	return j, p, err
}

// follow acts on the state of an order (RFC 8555 §7.1.6) as url answered it. An
// order that is ready is finalized by the next poll.
func (i *Issuer) follow(s *session, j order.Journal, p progress, current acme.Order, url string) (order.Journal, error) {
	switch current.Status {
	case acme.StatusPending:
		return wait(s, j, order.StatusAwaitingValidation, url), nil
	case acme.StatusReady, acme.StatusProcessing:
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

// endTries is how often a CA may fail to finalize an order with an end of ours
// before the end is blamed.
const endTries = 5

// finalize sends the signing request (RFC 8555 §7.4) and goes on with what
// becomes of the order. It is not repeated: where it fails, or an earlier run
// sent it already and the CA says that the order is not ready, the next poll
// finds out what the CA did.
func (i *Issuer) finalize(s *session, j order.Journal, p progress) (order.Journal, progress, error) {
	current, err := callUpTo(s, unsent, func() (acme.ExtendedOrder, error) { return s.Orders.UpdateForCSR(p.Finalize, j.Request) })
	switch {
	case isProblem(err, problemOrderNotReady):
		return wait(s, j, order.StatusIssuing, p.Finalize), p, nil
	case isServerError(err) && j.AsksDates():
		// step-ca answers 500 to dates outside of its range, and sometimes to
		// orders in parallel.
		if p.EndFailures++; p.EndFailures < endTries {
			return j, p, fmt.Errorf("finalize: %w", err)
		}
		fallthrough
	case refused(err):
		j.Status, j.Detail, j.DatesRefused = order.StatusRejected, describe(problem(err)), j.AsksDates()
		return j, p, nil
	case err != nil:
		return j, p, fmt.Errorf("finalize: %w", err)
	}
	j, err = i.follow(s, j, p, current.Order, p.Finalize)
	return j, p, err
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
