package deploy

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What a handshake can show besides the expected.
var (
	ErrOtherServed     = errors.New("the server serves another certificate")
	ErrIncompleteChain = errors.New("the server does not send the whole chain")
)

// Endpoint is where a server is asked for its certificate.
type Endpoint struct {
	Address    string // host:port
	ServerName string // for SNI; empty or an IP address sends none
}

// Served is what one completed handshake showed.
type Served struct {
	Chain       []*x509.Certificate // as sent, at least the leaf
	Fingerprint string              // of the leaf: SHA-256, lower-case hex
	Version     string              // negotiated protocol, as "TLS 1.3"
	Address     string              // host:port that was asked
	Hidden      bool                // the server may have the kind of certificate that was asked for, and cannot be made to show it
}

// Proof says how a served certificate is proven: by handshakes at an endpoint, or
// by a command. The zero value proves nothing.
type Proof struct {
	Endpoint    Endpoint
	Others      []string      // further addresses for the endpoint's name, all of which are proven
	Members     bool          // of each address every one that its name resolves to is proven
	Resolver    *net.Resolver // for Members; nil is the system's
	Way         Way
	Command     []string      // runs on the machine, and proves by exiting with 0; excludes an endpoint
	Consecutive int           // connections in a row; default 3
	Steady      time.Duration // that the row lasts at least; default 250 ms, negative for none
	Timeout     time.Duration // for all of it; default one minute
}

const (
	defaultConsecutive = 3
	defaultSteady      = 250 * time.Millisecond
	defaultTimeout     = time.Minute
	probeTimeout       = 5 * time.Second // one connection
	firstWait          = 5 * time.Millisecond
	longestWait        = 500 * time.Millisecond
	longestRowWait     = 50 * time.Millisecond
)

// Prove connects until want accepts what is served the needed number of times in
// a row, and for as long as Steady says: after a reload nginx has old and new
// workers accept side by side for 0.1 s, in which a short row of the new
// certificate proves nothing. Where there are several addresses, that is so at
// each of them. At the deadline its error is the last reason to go on, and names
// the address; when ctx itself ended, that too.
func Prove(ctx context.Context, proof Proof, want func(Served) error) (Served, error) {
	proof = proof.withDefaults()
	within, cancel := context.WithTimeout(ctx, proof.Timeout)
	defer cancel()
	endpoints, err := proof.endpoints(within)
	if err != nil {
		return Served{}, errors.Join(ctx.Err(), fmt.Errorf("prove what %s serves: %w", proof.Endpoint.Address, err))
	}
	served, problems := make([]Served, len(endpoints)), make([]error, len(endpoints))
	var group sync.WaitGroup
	for n, endpoint := range endpoints {
		group.Go(func() {
			if served[n], problems[n] = proof.row(within, endpoint, want); problems[n] != nil {
				problems[n] = fmt.Errorf("prove what %s serves: %w", endpoint.Address, problems[n])
			}
		})
	}
	group.Wait()
	if err := errors.Join(problems...); err != nil {
		return Served{}, errors.Join(ctx.Err(), err)
	}
	return served[0], nil
}

// ProveMaterial proves that a certificate is served with its whole chain.
func ProveMaterial(ctx context.Context, proof Proof, m Material) error {
	if proof.Way.Key == x509.UnknownPublicKeyAlgorithm {
		proof.Way.Key = m.Chain[0].PublicKeyAlgorithm
	}
	_, err := Prove(ctx, proof, serves(proof.Endpoint, m.Chain))
	return err
}

// row proves what one endpoint serves.
func (p Proof) row(ctx context.Context, endpoint Endpoint, want func(Served) error) (Served, error) {
	var last error
	var began time.Time
	wait, row := firstWait, 0
	for {
		served, err := p.Way.probe(ctx, endpoint)
		if err == nil {
			err = want(served)
		}
		switch {
		case err == nil && row == 0:
			row, began, wait = 1, time.Now(), firstWait
		case err == nil:
			row, wait = row+1, min(wait, longestRowWait)
		default:
			row = 0
			if last == nil || !over(ctx) { // not the deadline's own effect
				last = err
			}
		}
		if row >= p.Consecutive && time.Since(began) >= p.Steady {
			return served, nil
		}
		if pause(ctx, wait) != nil {
			if last == nil {
				last = fmt.Errorf("there was time for %d connections in a row over %s, want %d over %s", row, time.Since(began).Round(time.Millisecond), p.Consecutive, p.Steady)
			}
			return Served{}, last
		}
		wait = min(2*wait, longestWait)
	}
}

func (p Proof) withDefaults() Proof {
	p.Consecutive = cmp.Or(p.Consecutive, defaultConsecutive)
	p.Steady = cmp.Or(p.Steady, defaultSteady)
	p.Timeout = cmp.Or(p.Timeout, defaultTimeout)
	return p
}

// serves returns the check that a server serves the leaf of chain and sends the
// rest after it. A root at the end may be missing: clients have it.
func serves(endpoint Endpoint, chain []*x509.Certificate) func(Served) error {
	return func(served Served) error {
		if leaf := served.Chain[0]; !leaf.Equal(chain[0]) {
			return fmt.Errorf("%w: %s (server name %q) serves %s; expected fingerprint %s%s", ErrOtherServed,
				cmp.Or(served.Address, endpoint.Address), endpoint.ServerName, describe(leaf), pki.Fingerprint(chain[0]), served.doubt(chain[0]))
		}
		for i, c := range chain {
			if i < len(served.Chain) && served.Chain[i].Equal(c) {
				continue
			}
			if i > 0 && i == len(chain)-1 && pki.CheckChain([]*x509.Certificate{c}) == nil {
				continue
			}
			return fmt.Errorf("%w: %s (server name %q) sends the expected leaf, but at position %d not the intermediate %q (%d certificates sent)",
				ErrIncompleteChain, cmp.Or(served.Address, endpoint.Address), endpoint.ServerName, i+1, c.Subject, len(served.Chain))
		}
		return nil
	}
}

// over reports whether ctx is at its end. A connection ends by the deadline of
// its ctx a moment before ctx says so.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
