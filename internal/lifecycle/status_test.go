package lifecycle

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestAssess(t *testing.T) {
	const standard = -1 // of what is expiring
	for sentence, test := range map[string]struct {
		life      time.Duration
		policy    Policy
		within    int
		age       time.Duration
		status    Status
		left      int
		reminding bool
	}{
		"a new one":                               {90 * day, Policy{}, standard, 0, StatusOK, 89, false},
		"the last second before the window":       {90 * day, Policy{}, standard, 60*day - 2*time.Second, StatusOK, 30, false},
		"the window opens":                        {90 * day, Policy{}, standard, 60 * day, StatusDue, 29, false},
		"the day after":                           {90 * day, Policy{}, standard, 61 * day, StatusDue, 28, false},
		"the second calendar day after":           {90 * day, Policy{}, standard, 61*day + 12*time.Hour, StatusDue, 28, true},
		"half of the window is over":              {90 * day, Policy{}, standard, 75 * day, StatusExpiring, 14, true},
		"half of the window of six days is over":  {6 * day, Policy{}, standard, 4*day + 12*time.Hour, StatusExpiring, 1, true},
		"a new one of six days":                   {6 * day, Policy{}, standard, 0, StatusOK, 5, false},
		"an own number of days before the window": {90 * day, Policy{WindowDays: 10}, 20, 71 * day, StatusExpiring, 18, false},
		"an own number of days inside the window": {90 * day, Policy{}, 3, 86 * day, StatusDue, 3, true},
		"no days":         {90 * day, Policy{}, 0, 90*day - time.Minute, StatusDue, 0, true},
		"the last second": {90 * day, Policy{}, standard, 90*day - time.Second, StatusExpiring, 0, true},
		"a second later":  {90 * day, Policy{}, standard, 90 * day, StatusExpired, -1, true},
		"two days later":  {90 * day, Policy{}, standard, 92 * day, StatusExpired, -3, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := Assess(certificate(test.life), test.policy, test.within, epoch.Add(test.age))
			if got.Status != test.status || got.DaysLeft != test.left || got.Reminding != test.reminding {
				t.Errorf("%s, %d days left, reminding %t; want %s, %d, %t", got.Status, got.DaysLeft, got.Reminding, test.status, test.left, test.reminding)
			}
			if (got.Reason == "") != (test.status == StatusOK) {
				t.Errorf("status %s because of %q", got.Status, got.Reason)
			}
		})
	}
}

func TestDecide_remindsByTheCalendarOfAPlace(t *testing.T) {
	for sentence, test := range map[string]struct{ place, opens, want string }{
		"UTC":                                   {"UTC", "2026-07-31T23:30:00Z", "2026-08-02T00:00:00Z"},
		"where it is the next day already":      {"Asia/Shanghai", "2026-07-31T23:30:00Z", "2026-08-02T16:00:00Z"},
		"where it is the day before still":      {"America/Los_Angeles", "2026-08-01T03:00:00Z", "2026-08-02T07:00:00Z"},
		"over the end of summer time":           {"Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T23:00:00Z"},
		"a midnight that does not exist, east":  {"Africa/Cairo", "2026-04-22T12:00:00Z", "2026-04-23T22:00:00Z"},
		"a midnight that does not exist, west":  {"America/Santiago", "2026-09-04T12:00:00Z", "2026-09-06T04:00:00Z"},
		"over the end of the year":              {"Asia/Shanghai", "2026-12-30T16:00:00Z", "2027-01-01T16:00:00Z"},
		"a midnight that happens twice is once": {"America/Havana", "2026-10-30T12:00:00Z", "2026-11-01T04:00:00Z"},
	} {
		t.Run(sentence, func(t *testing.T) {
			place, err := time.LoadLocation(test.place)
			if err != nil {
				t.Fatal(err)
			}
			opens, err := time.Parse(time.RFC3339, test.opens)
			if err != nil {
				t.Fatal(err)
			}
			c := Certificate{NotBefore: opens.Add(-60 * day), NotAfter: opens.Add(30 * day)}
			got := Decide(c, Policy{WindowDays: 30, Location: place}, opens)
			if !got.WindowOpensAt.Equal(opens) {
				t.Fatalf("the window opens at %s, want %s", got.WindowOpensAt, opens)
			}
			if text := got.ReminderAt.UTC().Format(time.RFC3339); text != test.want {
				t.Errorf("reminder at %s, want %s", text, test.want)
			}
		})
	}
}
