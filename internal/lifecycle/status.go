package lifecycle

import (
	"fmt"
	"math"
	"time"
)

// Status is where a certificate stands in its life, the worst that is true.
type Status string

// From the best to the worst.
const (
	StatusOK       Status = "ok"
	StatusDue      Status = "due"      // to be renewed
	StatusExpiring Status = "expiring" // so near to its end that somebody should look
	StatusExpired  Status = "expired"
)

// Assessment is what can be said of one certificate at one moment.
type Assessment struct {
	Decision Decision
	Status   Status
	// Reason says why Status is not StatusOK, as a sentence without a full
	// stop.
	Reason string
	// DaysLeft counts whole days until the expiry, negative after it.
	DaysLeft int
	// Reminding says that the renewal is due and ReminderAt has come.
	Reminding bool
}

// Assess decides about a certificate and says where it stands. It is expiring in
// the last days that within gives, or when within is negative in the second half
// of its renewal window: by then a renewal has failed again and again, whatever
// the life.
func Assess(c Certificate, p Policy, within int, now time.Time) Assessment {
	a := Assessment{Decision: Decide(c, p, now), Status: StatusOK, DaysLeft: DaysLeft(c.NotAfter, now)}
	a.Reminding = a.Decision.Due() && !now.Before(a.Decision.ReminderAt)
	last := time.Duration(within) * day
	if within < 0 {
		last = c.NotAfter.Sub(a.Decision.WindowOpensAt) / 2
	}
	a.Reason = a.Decision.Reason
	switch {
	case now.After(c.NotAfter):
		a.Status = StatusExpired
	case c.NotAfter.Sub(now) <= last:
		a.Status = StatusExpiring
		if a.Reason == "" {
			a.Reason = fmt.Sprintf("the certificate expires on %s", stamp(c.NotAfter))
		}
	case a.Decision.Due():
		a.Status = StatusDue
	}
	return a
}

// DaysLeft counts whole days until an expiry; -1 on the first day after it.
func DaysLeft(notAfter, now time.Time) int {
	return int(math.Floor(float64(notAfter.Sub(now)) / float64(day)))
}
