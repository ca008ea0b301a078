package lifecycle

import "time"

// Term is how long a certificate is asked to be valid.
type Term struct {
	// Life is asked for from the day of the order on; 0 leaves it to the CA.
	Life time.Duration
	// NotBefore is the earliest start; it matters while it lies in the future.
	NotBefore time.Time
	// NotAfter is the latest end; zero where there is none.
	NotAfter time.Time
	// CarryOver adds the time left on the certificate before.
	CarryOver bool
	// Capped says that the CA is publicly trusted, so that Caps bind it.
	Capped bool
}

// Ask returns the dates to ask a CA for; a zero one is left to the CA. The
// certificate before is nil for the first one; usual is how long that would live
// without the days it was given itself.
func (t Term) Ask(before *Certificate, usual time.Duration, now time.Time) (start, end time.Time) {
	from := now
	if t.NotBefore.After(now) {
		start, from = t.NotBefore, t.NotBefore
	}
	if t.Life > 0 {
		end = from.Add(t.Life - time.Second)
	}
	if t.CarryOver && before != nil && before.NotAfter.After(now) {
		life := t.Life
		if life == 0 {
			life = usual
		}
		end = before.NotAfter.Add(life)
	}
	if !t.NotAfter.IsZero() && (end.IsZero() || end.After(t.NotAfter)) {
		end = t.NotAfter
	}
	if last := LongestEnd(from); t.Capped && end.After(last) {
		end = last
	}
	return start, end
}

// reached is how near to its latest end a certificate counts as having it: CAs
// round and backdate.
const reached = time.Hour

// ends reports whether a certificate is the last one that its latest end allows.
func (p Policy) ends(c Certificate) bool {
	return !p.LastEnd.IsZero() && !c.NotAfter.Before(p.LastEnd.Add(-reached))
}
