package tencentcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// Issuer orders at one account. It implements issuer.Issuer, issuer.Follower,
// issuer.Canceller and issuer.Revoker.
type Issuer struct {
	config Config
	client *client
	keeper order.Keeper
	solver issuer.Solver
	logger *slog.Logger

	// sending are the intents whose purchase this process is about to send.
	sending sync.Map
	// presented are the orders whose records this process has published.
	presented sync.Map
	// settle is how long a purchase without an answer is looked for.
	settle time.Duration
}

const defaultSettle = time.Minute

// New prepares an issuer; it sends nothing.
func New(config Config, keeper order.Keeper, solver issuer.Solver, logger *slog.Logger) (*Issuer, error) {
	if _, _, err := parseURL(config.Endpoint()); err != nil {
		return nil, err
	}
	return &Issuer{config: config, client: &client{config: config}, keeper: keeper, solver: solver, logger: logger, settle: defaultSettle}, nil
}

// ID implements issuer.Issuer.
func (i *Issuer) ID() string { return i.config.id() }

// progress is the part of the journal that only this package reads.
type progress struct {
	// Sent is when a purchase was sent whose answer is not known.
	Sent time.Time `json:"sent,omitzero"`
	// Submitted says that the information of the order was sent.
	Submitted bool `json:"submitted,omitempty"`
	// Letter says that the letter was uploaded.
	Letter bool `json:"letter,omitempty"`
	// Refused are the CA's words on information or a letter that it did not take,
	// and RefusedIn is the status in which that was: people have to do something.
	Refused   string       `json:"refused,omitempty"`
	RefusedIn order.Status `json:"refused_in,omitempty"`
	// Told tells what the CA knows of the supplies from others: a rejected order is
	// submitted again when they change.
	Told string `json:"told,omitempty"`
	// Shown are the validation records that were published.
	Shown string `json:"shown,omitempty"`
	// Seen says that the CA has told of the order.
	Seen bool `json:"seen,omitempty"`
	// Number is the CA's own number of the order.
	Number string `json:"number,omitempty"`
}

func readProgress(j order.Journal) (progress, error) {
	var p progress
	if len(j.Progress) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(j.Progress, &p); err != nil {
		return p, fmt.Errorf("read the progress of the order: %w", err)
	}
	return p, nil
}

func (p progress) into(j order.Journal) (order.Journal, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return j, fmt.Errorf("write the progress of the order: %w", err)
	}
	j.Progress = text
	return j, nil
}

// How long to wait before the next look at an order.
const (
	pauseScan   = 500 * time.Millisecond // after records were published
	pauseBusy   = 2 * time.Second
	pauseSoon   = 10 * time.Second
	pausePeople = time.Hour
)

// Step implements order.Issuer.
func (i *Issuer) Step(ctx context.Context, j order.Journal) (order.Journal, error) {
	j.Wait = 0
	var err error
	if j.OrderID == "" {
		j, err = i.acquire(ctx, j)
	} else {
		j, err = i.advance(ctx, j)
	}
	if errors.Is(err, order.ErrUnavailable) {
		j.Wait = pauseBusy
	}
	return j, err
}

// Withdraw implements order.Issuer.
func (i *Issuer) Withdraw(ctx context.Context, j order.Journal) (order.Journal, error) {
	if len(j.Records) == 0 {
		return j, nil
	}
	if published := i.publishable(j.Records); len(published) > 0 {
		if err := i.solver.Withdraw(ctx, published); err != nil {
			return j, err
		}
	}
	i.presented.Delete(j.OrderID)
	j.Records = nil
	p, err := readProgress(j)
	if err != nil || p.Shown == "" {
		return j, err
	}
	p.Shown = ""
	return p.into(j)
}
