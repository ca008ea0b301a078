package deploy

import (
	"context"
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Returner is a Service that can use again, on destroy and without a password,
// what it had before the first deployment.
type Returner interface {
	Service

	// KeepOrigin notes what the server has, unless that was done before.
	KeepOrigin(ctx context.Context, machine transport.Transport, before Holding) error

	// Origin returns what was noted; false where nothing was.
	Origin(ctx context.Context, machine transport.Transport) (Holding, bool, error)

	// DropOrigin forgets it.
	DropOrigin(ctx context.Context, machine transport.Transport) error
}

// withdrawService has a server use again what it had before the deployments, and
// proves it.
func withdrawService(ctx context.Context, job Job, service Returner) (Withdrawn, error) {
	before, err := service.Fetch(ctx, job.Machine)
	if err != nil {
		return Withdrawn{}, fmt.Errorf("ask %s what it has: %w", service.Name(), err)
	}
	origin, known, err := service.Origin(ctx, job.Machine)
	if err != nil {
		return Withdrawn{}, fmt.Errorf("ask %s what it had: %w", service.Name(), err)
	}
	if !known {
		return Withdrawn{}, ErrNoOrigin
	}
	s := &serviceRun{job: job, service: service, before: before, witness: witness{proof: job.Proof, machine: job.Machine}}
	if s.witness.shakes() {
		_, err := s.witness.look(ctx, func(Served) error { return nil })
		job.Logger.DebugContext(ctx, "what is served before the withdrawal", "answers", len(s.witness.served), "problem", err)
	}
	truth := "the server has again what it had before the deployments; it is not proven what is served"
	err = service.Restore(ctx, job.Machine, origin)
	if err == nil && len(origin.Chain) > 0 && len(s.witness.served) > 0 {
		fingerprint := pki.Fingerprint(origin.Chain[0])
		truth = "the server has again what it had before the deployments; that certificate is served, fingerprint " + fingerprint
		proof := job.Proof.at(s.witness.served)
		proof.Way.Key = origin.Chain[0].PublicKeyAlgorithm
		_, err = Prove(ctx, proof, servesFingerprint(fingerprint))
	}
	if err != nil {
		job.Logger.WarnContext(ctx, "withdrawal failed, rolling back", "error", err)
		return Withdrawn{}, s.rollback(ctx, err)
	}
	job.Logger.InfoContext(ctx, "deployment withdrawn", "way", Restore, "truth", truth)
	done := Withdrawn{Truth: truth}
	if err := service.DropOrigin(ctx, job.Machine); err != nil {
		done.Warnings = []string{fmt.Sprintf("The note of what was there before could not be removed: %v.", err)}
	}
	return done, nil
}
