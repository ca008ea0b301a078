package lifecycle

import (
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func certificate(life time.Duration) Certificate {
	return Certificate{NotBefore: epoch, NotAfter: epoch.Add(life - time.Second), Fingerprint: "f"}
}

func TestDecide(t *testing.T) {
	ari := func(c Certificate, start, end time.Duration) Certificate {
		c.Suggestion = &Suggestion{Start: epoch.Add(start), End: epoch.Add(end), ExplanationURL: "https://ca.example/why"}
		return c
	}
	for name, test := range map[string]struct {
		certificate Certificate
		policy      Policy
		age         time.Duration
		reason      string        // a part of it; empty: not due
		renewAge    time.Duration // 0: any
		shortened   bool
	}{
		"a 90-day certificate waits for its last 30 days": {
			certificate(90 * day), Policy{}, 60*day - 2*time.Second, "", 60*day - time.Second, false,
		},
		"a 90-day certificate is due 30 days before it expires": {
			certificate(90 * day), Policy{}, 60 * day, "window opened", 60*day - time.Second, false,
		},
		"a 45-day certificate is due in the last third": {
			certificate(45 * day), Policy{}, 30 * day, "window opened", 30*day - time.Second, false,
		},
		"a 160-hour certificate is due after half of its life": {
			certificate(160 * time.Hour), Policy{}, 80*time.Hour - 2*time.Second, "", 80*time.Hour - time.Second, false,
		},
		"a new 160-hour certificate is not due again": {
			certificate(160 * time.Hour), Policy{WindowDays: 30}, 0, "", 384000*time.Second - time.Second, true,
		},
		"a window longer than the life becomes a third of it": {
			certificate(45 * day), Policy{WindowDays: 60}, 29 * day, "", 30*day - time.Second, true,
		},
		"an own number of days is obeyed": {
			certificate(90 * day), Policy{WindowDays: 10}, 80 * day, "window opened", 80*day - time.Second, false,
		},
		"the CA's window opens later than ours": {
			ari(certificate(90*day), 70*day, 70*day+time.Second), Policy{UseSuggestion: true}, 65 * day, "", 70 * day, false,
		},
		"the CA's window has come": {
			ari(certificate(90*day), 10*day, 10*day+time.Second), Policy{UseSuggestion: true}, 11 * day, "https://ca.example/why", 10 * day, false,
		},
		"the CA's window is not asked for": {
			ari(certificate(90*day), 10*day, 10*day+time.Second), Policy{}, 11 * day, "", 60*day - time.Second, false,
		},
		"a CA that suggests a time after the expiry is overridden in an emergency": {
			ari(certificate(90*day), 100*day, 101*day), Policy{UseSuggestion: true}, 86 * day, "twentieth", 0, false,
		},
		"an inverted suggestion is ignored": {
			ari(certificate(90*day), 20*day, 10*day), Policy{UseSuggestion: true}, 30 * day, "", 60*day - time.Second, false,
		},
		"own days come before a later suggestion": {
			ari(certificate(90*day), 70*day, 71*day), Policy{WindowDays: 40, UseSuggestion: true}, 51 * day, "window opened", 50*day - time.Second, false,
		},
		"an expired certificate is due": {
			certificate(90 * day), Policy{}, 91 * day, "expired", 60*day - time.Second, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(test.certificate, test.policy, epoch.Add(test.age))
			if d.Due() != (test.reason != "") || !strings.Contains(d.Reason, test.reason) {
				t.Errorf("reason %q, want %q in it", d.Reason, test.reason)
			}
			if test.renewAge != 0 && !d.RenewAt.Equal(epoch.Add(test.renewAge)) {
				t.Errorf("renew at %s, want %s", d.RenewAt, epoch.Add(test.renewAge))
			}
			if d.Shortened != test.shortened {
				t.Errorf("shortened %t, want %t", d.Shortened, test.shortened)
			}
		})
	}
}

func TestDecide_choosesStablyInsideTheWindow(t *testing.T) {
	s := Suggestion{Start: epoch, End: epoch.Add(2 * day)}
	seen := map[time.Time]bool{}
	for _, fingerprint := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		at := choose(s, fingerprint)
		if at.Before(s.Start) || !at.Before(s.End) {
			t.Errorf("%s is outside of %s - %s", at, s.Start, s.End)
		}
		if again := choose(s, fingerprint); !again.Equal(at) {
			t.Errorf("asked again: %s, first %s", again, at)
		}
		seen[at] = true
	}
	if len(seen) < 8 {
		t.Errorf("8 certificates got %d moments, want 8", len(seen))
	}
}

func TestDecide_remindsOnTheSecondCalendarDay(t *testing.T) {
	d := Decide(certificate(90*day), Policy{}, epoch)
	// The window opens on 2026-07-31 11:59:59.
	if want := time.Date(2026, 8, 2, 0, 0, 0, 0, time.UTC); !d.ReminderAt.Equal(want) {
		t.Errorf("reminder at %s, want %s", d.ReminderAt, want)
	}
	short := Decide(certificate(24*time.Hour), Policy{}, epoch)
	if !short.ReminderAt.Equal(epoch.Add(24*time.Hour - time.Second)) {
		t.Errorf("reminder at %s, want the expiry", short.ReminderAt)
	}
}

// Any certificate that is renewed as soon as a daily plan finds it due never
// expires and is never due on the day it was issued.
func TestDecide_neverLoopsAndNeverExpires(t *testing.T) {
	for _, life := range []time.Duration{48 * time.Hour, 160 * time.Hour, 6 * day, 10 * day, 45 * day, 47 * day, 90 * day, 100 * day, 200 * day, 398 * day} {
		for _, policy := range []Policy{{}, {WindowDays: 1}, {WindowDays: 30}, {WindowDays: 400}, {UseSuggestion: true}} {
			c := certificate(life)
			if d := Decide(c, policy, c.NotBefore); d.Due() {
				t.Errorf("life %s, policy %+v: due when just issued: %s", life, policy, d.Reason)
			}
			renewed := false
			for now := c.NotBefore; now.Before(c.NotAfter); now = now.Add(6 * time.Hour) {
				renewed = renewed || Decide(c, policy, now).Due()
			}
			if !renewed {
				t.Errorf("life %s, policy %+v: never due before the expiry", life, policy)
			}
		}
	}
}

func TestCapAt(t *testing.T) {
	for date, want := range map[string]int{
		"2026-03-14": 398, "2026-03-15": 200, "2026-11-23": 200, "2027-03-14": 200,
		"2027-03-15": 100, "2029-03-14": 100, "2029-03-15": 47, "2040-01-01": 47, "2019-01-01": 398,
	} {
		at, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		if got := CapAt(at).Days; got != want {
			t.Errorf("%s: %d days, want %d", date, got, want)
		}
	}
}
