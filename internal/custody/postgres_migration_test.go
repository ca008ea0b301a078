package custody

import (
	"fmt"
	"strings"
	"testing"
)

// The steps are numbered without a gap, so that a version counts them.
func TestSteps_areNumbered(t *testing.T) {
	files, err := migrations.ReadDir("migration")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d steps, %v", len(files), err)
	}
	for n, file := range files {
		if number, _, _ := strings.Cut(file.Name(), "_"); number != fmt.Sprintf("%04d", n+1) {
			t.Errorf("migration %d is called %s", n+1, file.Name())
		}
	}
}
