// Package issuer is the family of certificate authorities: what each of them
// must offer, and what some offer besides.
//
// Each kind of CA has a folder of its own below this one. The package holds no
// behaviour; who orders, waits and journals is package order.
package issuer

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Config is a configured CA that was not contacted yet.
type Config interface {
	// Open prepares the issuer; it sends nothing.
	Open(keeper order.Keeper, solver Solver, logger *slog.Logger) (Issuer, error)
	// Ready returns what still has to be configured before an order can be
	// placed. It asks nobody, so that a plan can refuse.
	Ready() error
	// Endpoint is the URL of the CA.
	Endpoint() string
	// PubliclyTrusted reports whether browsers trust the CA, so that the rules
	// of the CA/Browser Forum bind it (lifecycle.Caps).
	PubliclyTrusted() bool
}

// Sibling is a Config that cannot stand beside every other one.
type Sibling interface {
	// Beside says what is wrong with having both; nil where nothing is.
	Beside(other Config) error
}

// Issuer places orders at one CA.
type Issuer interface {
	order.Issuer
	// ID identifies the CA in intents: equal for equal CAs, whatever they are
	// called in configuration.
	ID() string
}

// Seller is a Config of a CA that takes money, or other details than names and a
// key: certificates of it need a purchase.
type Seller interface {
	// CheckPurchase finds what is wrong with a purchase. It asks nobody.
	CheckPurchase(names []string, wish order.Purchase, supplies order.Supplies) []Problem
}

// Problem is something wrong with one attribute of a purchase.
type Problem struct{ Attribute, Text string }

// Replacer is an Issuer that can swap a certificate for its successor where its
// cloud uses it.
type Replacer interface {
	Replace(ctx context.Context, before, after string, types []string) error
}

// Shelf is an Issuer that keeps certificates by numbers of its own.
type Shelf interface {
	// Certificate returns a certificate by its number.
	Certificate(ctx context.Context, id string) (Held, error)
}

// Held is a certificate that a CA keeps.
type Held struct {
	Chain      []*x509.Certificate
	Key        pki.Key   // where the CA made it, else empty
	ServiceEnd time.Time // until when the CA renews it without another payment; zero where it does not
	// Encryption is the other half of an SM2 pair, and EncryptionKey its key: empty
	// where it is in an envelope that nobody here can open.
	Encryption    []*x509.Certificate
	EncryptionKey pki.Key
}

// Inventory is an Issuer whose account can list what is about to end there.
type Inventory interface {
	Expiring(ctx context.Context) ([]Expiring, error)
}

// Expiring is a certificate of an account that is in its renewal window.
type Expiring struct {
	ID          string // the CA's number of it
	Names       []string
	NotAfter    time.Time
	Fingerprint string // SHA-256, hex; empty where the account does not show the certificate
	RenewalID   string // of the order that renews it; empty without a live one
}

// Suggester is an Issuer whose CA says when a certificate should be renewed.
type Suggester interface {
	// Suggest returns the CA's window and how long not to ask again; that also
	// counts when it returns an error.
	Suggest(ctx context.Context, certificate *x509.Certificate) (lifecycle.Suggestion, time.Duration, error)
}

// Profiler is an Issuer whose CA says which certificate profiles it has.
type Profiler interface {
	// CheckProfile returns ErrNoProfile for a profile that the CA does not have;
	// empty is that of the configuration. Any other error says that the CA could
	// not be asked.
	CheckProfile(ctx context.Context, profile string) error
}

// ErrNoProfile says that a CA does not have a certificate profile.
var ErrNoProfile = errors.New("the CA has no such certificate profile")

// Revoker is an Issuer that can revoke what it issued.
type Revoker interface {
	// Revoke revokes a certificate for a reason of RFC 5280 §5.3.1. One that is
	// revoked already is no error.
	Revoke(ctx context.Context, certificate *x509.Certificate, reason uint) error
}

// Follower is an Issuer whose orders take days. An apply does not wait for them;
// a refresh looks where they are.
type Follower interface {
	// Look returns the journal of an order as it is at the CA now, and changes
	// nothing anywhere. Act says that there is a step for Step to take.
	Look(ctx context.Context, j order.Journal) (next order.Journal, act bool, err error)
}

// Canceller is an Issuer whose orders can be ended before the certificate is
// issued.
type Canceller interface {
	Cancel(ctx context.Context, j order.Journal) error
}

// Timekeeper is an Issuer that knows what time it is at its CA.
type Timekeeper interface {
	// Ahead returns by how much the CA's clock was ahead of this machine's at
	// its last answer; false before the first.
	Ahead() (time.Duration, bool)
}

// ErrNotOurs says that the CA does not let this account revoke the certificate:
// the account is gone, or never had it.
var ErrNotOurs = errors.New("the account may not revoke the certificate")

// Solver answers the challenges of CAs.
type Solver = challenge.Solver
