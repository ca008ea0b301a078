package lifecycle

import (
	"testing"
	"time"
)

func TestTerm_Ask(t *testing.T) {
	before := certificate(90 * day)
	last := epoch.Add(80 * day) // ten days before it expires
	for name, test := range map[string]struct {
		term   Term
		before *Certificate
		now    time.Time
		start  time.Time
		end    time.Time
	}{
		"nothing is asked for": {Term{}, &before, last, time.Time{}, time.Time{}},
		"a life of 30 days":    {Term{Life: 30 * day}, nil, epoch, time.Time{}, epoch.Add(30*day - time.Second)},
		"days are carried over to a usual life": {
			Term{CarryOver: true}, &before, last, time.Time{}, before.NotAfter.Add(90 * day),
		},
		"days are carried over to a life that was asked for": {
			Term{CarryOver: true, Life: 30 * day}, &before, last, time.Time{}, before.NotAfter.Add(30 * day),
		},
		"the first certificate has nothing to carry":         {Term{CarryOver: true}, nil, epoch, time.Time{}, time.Time{}},
		"an expired certificate has nothing to carry":        {Term{CarryOver: true}, &before, epoch.Add(91 * day), time.Time{}, time.Time{}},
		"a start in the future":                              {Term{NotBefore: epoch.Add(day)}, nil, epoch, epoch.Add(day), time.Time{}},
		"a life counts from a start in the future":           {Term{NotBefore: epoch.Add(day), Life: 30 * day}, nil, epoch, epoch.Add(day), epoch.Add(31*day - time.Second)},
		"a start that has passed is not asked for":           {Term{NotBefore: epoch}, nil, epoch, time.Time{}, time.Time{}},
		"the latest end is asked for":                        {Term{NotAfter: epoch.Add(40 * day)}, nil, epoch, time.Time{}, epoch.Add(40 * day)},
		"a life does not go over the latest end":             {Term{NotAfter: epoch.Add(40 * day), Life: 60 * day}, nil, epoch, time.Time{}, epoch.Add(40 * day)},
		"a life shorter than up to the latest end":           {Term{NotAfter: epoch.Add(40 * day), Life: 10 * day}, nil, epoch, time.Time{}, epoch.Add(10*day - time.Second)},
		"a public CA is not asked for more than it may give": {Term{Life: 300 * day, Capped: true}, nil, epoch, time.Time{}, LongestEnd(epoch)},
		"a private CA is":                                    {Term{Life: 300 * day}, nil, epoch, time.Time{}, epoch.Add(300*day - time.Second)},
		"a public CA that is asked for nothing":              {Term{Capped: true}, nil, epoch, time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			start, end := test.term.Ask(test.before, 90*day, test.now)
			if !start.Equal(test.start) || !end.Equal(test.end) {
				t.Errorf("asked for %s to %s, want %s to %s", start, end, test.start, test.end)
			}
		})
	}
}

// A certificate that is valid until the need for it ends is the last one, also
// when it has expired; one that ends before is renewed.
func TestDecide_endsWithTheNeed(t *testing.T) {
	c := certificate(90 * day)
	for name, test := range map[string]struct {
		last time.Time
		age  time.Duration
		due  bool
	}{
		"it is valid until then":                       {c.NotAfter, 89 * day, false},
		"the CA rounded its end down":                  {c.NotAfter.Add(30 * time.Minute), 89 * day, false},
		"it is valid longer":                           {c.NotAfter.Add(-10 * day), 89 * day, false},
		"it has expired":                               {c.NotAfter, 91 * day, false},
		"it ends a day before":                         {c.NotAfter.Add(day), 89 * day, true},
		"it ends a day before and its window is ahead": {c.NotAfter.Add(day), day, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(c, Policy{LastEnd: test.last}, epoch.Add(test.age))
			if d.Due() != test.due {
				t.Errorf("due: %t (%s), want %t", d.Due(), d.Reason, test.due)
			}
			if last := d.RenewAt.IsZero(); last == test.last.After(c.NotAfter.Add(reached)) {
				t.Errorf("renewed at %s, want never only for the last one", d.RenewAt)
			}
		})
	}
}
