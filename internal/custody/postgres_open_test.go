package custody

import (
	"fmt"
	"strings"
	"testing"
)

// Unless told otherwise, a connection to another machine is encrypted and the
// server has to prove who it is, whichever of several answers.
func TestParseURL_tls(t *testing.T) {
	for _, c := range []struct {
		name, url, environment string
		want                   []string // a word for each attempt
	}{
		{"another machine", "postgres://u:p@db.example.net/certs", "", []string{"verified"}},
		{"another machine, with other parameters", "postgres://db.example.net/certs?connect_timeout=3", "", []string{"verified"}},
		{"this machine by name", "postgres://localhost/certs", "", []string{"encrypted", "clear"}},
		{"this machine by address", "postgres://[::1]:5433/certs", "", []string{"encrypted", "clear"}},
		{"a socket", "postgres:///certs?host=/run/postgresql", "", []string{"clear"}},
		{"this machine and another", "postgres://localhost,db.example.net/certs", "", []string{"verified", "verified"}},
		{"what the URL says", "postgres://db.example.net/certs?sslmode=require", "", []string{"encrypted"}},
		{"what the URL says, in clear words", "postgres://db.example.net/certs?sslmode=disable", "", []string{"clear"}},
		{"what the environment says", "postgres://db.example.net/certs", "require", []string{"encrypted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PGSSLMODE", c.environment)
			config, err := parseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			word := func(encrypted, unverified bool) string {
				switch {
				case !encrypted:
					return "clear"
				case unverified:
					return "encrypted"
				}
				return "verified"
			}
			first := config.ConnConfig.TLSConfig
			got := []string{word(first != nil, first != nil && first.InsecureSkipVerify)}
			for _, next := range config.ConnConfig.Fallbacks {
				got = append(got, word(next.TLSConfig != nil, next.TLSConfig != nil && next.TLSConfig.InsecureSkipVerify))
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("attempts %q, want %q", got, c.want)
			}
		})
	}
}

// The steps are numbered without a gap, so that a version counts them.
func TestSteps_areNumbered(t *testing.T) {
	files, err := migrations.ReadDir("migration")
	if err != nil {
		t.Fatal(err)
	}
	for n, file := range files {
		if number, _, _ := strings.Cut(file.Name(), "_"); number != fmt.Sprintf("%04d", n+1) {
			t.Errorf("migration %d is called %s", n+1, file.Name())
		}
	}
	todo, err := steps()
	if err != nil || len(todo) != len(files) || len(todo) == 0 {
		t.Errorf("%d steps of %d files, %v", len(todo), len(files), err)
	}
}
