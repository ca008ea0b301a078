package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/custody/custodytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func TestPostgres_conformance(t *testing.T) {
	seal := func(identity secret.Text) func(*testing.T, custody.Store) custody.Store {
		return func(t *testing.T, inner custody.Store) custody.Store {
			store, err := custody.Seal(inner, identity)
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
	}
	for name, wrap := range map[string]func(*testing.T, custody.Store) custody.Store{
		"raw":             func(_ *testing.T, inner custody.Store) custody.Store { return inner },
		"in the clear":    seal(secret.Text{}),
		"X25519 identity": seal(newIdentity(t)),
	} {
		t.Run(name, func(t *testing.T) {
			custodytest.Run(t, func(t *testing.T) func() custody.Store {
				address := server.Server(t).Database(t)
				return func() custody.Store { return wrap(t, openPostgres(t, address)) }
			})
		})
	}
}

func TestPostgres_schemasAreStoragesOfTheirOwn(t *testing.T) {
	address := server.Server(t).Database(t)
	one, other := openSchema(t, address, "one"), openSchema(t, address, "other")
	put(t, one, "keys/a", "a")
	if _, err := other.Get(t.Context(), "keys/a"); !errors.Is(err, custody.ErrNotFound) {
		t.Errorf("Get in another schema: %v, want ErrNotFound", err)
	}
	for _, store := range []custody.Store{one, other} {
		unlock, err := store.Lock(t.Context(), "lineages/a")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unlock() }()
	}
}

func TestPostgres_openingConnectsToNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	openPostgres(t, "postgres://user:secret@"+listener.Addr().String()+"/certs")
	called := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			called <- conn
		}
		close(called)
	}()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if conn := <-called; conn != nil {
		t.Error("opening called the server")
	}
}

func TestPostgres_migratesOnceHoweverManyBegin(t *testing.T) {
	address := server.Server(t).Database(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() { put(t, openPostgres(t, address), "keys/"+strconv.Itoa(n), "x") })
	}
	all.Wait()
	if keys, err := openPostgres(t, address).List(t.Context(), "keys/"); err != nil || len(keys) != 8 {
		t.Errorf("List = %q, %v; want 8 keys", keys, err)
	}
	if got := postgrestest.Query(t, address, "SELECT count(*) FROM certificate.migration")[0][0]; got != int64(1) {
		t.Errorf("%d migrations are recorded, want 1", got)
	}
}

func TestPostgres_aSchemaOfANewerProviderIsRefused(t *testing.T) {
	address := server.Server(t).Database(t)
	put(t, openPostgres(t, address), "keys/a", "precious")
	postgrestest.Query(t, address, "INSERT INTO certificate.migration (version) VALUES (99)")
	store := openPostgres(t, address)
	for method, err := range every(t, store) {
		if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), "has version 99, this provider knows 1") {
			t.Errorf("%s: %v, want ErrUnusable that names the versions", method, err)
		}
	}
	if got := postgrestest.Query(t, address, "SELECT value FROM certificate.entry")[0][0]; string(got.([]byte)) != "precious" {
		t.Errorf("the value afterwards = %q, want it untouched", got)
	}
}

func TestPostgres_wordsWhatIsWrong(t *testing.T) {
	s := server.Server(t)
	name := databaseOf(s.Database(t))
	s.Query(t, `CREATE ROLE limited LOGIN PASSWORD 'limited-pw'`)
	limited := "postgres://limited:limited-pw@" + s.Address() + "/"
	used := databaseOf(s.Database(t))
	put(t, openPostgres(t, s.URL(used)), "keys/a", "precious")
	foreign := databaseOf(s.Database(t))
	put(t, openPostgres(t, s.URL(foreign)), "keys/a", "precious")
	postgrestest.Query(t, s.URL(foreign), `GRANT USAGE ON SCHEMA certificate TO limited`)
	t.Cleanup(func() { // for another count
		postgrestest.Query(t, s.URL(foreign), `DROP OWNED BY limited`)
		s.Query(t, `DROP ROLE limited`)
	})
	closed := databaseOf(s.Database(t))
	s.Query(t, `REVOKE CONNECT ON DATABASE `+closed+` FROM PUBLIC`)
	readOnly := databaseOf(s.Database(t))
	s.Query(t, `ALTER DATABASE `+readOnly+` SET default_transaction_read_only = on`)
	for _, c := range []struct {
		name, url string
		hints     []string
	}{
		{"a server that is down", "postgres://user:hunter2@" + port.Address(t) + "/certs", []string{`database "certs" at 127.0.0.1:`, "nothing was changed", "start it or make it reachable"}},
		{"a host that does not exist", "postgres://user:hunter2@nowhere.invalid/certs", []string{`database "certs" at nowhere.invalid:5432`, "nothing was changed"}},
		{"a wrong password", "postgres://" + postgrestest.User + ":hunter2@" + s.Address() + "/" + name, []string{`refuses the user "storage"`, "check user and password"}},
		{"no such database", s.URL("absent"), []string{`database "absent"`, "does not exist", "create it"}},
		{"no right to connect", limited + closed, []string{`GRANT CONNECT ON DATABASE "` + closed + `" TO "limited"`}},
		{"no right to create the schema", limited + name, []string{"nothing was changed", `GRANT CREATE ON DATABASE "` + name + `" TO "limited"`, `CREATE SCHEMA "certificate" AUTHORIZATION "limited"`}},
		{"no right to use the schema", limited + used, []string{`GRANT USAGE, CREATE ON SCHEMA "certificate" TO "limited"`}},
		{"no right to use the tables", limited + foreign, []string{`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "certificate" TO "limited"`}},
		{"a database that is read-only", s.URL(readOnly), []string{"is read-only", "primary"}},
		{"a server without the TLS that is asked for", s.URL(name) + "?sslmode=require", []string{"switch TLS on", "sslmode=disable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := openPostgres(t, c.url)
			for method, err := range every(t, store) {
				for _, hint := range c.hints {
					if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), hint) {
						t.Errorf("%s: %v, want ErrUnusable that says %q", method, err, hint)
					}
				}
				wantNoSecret(t, err, "hunter2", "limited-pw", postgrestest.Password, url.QueryEscape(postgrestest.Password))
			}
		})
	}
	for _, database := range []string{used, foreign} {
		if got := postgrestest.Query(t, s.URL(database), "SELECT value FROM certificate.entry")[0][0]; string(got.([]byte)) != "precious" {
			t.Errorf("the value afterwards = %q, want it untouched", got)
		}
	}
}

func TestPostgres_grantedTablesSuffice(t *testing.T) {
	s := server.Server(t)
	address := s.Database(t)
	put(t, openPostgres(t, address), "keys/a", "a")
	s.Query(t, `CREATE ROLE modest LOGIN PASSWORD 'modest-pw'`)
	t.Cleanup(func() { // for another count
		postgrestest.Query(t, address, `DROP OWNED BY modest`)
		s.Query(t, `DROP ROLE modest`)
	})
	postgrestest.Query(t, address, `GRANT USAGE ON SCHEMA certificate TO modest`)
	postgrestest.Query(t, address, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA certificate TO modest`)
	for method, err := range every(t, openPostgres(t, "postgres://modest:modest-pw@"+s.Address()+"/"+databaseOf(address))) {
		if err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestPostgres_badURLIsNotEchoed(t *testing.T) {
	for name, address := range map[string]string{
		"nothing":                         "",
		"another scheme":                  "mysql://user:hunter2@host/certs",
		"no URL":                          "host=db password=hunter2",
		"an @ in the password":            "postgres://user:one@hunter2@host/certs",
		"a slash in the password":         "postgres://user:hunter2/x@host/certs",
		"digits and a slash in it":        "postgres://user:12/hunter2@host/certs",
		"a lone per cent in the password": "postgres://user:hunter2%zz@host/certs",
		"a bad port":                      "postgres://user:hunter2@host:hunter2/certs",
		"a bad sslmode":                   "postgres://user:hunter2@host/certs?sslmode=hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := custody.OpenPostgres(custody.PostgresOptions{URL: secret.New(address)})
			if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), "postgres://user:password@host:5432/database") {
				t.Errorf("OpenPostgres: %v, want ErrUnusable that shows the form of a URL", err)
			}
			wantNoSecret(t, err, "hunter2")
		})
	}
}

func TestPostgres_badSchema(t *testing.T) {
	for _, schema := range []string{"Upper", "with-hyphen", "1st", "pg_mine", "information_schema", `a"b`, strings.Repeat("a", 64)} {
		_, err := custody.OpenPostgres(custody.PostgresOptions{URL: secret.New("postgres://localhost/x"), Schema: schema})
		if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), strconv.Quote(schema)) {
			t.Errorf("OpenPostgres with schema %q: %v, want ErrUnusable that names it", schema, err)
		}
	}
}

func TestPostgres_doesNotPrint(t *testing.T) {
	store := openPostgres(t, "postgres://user:hunter2@localhost/certs?sslpassword=hunter3")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if printed := fmt.Sprintf(verb, store); strings.Contains(printed, "hunter") {
			t.Errorf("%s prints %s", verb, printed)
		}
	}
}

func TestPostgres_sealedValues(t *testing.T) {
	address, identity := server.Server(t).Database(t), newIdentity(t)
	sealed := func(identity secret.Text) custody.Store {
		store, err := custody.Seal(openPostgres(t, address), identity)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	put(t, sealed(identity), "keys/a", "PRIVATE")
	raw := postgrestest.Query(t, address, "SELECT value FROM certificate.entry")[0][0].([]byte)
	if bytes.Contains(raw, []byte("PRIVATE")) {
		t.Errorf("the database holds the value in the clear: %q", raw)
	}
	wantRefused(t, sealed(newIdentity(t)), "another identity")
	wantRefused(t, sealed(secret.Text{}), "set encryption.age_identity")
	if got, err := sealed(identity).Get(t.Context(), "keys/a"); err != nil || string(got) != "PRIVATE" {
		t.Errorf("Get after the refusals = %q, %v; want the value untouched", got, err)
	}
	raw[len(raw)-1] ^= 1
	postgrestest.Query(t, address, "UPDATE certificate.entry SET value = $1", raw)
	wantRefused(t, sealed(identity), "damaged")
	if left := postgrestest.Query(t, address, "SELECT value FROM certificate.entry")[0][0].([]byte); !bytes.Equal(left, raw) {
		t.Errorf("a damaged value was overwritten: %q", left)
	}
}

// wantRefused expects that the store can neither read nor replace keys/a.
func wantRefused(t *testing.T, store custody.Store, hint string) {
	t.Helper()
	_, getErr := store.Get(t.Context(), "keys/a")
	for method, err := range map[string]error{
		"Get": getErr, "Put": store.Put(t.Context(), "keys/a", []byte("overwritten")), "Delete": store.Delete(t.Context(), "keys/a"),
	} {
		if !errors.Is(err, custody.ErrUnreadable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want ErrUnreadable that says %q", method, err, hint)
		}
	}
}

// every calls all methods and returns what they said.
func every(t *testing.T, store custody.Store) map[string]error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, getErr := store.Get(ctx, "keys/a")
	if errors.Is(getErr, custody.ErrNotFound) {
		getErr = nil
	}
	_, listErr := store.List(ctx, "")
	unlock, lockErr := store.Lock(ctx, "lineages/a")
	if lockErr == nil {
		lockErr = unlock()
	}
	return map[string]error{
		"Get": getErr, "List": listErr, "Lock": lockErr,
		"Put": store.Put(ctx, "keys/b", []byte("overwritten")), "Delete": store.Delete(ctx, "keys/b"),
	}
}

func wantNoSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, secret := range secrets {
			if printed := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(printed, secret) {
				t.Errorf("the error shows %q: %s", secret, printed)
			}
		}
	}
}

func openPostgres(t *testing.T, address string) *custody.Postgres {
	t.Helper()
	return openSchema(t, address, "")
}

func openSchema(t *testing.T, address, schema string) *custody.Postgres {
	t.Helper()
	store, err := custody.OpenPostgres(custody.PostgresOptions{URL: secret.New(address), Schema: schema})
	if err != nil {
		t.Fatalf("OpenPostgres: %v", err)
	}
	t.Cleanup(store.Close)
	return store
}

func databaseOf(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }
