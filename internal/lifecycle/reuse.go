package lifecycle

import "time"

// Reuse is how long a CA may count a validation of a name for later
// certificates, from a date on.
type Reuse struct {
	From   time.Time
	Days   int // 0 where Months says it
	Months int
	Source string
}

// ValidationReuse is the rule for a certificate that is issued at a moment: of
// publicly trusted CAs the Baseline Requirements' (§4.2.1, with ballot SC-081v3),
// of those for SM2 the thirteen months that their renewal guide names, for the
// same company.
func ValidationReuse(issued time.Time, sm2 bool) Reuse {
	const months = 13
	if sm2 {
		return Reuse{Months: months, Source: "the CA's renewal guide"}
	}
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	rules := []Reuse{
		{From: date(2021, time.October, 1), Days: 398, Source: "ballot SC-042"},
		{From: date(2026, time.March, 15), Days: 200, Source: "ballot SC-081v3"},
		{From: date(2027, time.March, 15), Days: 100, Source: "ballot SC-081v3"},
		{From: date(2029, time.March, 15), Days: 10, Source: "ballot SC-081v3"},
	}
	current := rules[0]
	for _, rule := range rules[1:] {
		if !issued.Before(rule.From) {
			current = rule
		}
	}
	return current
}

// Since is the earliest moment of a validation that counts at another one.
func (r Reuse) Since(issued time.Time) time.Time { return issued.AddDate(0, -r.Months, -r.Days) }
