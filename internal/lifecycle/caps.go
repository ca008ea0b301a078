package lifecycle

import "time"

// Cap is the longest life a publicly trusted server certificate may have when
// issued from a date on.
type Cap struct {
	From   time.Time
	Days   int
	Source string
}

// Caps lists the rules in force over time, the oldest first. Source: CA/Browser
// Forum Baseline Requirements for TLS server certificates §6.3.2, with ballots
// SC-031 (398 days) and SC-081v3 (200, 100, 47 days).
func Caps() []Cap {
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []Cap{
		{date(2020, time.September, 1), 398, "ballot SC-031"},
		{date(2026, time.March, 15), 200, "ballot SC-081v3"},
		{date(2027, time.March, 15), 100, "ballot SC-081v3"},
		{date(2029, time.March, 15), 47, "ballot SC-081v3"},
	}
}

// CapAt is the rule for a certificate issued at a moment. Before the first one
// of the table it returns that one.
func CapAt(issued time.Time) Cap {
	caps := Caps()
	current := caps[0]
	for _, c := range caps[1:] {
		if !issued.Before(c.From) {
			current = c
		}
	}
	return current
}

// LongestEnd is the last notAfter a publicly trusted certificate issued at a
// moment may have. CAs stay a second under the cap since both ends count.
func LongestEnd(issued time.Time) time.Time {
	return issued.Add(time.Duration(CapAt(issued).Days)*day - time.Second)
}
