package database

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Unless told otherwise, a connection to another machine is encrypted and the
// server has to prove who it is, whichever of several answers.
func TestParse_tls(t *testing.T) {
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
			found, err := Parse(c.url)
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
			first := found.Config().TLSConfig
			got := []string{word(first != nil, first != nil && first.InsecureSkipVerify)}
			for _, next := range found.Config().Fallbacks {
				got = append(got, word(next.TLSConfig != nil, next.TLSConfig != nil && next.TLSConfig.InsecureSkipVerify))
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("attempts %q, want %q", got, c.want)
			}
		})
	}
}

// What is wrong is said without a part of a password, and no way of printing
// shows one.
func TestParse_showsNoSecret(t *testing.T) {
	t.Parallel()
	for sentence, text := range map[string]string{
		"no URL":                      "hunter2",
		"another scheme":              "mysql://u:hunter2@db/certs",
		"a password with an @":        "postgres://u:x@hunter2@db/certs",
		"a port that is part of it":   "postgres://u:hunter2/x@db/certs",
		"a port that is none":         "postgres://u:x@db:hunter2/certs",
		"a file for TLS that is none": "postgres://u:hunter2@db/certs?sslmode=verify-full&sslrootcert=/nowhere",
	} {
		if _, err := Parse(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error without the password", sentence, err)
		}
	}
	found, err := Parse("postgres://u:hunter%402@db.example.net/certs?sslpassword=hunter3")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found.String(), `database "certs" at db.example.net:5432`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	for _, shown := range []string{
		fmt.Sprintf("%v %+v %#v %s", found, found, found, found),
		found.Redact(errors.New("hunter@2 and hunter%402 and hunter3 in\ntwo lines")),
	} {
		if strings.Contains(shown, "hunter") || strings.Contains(shown, "\n") {
			t.Errorf("shown: %s", shown)
		}
	}
}

func TestCheckSchema(t *testing.T) {
	t.Parallel()
	for schema, good := range map[string]bool{"certs_2": true, "": false, "2certs": false, "Certs": false, "pg_x": false, "information_schema": false, strings.Repeat("a", 55): true, strings.Repeat("a", 56): false} {
		if err := CheckSchema(schema, 55); (err == nil) != good {
			t.Errorf("%q: %v, want it good: %t", schema, err, good)
		}
	}
}

// The steps are made in the order of their names.
func TestMigration_statements(t *testing.T) {
	t.Parallel()
	m := Migration{Steps: fstest.MapFS{"0002_b.sql": {Data: []byte("two")}, "0001_a.sql": {Data: []byte("one")}, "README": {}}}
	if got, err := m.Statements(); err != nil || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q, %v", got, err)
	}
}
