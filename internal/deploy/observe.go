package deploy

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Observation is what was found on a machine. Differences from the job are in
// Drift, what could not be found out is in Warnings: both are sentences.
type Observation struct {
	// FilesHash is the SHA-256, in lower-case hex, of the certificates in the
	// target's files and of their paths. Private keys are not part of it. Empty
	// where a file could not be read, for want of a password too.
	FilesHash string
	// ServedFingerprint is the SHA-256 of the leaf served, in lower-case hex;
	// empty when nothing could be asked.
	ServedFingerprint string
	Drift             []string
	Warnings          []string
}

// Observe compares what is on the machine and served with the job, changing
// nothing. It needs no private key: a key file is held against the certificate
// in place. A machine or endpoint that cannot be reached is a warning, because it
// says nothing about what is there. The error is for a job that cannot be, or for
// ctx.
func Observe(ctx context.Context, job Job) (Observation, error) {
	job, err := job.withDefaults()
	if err != nil {
		return Observation{}, err
	}
	if len(job.Material.Chain) == 0 {
		return Observation{}, pki.ErrNoCertificate
	}
	if job.Target, err = Remembered(job.Target, job.Paths); err != nil {
		return Observation{}, err
	}
	var o Observation
	chain := job.Material.Chain
	if files, ok := job.Target.(FileTarget); ok {
		if !job.Distant && !isOpen(job.Target) {
			o.look(ctx, job, files)
		}
		chain = installed(files.Slots(), job.Material)
	}
	if len(job.Proof.Command) > 0 && !job.Distant {
		if _, err := command(ctx, job.Machine, job.Proof.Command); err != nil {
			o.Drift = append(o.Drift, fmt.Sprintf("The command of verify does not pass: %v.", err))
		}
	}
	o.ask(ctx, job, chain)
	return o, ctx.Err()
}

// look holds the files against the job.
func (o *Observation) look(ctx context.Context, job Job, target FileTarget) {
	sum := sha256.New()
	unread := false
	for _, slot := range target.Slots() {
		if locked, ok := slot.Format.(Locked); ok && locked.Locked() || job.Sealed && slot.Format.Parts().Key {
			unread = true
			continue
		}
		if _, here := job.Machine.(transport.Local); !here && job.resident(slot) {
			o.lookAtKey(ctx, job, slot)
			continue
		}
		found, err := look(ctx, job.Machine, slot.Path)
		if err != nil {
			o.Warnings = append(o.Warnings, fmt.Sprintf("The file %s could not be read: %v.", slot.Path, err))
			continue
		}
		held, decoded := slot.Format.Decode(found.data)
		_, _ = sum.Write(publicPart(slot, held.Chain)) // a hash never fails
		if drift := slot.drift(found, held, decoded, slot.of(job.Material).Chain); drift != "" {
			o.Drift = append(o.Drift, drift)
		}
	}
	if len(o.Warnings) == 0 && !unread {
		o.FilesHash = hex.EncodeToString(sum.Sum(nil))
	}
}

// ask holds what the endpoint serves against the chain it should send.
func (o *Observation) ask(ctx context.Context, job Job, chain []*x509.Certificate) {
	endpoint := job.Proof.Endpoint
	if endpoint.Address == "" {
		return
	}
	answers, err := job.Proof.ask(ctx)
	if err != nil {
		o.Warnings = append(o.Warnings, fmt.Sprintf("The server could not be asked what it serves: %v.", err))
	}
	for _, served := range answers {
		o.compare(endpoint, served, chain)
	}
}

// compare holds one answer against the chain it should send. Of several places
// the fingerprint is that of the first one which differs.
func (o *Observation) compare(endpoint Endpoint, served Served, chain []*x509.Certificate) {
	err := servesPair(endpoint, chain)(served)
	if o.ServedFingerprint == "" || len(o.Drift) == 0 && err != nil {
		o.ServedFingerprint = served.Fingerprint
	}
	switch {
	case errors.Is(err, ErrOtherServed) && served.Hidden:
		o.ServedFingerprint = ""
		o.Warnings = append(o.Warnings, fmt.Sprintf("It cannot be told which certificate the server serves to whom: %v.", err))
	case errors.Is(err, ErrOtherServed):
		o.Drift = append(o.Drift, fmt.Sprintf("The server at %s serves another certificate (%s).", served.Address, describe(served.Chain[0])))
	case err != nil:
		o.Drift = append(o.Drift, fmt.Sprintf("The server at %s does not send the whole chain: %v.", served.Address, err))
	}
}

// drift says how a file differs from what the slot is to hold; empty when it
// does not.
func (s Slot) drift(found snapshot, held Material, decoded error, chain []*x509.Certificate) string {
	parts := s.Format.Parts()
	switch {
	case !found.exists:
		return fmt.Sprintf("The file %s is missing.", s.Path)
	case decoded != nil:
		return fmt.Sprintf("The file %s cannot be read as what it is to hold: %v.", s.Path, decoded)
	case s.Mode != 0 && s.Mode != found.info.Mode:
		return fmt.Sprintf("The file %s has the mode %04o, not %04o.", s.Path, found.info.Mode, s.Mode)
	}
	if parts.Leaf && !held.Chain[0].Equal(chain[0]) {
		return fmt.Sprintf("The file %s holds another certificate (%s).", s.Path, describe(held.Chain[0]))
	}
	if (parts.Leaf || parts.Chain) && !slices.EqualFunc(held.Chain, parts.certificates(chain), (*x509.Certificate).Equal) {
		return fmt.Sprintf("The file %s holds another chain.", s.Path)
	}
	if parts.Key && held.Key.Matches(chain[0]) != nil {
		return fmt.Sprintf("The private key in the file %s does not belong to the certificate.", s.Path)
	}
	return ""
}

// filesHash is the hash Observe finds when the files hold the material.
func filesHash(slots []Slot, m Material) string {
	sum := sha256.New()
	for _, slot := range slots {
		_, _ = sum.Write(publicPart(slot, slot.Format.Parts().certificates(slot.of(m).Chain)))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// publicPart is a slot's share of the hash: path and certificates, each made
// unmistakable by its length.
func publicPart(slot Slot, certificates []*x509.Certificate) []byte {
	if slot.Format.Parts() == (Parts{Key: true}) {
		return nil
	}
	part := fmt.Appendf(nil, "%d:%s,%d;", len(slot.Path), slot.Path, len(certificates))
	for _, c := range certificates {
		part = append(fmt.Appendf(part, "%d:", len(c.Raw)), c.Raw...)
	}
	return part
}

// installed returns the chain a server that reads the slots can send. Where no
// file holds the chain, the server has it from elsewhere.
func installed(slots []Slot, m Material) []*x509.Certificate {
	for _, slot := range slots {
		if slot.Format.Parts().Chain {
			return onWire(slots, m.Chain)
		}
	}
	return m.Chain[:1]
}
