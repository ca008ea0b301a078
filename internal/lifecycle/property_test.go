package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// years is a lineage of certificates that is looked at once a day for a long
// time by somebody who renews what is due.
type years struct {
	life       time.Duration
	policy     Policy
	suggests   func(c Certificate, asked time.Time) *Suggestion // nil: the CA does not
	outage     time.Duration                                    // the longest the plans fail in a row
	ownsWindow bool                                             // the window is not moved by the CA
}

// Whatever the life, the policy and the CA, as long as outages are shorter than
// the window: nothing ever expires, nothing is renewed twice, and nothing is
// renewed in the first half of its life unless the CA asks for it.
func TestDecide_yearsOfDailyPlans(t *testing.T) {
	inWindow := func(c Certificate, _ time.Time) *Suggestion { // as Let's Encrypt does
		third := c.NotAfter.Add(-c.Life() / 3)
		return &Suggestion{Start: third, End: third.Add(min(2*day, c.Life()/20))}
	}
	flees := func(c Certificate, asked time.Time) *Suggestion { // always tomorrow
		return &Suggestion{Start: asked.Add(day), End: asked.Add(2 * day)}
	}
	inverted := func(c Certificate, _ time.Time) *Suggestion { return &Suggestion{Start: c.NotAfter, End: c.NotBefore} }
	for sentence, plan := range map[string]years{
		"398 days":                        {life: 398 * day, outage: 29 * day, ownsWindow: true},
		"200 days":                        {life: 200 * day, outage: 29 * day, ownsWindow: true},
		"100 days":                        {life: 100 * day, outage: 29 * day, ownsWindow: true},
		"90 days":                         {life: 90 * day, outage: 29 * day, ownsWindow: true},
		"47 days":                         {life: 47 * day, outage: 14 * day, ownsWindow: true},
		"45 days":                         {life: 45 * day, outage: 14 * day, ownsWindow: true},
		"ten days":                        {life: 10 * day, outage: 2 * day, ownsWindow: true},
		"six days":                        {life: 160 * time.Hour, outage: 2 * day, ownsWindow: true},
		"own days":                        {life: 90 * day, policy: Policy{WindowDays: 10}, outage: 9 * day, ownsWindow: true},
		"own days that do not fit":        {life: 45 * day, policy: Policy{WindowDays: 60}, outage: 14 * day, ownsWindow: true},
		"the CA suggests":                 {life: 90 * day, policy: Policy{UseSuggestion: true}, suggests: inWindow, outage: 25 * day},
		"the CA suggests for a short one": {life: 160 * time.Hour, policy: Policy{UseSuggestion: true}, suggests: inWindow, outage: day},
		"the CA never lets it happen":     {life: 90 * day, policy: Policy{UseSuggestion: true}, suggests: flees, outage: 3 * day},
		"the CA's window is inverted":     {life: 90 * day, policy: Policy{UseSuggestion: true}, suggests: inverted, outage: 29 * day, ownsWindow: true},
		"own days beside a fleeing CA":    {life: 90 * day, policy: Policy{WindowDays: 30, UseSuggestion: true}, suggests: flees, outage: 29 * day, ownsWindow: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			for seed := range uint64(20) {
				if err := plan.run(rand.New(rand.NewPCG(seed, 1))); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

func (y years) run(chance *rand.Rand) error {
	issue := func(now time.Time, generation int) Certificate {
		from := now.Add(-time.Hour) // CAs backdate
		return Certificate{NotBefore: from, NotAfter: from.Add(y.life - time.Second), Fingerprint: fmt.Sprint(chance.Uint64(), generation)}
	}
	now := epoch.Add(time.Duration(chance.Int64N(int64(day))))
	end, certificate, renewals := now.Add(5*365*day), issue(now, 0), 0
	var out time.Time // until when plans fail
	for ; now.Before(end); now = now.Add(day - time.Hour + time.Duration(chance.Int64N(int64(2*time.Hour)))) {
		if now.After(certificate.NotAfter) {
			return fmt.Errorf("generation %d expired on %s, now is %s", renewals, certificate.NotAfter, now)
		}
		if now.Before(out) {
			continue
		}
		if y.suggests != nil {
			certificate.Suggestion = y.suggests(certificate, now)
		}
		d := Decide(certificate, y.policy, now)
		if again := Decide(certificate, y.policy, now); again != d {
			return fmt.Errorf("asked twice: %+v and %+v", d, again)
		}
		if !d.Due() {
			if chance.IntN(10) == 0 { // the worst time: it becomes due while nobody looks
				out = now.Add(y.outage - 2*day)
			}
			continue
		}
		age := now.Sub(certificate.NotBefore)
		if y.ownsWindow && age < y.life/2 {
			return fmt.Errorf("generation %d was renewed at the age of %s, %s", renewals, age, d.Reason)
		}
		certificate = issue(now, renewals+1)
		renewals++
		if y.suggests != nil {
			certificate.Suggestion = y.suggests(certificate, now)
		}
		if next := Decide(certificate, y.policy, now); next.Due() {
			return fmt.Errorf("generation %d is due in the moment it was issued: %s", renewals, next.Reason)
		}
		if next := Decide(certificate, y.policy, now.Add(day)); next.Due() {
			return fmt.Errorf("generation %d is due the day after: %s", renewals, next.Reason)
		}
	}
	// One renewal for each part of life before the window, and no more.
	if most := int(5*365*day/(y.life/2)) + 1; y.ownsWindow && renewals > most {
		return fmt.Errorf("%d renewals in five years, want at most %d", renewals, most)
	}
	if least := int(5 * 365 * day / (y.life + y.outage)); renewals < least {
		return fmt.Errorf("%d renewals in five years, want at least %d", renewals, least)
	}
	return nil
}
