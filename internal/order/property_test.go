package order

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const day = 24 * time.Hour

// years is a certificate that is applied at regular times for a long time, by
// processes that get killed and with a state that gets lost, at a CA that is
// away, slow and sometimes wrong.
type years struct {
	life, pace time.Duration
	policy     lifecycle.Policy
	// outage is the longest time that the CA is away at a stretch: what is left
	// of the window after eight applies, any of which may fail for other reasons.
	outage time.Duration
}

// Whatever the life and the policy, as long as the CA is never away for the whole
// window: nothing ever expires, and no wish has two orders that were not both
// over.
func TestRun_yearsOfApplies(t *testing.T) {
	for sentence, y := range map[string]years{
		"398 days":                   {life: 398 * day, pace: day, outage: 22 * day},
		"200 days":                   {life: 200 * day, pace: day, outage: 22 * day},
		"90 days":                    {life: 90 * day, pace: day, outage: 22 * day},
		"47 days":                    {life: 47 * day, pace: day, outage: 7 * day},
		"ten days":                   {life: 10 * day, pace: 8 * time.Hour, outage: 16 * time.Hour},
		"six days":                   {life: 160 * time.Hour, pace: 4 * time.Hour, outage: 2 * day},
		"own days":                   {life: 90 * day, pace: day, policy: lifecycle.Policy{WindowDays: 10}, outage: 2 * day},
		"own days that are too many": {life: 45 * day, pace: day, policy: lifecycle.Policy{WindowDays: 60}, outage: 7 * day},
		"the CA suggests":            {life: 90 * day, pace: day, policy: lifecycle.Policy{UseSuggestion: true}, outage: 20 * day},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var all troubles
			for seed := range uint64(6) {
				synctest.Test(t, func(t *testing.T) {
					if err := y.run(t, rand.New(rand.NewPCG(seed, 1)), &all); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				})
			}
			if all.kills == 0 || all.rollbacks == 0 || all.rejections == 0 || all.outages == 0 {
				t.Errorf("the years were too good: %+v", all)
			}
		})
	}
}

// troubles count what went wrong.
type troubles struct{ kills, rollbacks, rejections, outages int }

func (y years) run(t *testing.T, chance *rand.Rand, all *troubles) error {
	ca := &erraticCA{fakeCA: newCA(t), years: y, chance: chance, troubles: all, placements: map[string]*placement{}}
	ca.tamper = func(c *x509.Certificate) {
		c.NotBefore = time.Now().Add(-time.Hour)
		c.NotAfter = c.NotBefore.Add(y.life - time.Second)
	}
	life := &lifetime{years: y, ca: ca, keeper: newMemory(), chance: chance}
	for end := time.Now().Add(3 * 365 * day); time.Now().Before(end); {
		<-time.After(y.pace/2 + time.Duration(chance.Int64N(int64(y.pace))))
		ca.maybeLeave()
		done := make(chan struct{})
		go func() { // a process of its own, which may be killed
			defer close(done)
			life.apply(t.Context())
		}()
		<-done
		if err := errors.Join(life.check(), ca.wrong); err != nil {
			return fmt.Errorf("on %s: %w", time.Now(), err)
		}
	}
	if least := int(3*365*day/y.life) - 1; life.renewals < least {
		return fmt.Errorf("%d renewals, want %d at least", life.renewals, least)
	}
	return nil
}

// lifetime is what Terraform does with one certificate: it keeps the newest that
// an apply returned, and its lineage.
type lifetime struct {
	years
	ca     *erraticCA
	keeper *memory
	chance *rand.Rand

	lineage           string
	current, previous *x509.Certificate
	issued            bool // nothing is left of an earlier apply
	renewals          int
}

// apply is one run of the provider, as its obtain does it.
func (l *lifetime) apply(ctx context.Context) {
	if l.previous != nil && l.chance.IntN(50) == 0 {
		l.current, l.previous, l.issued = l.previous, nil, true // a state from before the renewal
		l.ca.rollbacks++
	}
	if l.issued && !l.due(l.current) {
		return
	}
	dying := &dyingKeeper{memory: l.keeper, passed: func(at string) {
		if at == "after write" && l.chance.IntN(60) == 0 {
			l.ca.kills++
			runtime.Goexit()
		}
	}}
	runner := Runner{Issuer: l.ca, Keeper: dying, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	current := l.current
	for range 10 {
		w := wish("a.example.com")
		w.Wait, w.Lineage, w.Predecessor = 10*time.Minute, l.lineage, current
		if current != nil {
			w.Intent.Replaces = pki.Fingerprint(current)
		}
		j, adopted, err := runner.Run(ctx, w)
		if err != nil {
			return
		}
		l.lineage = j.Lineage
		if j.Status != StatusIssued {
			l.issued = false
			return
		}
		chain, err := pki.ParseCertificates(j.Certificate)
		if err != nil {
			l.ca.wrong = err
			return
		}
		current = chain[0]
		if !adopted || !j.Superseded && !l.due(current) {
			break
		}
	}
	l.previous, l.current, l.issued = l.current, current, true
	l.renewals++
	if err := Prune(ctx, dying, l.lineage, 3); err != nil {
		l.ca.wrong = err
	}
}

func (l *lifetime) due(c *x509.Certificate) bool {
	facts := lifecycle.Certificate{NotBefore: c.NotBefore, NotAfter: c.NotAfter, Fingerprint: pki.Fingerprint(c)}
	if l.policy.UseSuggestion {
		third := c.NotAfter.Add(-l.life / 3)
		facts.Suggestion = &lifecycle.Suggestion{Start: third, End: third.Add(2 * day)}
	}
	return lifecycle.Decide(facts, l.policy, time.Now()).Due()
}

// check is what has to hold after each apply.
func (l *lifetime) check() error {
	if l.current != nil && l.previous != nil && time.Now().After(l.current.NotAfter) {
		return fmt.Errorf("the certificate after %d renewals expired on %s", l.renewals, l.current.NotAfter)
	}
	if l.current != nil && l.issued && l.previous != nil && len(l.ca.published) > 0 && !l.due(l.current) {
		return fmt.Errorf("%d records are left", len(l.ca.published))
	}
	return nil
}

// erraticCA takes each new order for another one, as real CAs do.
type erraticCA struct {
	*fakeCA
	years
	*troubles
	chance     *rand.Rand
	placements map[string]*placement // by order
	away       time.Time             // until when
	stays      time.Time             // until when it does not leave again

	wrong error
}

type placement struct {
	intent         string
	placed, ready  time.Time
	over, answered bool
	certificate    []byte
}

// maybeLeave begins an outage.
func (c *erraticCA) maybeLeave() {
	if time.Now().After(c.stays) && c.chance.IntN(10) == 0 {
		c.outages++
		c.away = time.Now().Add(time.Duration(c.chance.Int64N(int64(c.outage))))
		c.stays = c.away.Add(8 * c.pace)
	}
}

func (c *erraticCA) Step(ctx context.Context, j Journal) (Journal, error) {
	if err := ctx.Err(); err != nil {
		return j, err
	}
	if time.Now().Before(c.away) || c.chance.IntN(20) == 0 {
		return j, ErrUnavailable
	}
	if j.OrderID == "" {
		return c.place(j), nil
	}
	p := c.placements[j.OrderID]
	switch {
	case p.over && p.certificate == nil, p.certificate == nil && time.Since(p.placed) > 7*day:
		p.over = true
		j.Status, j.Detail = StatusExpired, "the CA no longer knows the order"
	case len(j.Records) == 0 && !p.answered:
		for _, name := range j.Intent.Names {
			record := Record{Domain: name, Name: "_acme-challenge." + name, Target: "_acme-challenge." + name, Value: j.OrderID}
			j.Records, c.published[record] = append(j.Records, record), true
		}
	case !p.answered && c.chance.IntN(10) == 0:
		p.over = true
		c.rejections++
		j.Status, j.Detail = StatusRejected, "the CA saw another value"
	case !p.answered:
		p.answered, j.Status = true, StatusIssuing
		if p.ready = time.Now(); c.chance.IntN(5) == 0 {
			p.ready = p.ready.Add(time.Duration(c.chance.Int64N(int64(c.pace))))
		}
	case time.Now().Before(p.ready):
		j.Status, j.Wait = StatusIssuing, time.Minute
	default:
		if p.certificate == nil {
			p.certificate, p.over = c.issue(j.Request), true
		}
		j.Status, j.Certificate = StatusIssued, p.certificate
	}
	return j, nil
}

// place takes an order, and notes when one for the same wish is not over yet, or
// led to a certificate.
func (c *erraticCA) place(j Journal) Journal {
	for id, p := range c.placements {
		if p.intent == j.Intent.Key() && (!p.over || p.certificate != nil) {
			c.wrong = errors.Join(c.wrong, fmt.Errorf("a second order for what %s of %s is for", id, p.placed))
		}
	}
	c.placed++
	j.OrderID, j.Status = fmt.Sprintf("order-%d", c.placed), StatusAwaitingValidation
	c.placements[j.OrderID] = &placement{intent: j.Intent.Key(), placed: time.Now()}
	return j
}
