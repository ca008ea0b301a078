package deploy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Service is a Target that takes certificates through an interface of its own,
// which keeps them and loads them.
type Service interface {
	Target

	// Fetch returns what the server has now.
	Fetch(ctx context.Context, machine transport.Transport) (Holding, error)

	// Install hands the certificate over and has the server use it.
	Install(ctx context.Context, machine transport.Transport, m Material) error

	// Restore makes the server use again what Fetch returned.
	Restore(ctx context.Context, machine transport.Transport, before Holding) error

	// Settle removes what a deployment that is proven leaves over.
	Settle(ctx context.Context, machine transport.Transport, before Holding) error
}

// Holding is what a Service has.
type Holding struct {
	Chain []*x509.Certificate // the leaf first; empty where there is none
	Back  any                 // what Restore needs, in the service's own terms; it does not print secrets
}

// deployService deploys to a target through its own interface.
func deployService(ctx context.Context, job Job, service Service) (Result, error) {
	if job.Material.Key.Empty() {
		return Result{}, fmt.Errorf("%s takes certificates together with their keys: %w", service.Name(), pki.ErrNoKey)
	}
	before, err := service.Fetch(ctx, job.Machine)
	if err != nil {
		return Result{}, fmt.Errorf("ask %s what it has: %w", service.Name(), err)
	}
	leaf := job.Material.Chain[0]
	s := &serviceRun{job: job, service: service, before: before, witness: witness{proof: job.Proof, machine: job.Machine}}
	result := Result{Proven: s.witness.proven(ByService), Fingerprint: pki.Fingerprint(leaf)}
	right := s.witness.none()
	if !right {
		right, err = s.witness.look(ctx, s.want)
		job.Logger.DebugContext(ctx, "what is in use before the deployment", "right", right, "why", err)
	}
	if !job.Force && right && len(before.Chain) > 0 && before.Chain[0].Equal(leaf) {
		result.Served = s.witness.before()
		return result, nil
	}
	if returner, ok := service.(Returner); ok && job.Origin {
		if err := returner.KeepOrigin(ctx, job.Machine, before); err != nil {
			return Result{}, fmt.Errorf("note what %s has: %w", service.Name(), err)
		}
	}
	err = service.Install(ctx, job.Machine, job.Material)
	result.Changed, result.Reloaded = true, true
	if err == nil && !s.witness.none() {
		result.Served, err = s.witness.prove(ctx, s.want)
	}
	if err != nil {
		job.Logger.WarnContext(ctx, "deployment failed, rolling back", "error", err)
		return Result{}, s.rollback(ctx, err)
	}
	if err := service.Settle(ctx, job.Machine, before); err != nil {
		result.Warnings = append(result.Warnings, fmt.Sprintf("What the deployment left over could not be removed: %v.", err))
	}
	job.Logger.InfoContext(ctx, "certificate deployed", "fingerprint", result.Fingerprint, "proven", result.Proven)
	return result, nil
}

// serviceRun is one deployment through a server's own interface.
type serviceRun struct {
	job     Job
	service Service
	before  Holding
	witness witness
}

func (s *serviceRun) want(served Served) error {
	return serves(s.job.Proof.Endpoint, s.job.Material.Chain)(served)
}

// rollback has the server use again what it had, and finds out what is true
// then.
func (s *serviceRun) rollback(ctx context.Context, cause error) error {
	patience := rollbackProof
	if ctx.Err() != nil {
		patience = rollbackProofCanceled
	}
	ctx, cancel := outlive(ctx, rollbackTimeout, rollbackTimeoutCanceled)
	defer cancel()
	failure := &RollbackError{Cause: cause, Truth: "the server has again what it had"}
	if err := s.service.Restore(ctx, s.job.Machine, s.before); err != nil {
		failure.Rollback = fmt.Errorf("restore what %s had: %w", s.service.Name(), err)
		failure.Truth = "the server may have the new certificate"
	}
	old := map[string]bool{}
	for _, served := range s.witness.served {
		old[served.Fingerprint] = true
	}
	truth, unproven := s.witness.proveOld(ctx, patience, s.job.Proof.Steady, old)
	failure.Truth += "; " + truth
	failure.Rollback = errors.Join(failure.Rollback, unproven)
	return failure
}
