package lifecycle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

const day = 24 * time.Hour

// emergencyShare is the part of a certificate's life that, once it is all that
// is left, overrides the CA's suggestion: a CA that keeps moving its window
// away must not let a certificate expire.
const emergencyShare = 20

// Suggestion is the renewal window a CA suggests for one certificate (ARI, RFC
// 9773 §4.2).
type Suggestion struct {
	Start          time.Time
	End            time.Time
	ExplanationURL string
}

// Valid reports whether the window can be used: RFC 9773 §4.2 has a window that
// does not end after its start be ignored.
func (s Suggestion) Valid() bool { return !s.Start.IsZero() && s.End.After(s.Start) }

// Certificate is what a decision needs to know of the certificate in force.
type Certificate struct {
	NotBefore, NotAfter time.Time
	// Fingerprint picks the moment inside a suggested window: the same
	// certificate always gets the same one.
	Fingerprint string
	// Suggestion is what its CA says; nil when the CA does not say.
	Suggestion *Suggestion
}

// Life is how long the certificate is valid; both ends count (RFC 5280 §4.1.2.5).
func (c Certificate) Life() time.Duration { return c.NotAfter.Add(time.Second).Sub(c.NotBefore) }

// Policy is what the user configured.
type Policy struct {
	// WindowDays opens the window so many days before the expiry; 0 leaves the
	// choice to the CA's suggestion or to the certificate's life.
	WindowDays int
	// UseSuggestion has the CA's suggestion move the renewal.
	UseSuggestion bool
	// LastEnd is when the need for a certificate ends: one that is valid until
	// then is never due. Zero where the need does not end.
	LastEnd time.Time
	// Location is where the calendar days of the reminder begin; nil is UTC.
	Location *time.Location
}

// Decision is the answer to "renew? when? why?".
type Decision struct {
	// Reason says why the certificate is due, as a sentence without a full
	// stop; empty while it is not due.
	Reason string
	// RenewAt is when the certificate becomes due; zero when it never does.
	RenewAt time.Time
	// WindowOpensAt is the start of the period in which renewals are meant to
	// happen; RenewAt is not before it, except in an emergency.
	WindowOpensAt time.Time
	// ReminderAt is when people should hear that the renewal is still open.
	ReminderAt time.Time
	// Shortened says that WindowDays did not fit into the life of the
	// certificate and a third of the life was used instead.
	Shortened bool
}

// Due reports whether the certificate should be renewed now.
func (d Decision) Due() bool { return d.Reason != "" }

// Decide answers for one certificate at one moment.
func Decide(c Certificate, p Policy, now time.Time) Decision {
	opens, renewAt, bySuggestion, shortened := schedule(c, p)
	d := Decision{RenewAt: renewAt, WindowOpensAt: opens, ReminderAt: reminderAt(opens, c.NotAfter, p.Location), Shortened: shortened}
	if p.ends(c) {
		d.RenewAt = time.Time{}
		return d
	}
	for _, reason := range []func() string{
		func() string { return expired(c, now) },
		func() string { return suggested(c, renewAt, bySuggestion, now) },
		func() string { return windowOpen(c, renewAt, bySuggestion, now) },
		func() string { return nearlyOver(c, now) },
	} {
		if d.Reason = reason(); d.Reason != "" {
			break
		}
	}
	return d
}

// schedule finds when the window opens and when inside it to renew. The CA's
// suggestion decides where there is one; a number of days the user wrote can
// only make it earlier.
func schedule(c Certificate, p Policy) (opens, renewAt time.Time, bySuggestion, shortened bool) {
	before, shortened := window(c.Life(), p.WindowDays)
	opens = c.NotAfter.Add(-before)
	renewAt = opens
	if !p.UseSuggestion || c.Suggestion == nil || !c.Suggestion.Valid() {
		return opens, renewAt, false, shortened
	}
	chosen := choose(*c.Suggestion, c.Fingerprint)
	if p.WindowDays > 0 && opens.Before(chosen) {
		return opens, renewAt, false, shortened
	}
	return c.Suggestion.Start, chosen, true, shortened
}

// window is how long before its expiry a certificate of a given life is
// renewed: what the user asked for where it fits, else 30 days for lives of 90
// days and more, a third of the life below, half of it below ten days.
func window(life time.Duration, days int) (before time.Duration, shortened bool) {
	if days > 0 {
		if asked := time.Duration(days) * day; asked < life {
			return asked, false
		}
		return life / 3, true
	}
	switch {
	case life >= 90*day:
		return 30 * day, false
	case life >= 10*day:
		return life / 3, false
	default:
		return life / 2, false
	}
}

// choose picks the moment inside a suggested window (RFC 9773 §4.2 asks for a
// uniformly random one) from the certificate's fingerprint, so that asking
// again gives the same answer.
func choose(s Suggestion, fingerprint string) time.Time {
	sum := sha256.Sum256([]byte(fingerprint))
	share := float64(binary.BigEndian.Uint64(sum[:8])) / float64(1<<63) / 2
	return s.Start.Add(time.Duration(share * float64(s.End.Sub(s.Start)))).Truncate(time.Second)
}

// reminderAt is the beginning of the second calendar day after the window opens,
// at a place (nil is UTC), but not after the expiry.
func reminderAt(opens, notAfter time.Time, place *time.Location) time.Time {
	if place == nil {
		place = time.UTC
	}
	y, m, d := opens.In(place).Date()
	at := time.Date(y, m, d+2, 0, 0, 0, 0, place)
	if at.Hour() > 12 {
		// Clocks go forward at midnight there, and Date took the hour before:
		// the day begins with the new time.
		_, at = at.ZoneBounds()
	}
	if at.After(notAfter) {
		return notAfter
	}
	return at
}

func expired(c Certificate, now time.Time) string {
	if !now.After(c.NotAfter) {
		return ""
	}
	return fmt.Sprintf("the certificate expired on %s", stamp(c.NotAfter))
}

func suggested(c Certificate, renewAt time.Time, bySuggestion bool, now time.Time) string {
	if !bySuggestion || now.Before(renewAt) {
		return ""
	}
	reason := fmt.Sprintf("the CA asks for the renewal between %s and %s (ARI)", stamp(c.Suggestion.Start), stamp(c.Suggestion.End))
	if c.Suggestion.ExplanationURL != "" {
		reason += ", see " + c.Suggestion.ExplanationURL
	}
	return reason
}

func windowOpen(c Certificate, renewAt time.Time, bySuggestion bool, now time.Time) string {
	if bySuggestion || now.Before(renewAt) {
		return ""
	}
	return fmt.Sprintf("the renewal window opened on %s, the certificate expires on %s", stamp(renewAt), stamp(c.NotAfter))
}

func nearlyOver(c Certificate, now time.Time) string {
	if c.NotAfter.Sub(now) > c.Life()/emergencyShare {
		return ""
	}
	return fmt.Sprintf("less than a twentieth of its life is left, the certificate expires on %s", stamp(c.NotAfter))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
