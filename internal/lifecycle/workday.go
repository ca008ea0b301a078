package lifecycle

import "time"

// AddWorkingDays is the moment so many working days after another one, at the
// same time of day in a zone. Saturdays and Sundays do not count; holidays, and
// the working weekends that some countries have for them, are not known. A start
// on a weekend counts from its end.
func AddWorkingDays(start time.Time, days int, zone *time.Location) time.Time {
	at := start.In(zone)
	for days > 0 {
		at = at.AddDate(0, 0, 1)
		if weekday := at.Weekday(); weekday != time.Saturday && weekday != time.Sunday {
			days--
		}
	}
	return at
}
