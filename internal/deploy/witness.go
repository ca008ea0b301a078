package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// witness is what a deployment proves by: handshakes, a command on the machine,
// or nothing.
type witness struct {
	proof   Proof
	machine transport.Transport
	served  []Served // before the deployment, at each place that answered
	passed  bool     // the command did, before the deployment
}

// none reports whether there is nothing to prove by.
func (w *witness) none() bool { return !w.shakes() && !w.commands() }

func (w *witness) shakes() bool { return w.proof.Endpoint.Address != "" }

func (w *witness) commands() bool { return len(w.proof.Command) > 0 }

// proven is how the certificate is proven; otherwise is where nothing is asked.
func (w *witness) proven(otherwise Proven) Proven {
	switch {
	case w.shakes():
		return ByHandshake
	case w.commands():
		return ByCommand
	}
	return otherwise
}

// look asks once what is true before anything changes, and tells whether all that
// can be asked says yes already. That nothing answers is no error: a first
// deployment can come before the server's first start.
func (w *witness) look(ctx context.Context, want func(Served) error) (bool, error) {
	if w.commands() {
		_, err := command(ctx, w.machine, w.proof.Command)
		w.passed = err == nil
		return w.passed, err
	}
	var err error
	w.served, err = w.proof.ask(ctx)
	for _, served := range w.served {
		err = errors.Join(err, want(served))
	}
	return err == nil, err
}

// before is one certificate that was served before; none where nothing answered.
func (w *witness) before() Served {
	if len(w.served) == 0 {
		return Served{}
	}
	return w.served[0]
}

// prove proves the new certificate.
func (w *witness) prove(ctx context.Context, want func(Served) error) (Served, error) {
	if w.commands() {
		return Served{}, w.passes(ctx, w.proof.withDefaults().Timeout)
	}
	return Prove(ctx, w.proof, want)
}

// passes runs the command until it exits with 0.
func (w *witness) passes(ctx context.Context, patience time.Duration) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for wait := firstCommandWait; ; wait = min(2*wait, longestCommandWait) {
		_, err := command(within, w.machine, w.proof.Command)
		if err == nil {
			return nil
		}
		if last == nil || within.Err() == nil { // not the deadline's own effect
			last = err
		}
		if pause(within, wait) != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("prove by a command: %w", last))
		}
	}
}

const (
	firstCommandWait   = 50 * time.Millisecond
	longestCommandWait = 2 * time.Second
)

// proveOld proves what was before: the certificates in old where they were
// served, or that the command passes again. It returns a sentence of what is true.
func (w *witness) proveOld(ctx context.Context, patience, steady time.Duration, old map[string]bool) (string, error) {
	switch {
	case w.none():
		return "no endpoint is set, so it is not proven what is served", nil
	case w.commands() && !w.passed:
		return "the command of verify failed before, so it is not proven what is served", nil
	case w.commands():
		if err := w.passes(ctx, patience); err != nil {
			return "the command of verify passed before and fails now", err
		}
		return "the command of verify passes as before", nil
	case len(w.served) == 0:
		return "no certificate was served before", nil
	}
	proof := w.proof.at(w.served)
	// A short patience for the new certificate is none for the way back.
	proof.Timeout = min(patience, max(proof.Timeout, shortestRollbackProof))
	proof.Steady = steady
	served, err := Prove(ctx, proof, func(s Served) error {
		if !s.isOneOf(old) {
			return fmt.Errorf("%w: %s serves %s", ErrOtherServed, s.Address, describe(s.Chain[0]))
		}
		return nil
	})
	if err != nil {
		return "it could not be proven that the old certificate is served", err
	}
	return fmt.Sprintf("the old certificate is served, fingerprint %s", served.Fingerprint), nil
}

// gone reports whether a place that answered before answers no more.
func (w *witness) gone(ctx context.Context) bool {
	if len(w.served) == 0 {
		return false
	}
	answers, _ := w.proof.at(w.served).ask(ctx) // how many there are is what counts
	return len(answers) < len(w.served)
}
