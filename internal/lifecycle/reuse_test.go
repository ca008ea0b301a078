package lifecycle_test

import (
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
)

func TestValidationReuse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		issued string
		sm2    bool
		since  string
	}{
		"398 days":                       {"2026-03-14", false, "2025-02-09"},
		"200 days from March 2026":       {"2026-03-15", false, "2025-08-27"},
		"100 days from March 2027":       {"2027-03-15", false, "2026-12-05"},
		"10 days from March 2029":        {"2029-03-15", false, "2029-03-05"},
		"13 months for SM2, always":      {"2029-03-15", true, "2028-02-15"},
		"before the first of the table":  {"2020-01-01", false, "2018-11-29"},
		"a day before the third change":  {"2029-03-14", false, "2028-12-04"},
		"13 months for SM2, the day too": {"2026-11-25", true, "2025-10-25"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issued, err := time.Parse(time.DateOnly, test.issued)
			if err != nil {
				t.Fatal(err)
			}
			if got := lifecycle.ValidationReuse(issued, test.sm2).Since(issued).Format(time.DateOnly); got != test.since {
				t.Errorf("validations count from %s on, want %s", got, test.since)
			}
		})
	}
}
