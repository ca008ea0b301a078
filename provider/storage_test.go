package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// postgresConfig keeps everything in the database that the environment names,
// encrypted to an identity from there.
const postgresConfig = `
provider "certificate" {
  storage = {
    postgres   = {}
    encryption = { age_recipients = ["age1pvsp6agj0xxxr0c7pcwfhm9rdmsttu5gqpduxmedzjm8ptkch3xqan8vn0"] }
  }
}
` + crashConfig

// inDatabase has terraform use a new database and a new identity, and scans what
// it wrote for the password and the identity at the end.
func inDatabase(t *testing.T, s *postgrestest.Server, machines ...*cli) (address string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	address = s.Database(t)
	for _, c := range machines {
		c.extra = append(c.extra, custody.EnvPostgresURL+"="+address, "CERTIFICATE_AGE_IDENTITY="+identity.String())
		t.Cleanup(func() { noneOf(t, c.folder, postgrestest.Password, strings.Split(address, "@")[0], identity.String()) })
	}
	return address
}

// noneOf fails the test when a file below the folder contains a secret.
func noneOf(t *testing.T, folder string, secrets ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 3 {
		t.Errorf("files to search: %q, %v; want state, log and configuration", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == ".terraform" {
			continue // what init made
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s contains %s", filepath.Base(file), secret)
			}
		}
	}
}

// With the database down, or without the secrets for it, a plan with nothing due
// is empty; what is due fails, names the database, and goes on when it is back.
func TestStorage_postgresIsNeededOnlyWhereSomethingIsDue(t *testing.T) {
	t.Parallel()
	s := postgrestest.Run(t)
	c := newCLI(t, lab.Options{}, postgresConfig)
	address := inDatabase(t, s, c)
	c.must(0, "apply", "-auto-approve")
	first := c.must(0, "output", "-raw", "serial")
	rows := postgrestest.Query(t, address, "SELECT count(*), count(*) FILTER (WHERE starts_with(encode(value, 'escape'), 'age-encryption.org/')) FROM certificate.entry")
	if stored, encrypted := rows[0][0].(int64), rows[0][1].(int64); stored < 3 || encrypted != stored {
		t.Errorf("%d values are stored, %d of them encrypted; want account, key and journal, all encrypted", stored, encrypted)
	}
	if left, err := filepath.Glob(filepath.Join(c.StorageDirectory(), "*")); err != nil || len(left) > 0 {
		t.Errorf("the storage directory holds %q, %v; want it unused", left, err)
	}

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	c.must(0, "plan", "-detailed-exitcode")
	configured := c.extra
	c.extra = nil // without URL and identity, too
	c.must(0, "plan", "-detailed-exitcode")
	c.extra = append(configured, "CERTIFICATE_CLOCK_OFFSET=2000h")
	c.must(2, "plan", "-detailed-exitcode")
	output := strings.Join(strings.Fields(strings.NewReplacer("│", "", "╵", "", "╷", "").Replace(c.must(1, "apply", "-auto-approve"))), " ")
	for _, want := range []string{"The certificate was not issued", "at " + s.Address(), "nothing was changed", "The certificate in force was not touched"} {
		if !strings.Contains(output, want) {
			t.Errorf("the error does not say %q:\n%s", want, output)
		}
	}
	if got := c.must(0, "output", "-raw", "serial"); got != first {
		t.Errorf("the certificate in state is %s, want %s as before", got, first)
	}
	c.extra = configured
	c.must(0, "plan", "-detailed-exitcode")

	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	c.extra = append(configured, "CERTIFICATE_CLOCK_OFFSET=2000h")
	c.must(0, "apply", "-auto-approve")
	if got := c.must(0, "output", "-raw", "serial"); got == first {
		t.Error("the certificate was not renewed when the database was back")
	}
	if issued, orders := c.CA.Issued(), c.CA.Placed(); issued != 2 || orders != 2 {
		t.Errorf("%d certificates of %d orders, want 2 of 2", issued, orders)
	}
}

// Two machines with one database and storages of their own otherwise: one
// orders, the other takes the result over.
func TestStorage_twoMachinesShareOneOrderInPostgres(t *testing.T) {
	t.Parallel()
	here := newCLI(t, lab.Options{}, postgresConfig)
	there := &cli{Lab: here.Lab, t: t, folder: t.TempDir()}
	there.write(postgresConfig)
	there.must(0, "init")
	inDatabase(t, postgrestest.Run(t), here, there)
	var both sync.WaitGroup
	for _, machine := range []*cli{here, there} {
		both.Go(func() {
			if output, err := machine.command("apply", "-auto-approve").CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
	both.Wait()
	if got, want := there.must(0, "output", "-raw", "serial"), here.must(0, "output", "-raw", "serial"); got != want {
		t.Errorf("the second machine has the certificate %s, the first %s", got, want)
	}
	if issued, orders := here.CA.Issued(), here.CA.Placed(); issued != 1 || orders != 1 {
		t.Errorf("%d certificates of %d orders, want 1 of 1", issued, orders)
	}
	there.scan()
}

// What is wrong with the storage's configuration is an error of the plan, and
// shows no secret.
func TestStorage_badConfigurationIsRefusedInThePlan(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := newCLI(t, lab.Options{}, "")
	for _, test := range []struct{ name, storage, url, want string }{
		{"no URL", `storage = { postgres = {} }`, "", "storage.postgres has no url: set it, or CERTIFICATE_STORAGE_POSTGRES_URL"},
		{"another scheme", `storage = { postgres = {} }`, "mysql://u:hunter2@db/certs", "no PostgreSQL URL"},
		{"a slash in the password", `storage = { postgres = {} }`, "postgres://u:12/hunter2@db/certs", "percent-encoded"},
		{"an empty schema", `storage = { postgres = { url = "postgres://db/certs", schema = "" } }`, "", "1 to 63 of a-z"},
		{"two storages", `storage = { postgres = {}, directory = {} }`, "postgres://db/certs", "Only one may be configured"},
		{"two storages in the environment", ``, "postgres://db/certs", "both CERTIFICATE_STORAGE_DIRECTORY and CERTIFICATE_STORAGE_POSTGRES_URL are set"},
		{"a bad recipient", `storage = { encryption = { age_recipients = ["age1typo"] } }`, "", `"age1typo" is none`},
		{"recipients without an identity", `storage = { encryption = { age_identity = "", age_recipients = ["` + identity.Recipient().String() + `"] } }`, "", "no identity to read with"},
		{"an identity as recipient", `storage = { encryption = { age_recipients = ["` + identity.String() + `"] } }`, "", "a recipient is an identity, which is secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.extra = []string{"CERTIFICATE_AGE_IDENTITY=" + identity.String(), custody.EnvPostgresURL + "=" + test.url}
			c.write("provider \"certificate\" {\n" + test.storage + "\n}\n" + crashConfig)
			output := strings.Join(strings.Fields(strings.ReplaceAll(c.must(1, "plan"), "│", "")), " ")
			if !strings.Contains(output, test.want) || strings.Contains(output, "hunter2") {
				t.Errorf("the error does not say %q, or shows the password:\n%s", test.want, output)
			}
		})
	}
}

// Recipients that something else has yet to make are known at apply.
func TestStorage_recipientsMayBeUnknownInThePlan(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, "")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c.extra = []string{"CERTIFICATE_AGE_IDENTITY=" + identity.String()}
	c.write(`
resource "terraform_data" "recipient" { input = "` + other.Recipient().String() + `" }
provider "certificate" {
  storage = { directory = {}, encryption = { age_recipients = [terraform_data.recipient.output] } }
}
` + crashConfig)
	c.must(0, "apply", "-auto-approve")
	store, err := custody.Open(custody.Options{Directory: c.StorageDirectory(), AgeIdentity: secret.New(other.String())})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.List(t.Context(), "keys/")
	if err != nil || len(keys) != 1 {
		t.Fatalf("stored keys: %q, %v; want 1", keys, err)
	}
	if _, err := store.Get(t.Context(), keys[0]); err != nil {
		t.Errorf("the other identity cannot read the key: %v", err)
	}
}
