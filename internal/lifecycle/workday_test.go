package lifecycle_test

import (
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
)

func TestAddWorkingDays(t *testing.T) {
	t.Parallel()
	china := time.FixedZone("CST", 8*3600)
	for name, test := range map[string]struct {
		start string
		days  int
		want  string
	}{
		"within a week":                  {"2026-11-23T09:00:00+08:00", 3, "2026-11-26T09:00:00+08:00"},
		"over a weekend":                 {"2026-11-26T09:00:00+08:00", 3, "2026-12-01T09:00:00+08:00"},
		"a week has five":                {"2026-11-25T09:00:00+08:00", 5, "2026-12-02T09:00:00+08:00"},
		"from a Saturday":                {"2026-11-28T09:00:00+08:00", 1, "2026-11-30T09:00:00+08:00"},
		"it is Saturday already there":   {"2026-11-27T20:00:00Z", 1, "2026-11-30T04:00:00+08:00"},
		"none":                           {"2026-11-28T09:00:00+08:00", 0, "2026-11-28T09:00:00+08:00"},
		"over the end of a year, Friday": {"2026-12-31T09:00:00+08:00", 1, "2027-01-01T09:00:00+08:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start, err := time.Parse(time.RFC3339, test.start)
			if err != nil {
				t.Fatal(err)
			}
			if got := lifecycle.AddWorkingDays(start, test.days, china).Format(time.RFC3339); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
