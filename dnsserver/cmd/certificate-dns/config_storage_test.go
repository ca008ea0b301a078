package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfig_storage(t *testing.T) {
	const rest = "\nlisten = [\"127.0.0.1:0\"]\nzone \"auth.example.com\" {\n  nameservers = [\"ns.example.net\"]\n}\n"
	read := func(t *testing.T, storage string) (config, error) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "c.hcl")
		if err := os.WriteFile(path, []byte(storage+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		return readConfig(path)
	}
	conf, err := read(t, `storage {
  postgres {
    url    = "postgres://a:secret@db.example/dns"
    schema = "dns"
    server = "ns1"
    wait   = "2m"
  }
}`)
	o := conf.storage.database
	if err != nil || conf.storage.path != "" || o.URL != "postgres://a:secret@db.example/dns" || o.Schema != "dns" || o.Server != "ns1" || o.Wait != 2*time.Minute {
		t.Errorf("a database: %+v, %v", conf.storage, err)
	}
	for title, c := range map[string]struct{ storage, want string }{
		"nothing":            {``, `storage: there is none; write storage = "/var`},
		"an empty path":      {`storage = ""`, `storage: there is none`},
		"both":               {"storage = \"x\"\nstorage {\n  postgres {\n    url = \"postgres://h/d\"\n  }\n}", `c.hcl:2: storage: it is a folder and a database`},
		"no database":        {"storage {\n}", `c.hcl:1: storage: it says no database`},
		"no URL":             {"storage {\n  postgres {\n  }\n}", `Missing required argument: The argument "url" is required`},
		"no PostgreSQL URL":  {"storage {\n  postgres {\n    url = \"mysql://u:secret@h/d\"\n  }\n}", `c.hcl:3: storage.postgres: this is no PostgreSQL URL`},
		"a duration of none": {"storage {\n  postgres {\n    url  = \"postgres://h/d\"\n    wait = \"soon\"\n  }\n}", `storage.postgres: wait: "soon" is no duration`},
		"a key of the API's without a folder": {
			"storage {\n  postgres {\n    url = \"postgres://h/d\"\n  }\n}\napi {\n  listen = \"127.0.0.1:0\"\n  acme {\n    names = [\"auth.example.com\"]\n    agree_to_terms = true\n  }\n}",
			`the records are in a database, so there is no folder beside them`,
		},
		"a schema of symbols": {"storage {\n  postgres {\n    url    = \"postgres://h/d\"\n    schema = \"a b\"\n  }\n}", `use 1 to 55 of a-z`},
	} {
		_, err := read(t, c.storage)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", title, err, c.want)
		}
	}
}
