package watch

import (
	"time"
)

const day = 24 * time.Hour

// Stages of a certificate's end, in their order.
const (
	StageReminder = "reminder" // the second calendar day after the renewal window opens
	StageWeek     = "7_days"   // a week before the expiry
	StageDay      = "1_day"    // a day before it
	StageExpired  = "expired"
)

// stage is a moment from which people should know something.
type stage struct {
	name string
	at   time.Time
}

// stages are those of a certificate that is to be renewed windowDays before its
// expiry (0: by its life), with calendar days of a place. A stage that would
// come before one of the earlier ones, as with short lives, is left out.
func stages(notBefore, notAfter time.Time, windowDays int, place *time.Location) []stage {
	opens := notAfter.Add(-window(notAfter.Sub(notBefore), windowDays))
	all := []stage{{StageReminder, reminderAt(opens, notAfter, place)}}
	for _, s := range []stage{{StageWeek, notAfter.Add(-7 * day)}, {StageDay, notAfter.Add(-day)}, {StageExpired, notAfter}} {
		if s.at.After(all[len(all)-1].at) || s.name == StageExpired {
			all = append(all, s)
		}
	}
	return all
}

// window is how long before its expiry a certificate is to be renewed: as many
// days as asked where they fit into its life, else a third of it; unasked 30
// days for lives of 90 days and more, a third below, half below ten days.
func window(life time.Duration, days int) time.Duration {
	asked := time.Duration(days) * day
	switch {
	case days > 0 && asked < life:
		return asked
	case days > 0:
		return life / 3
	case life >= 90*day:
		return 30 * day
	case life >= 10*day:
		return life / 3
	}
	return life / 2
}

// reminderAt is the beginning of the second calendar day after the window opens,
// but not after the expiry.
func reminderAt(opens, notAfter time.Time, place *time.Location) time.Time {
	y, m, d := opens.In(place).Date()
	at := time.Date(y, m, d+2, 0, 0, 0, 0, place)
	if at.Hour() > 12 { // clocks go forward at midnight there
		_, at = at.ZoneBounds()
	}
	if at.After(notAfter) {
		return notAfter
	}
	return at
}

// reached is the last stage that has come, "" before the first.
func reached(all []stage, now time.Time) string {
	name := ""
	for _, s := range all {
		if !now.Before(s.at) {
			name = s.name
		}
	}
	return name
}
