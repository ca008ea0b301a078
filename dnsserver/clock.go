package dnsserver

import "time"

// clock is the time as the server sees it; tests have one of their own.
type clock struct {
	now func() time.Time
	// timer sends once when the time is there. stop releases it.
	timer func(at time.Time) (done <-chan time.Time, stop func())
}

func systemClock() clock {
	return clock{
		now: time.Now,
		timer: func(at time.Time) (<-chan time.Time, func()) {
			t := time.NewTimer(time.Until(at))
			return t.C, func() { t.Stop() }
		},
	}
}
