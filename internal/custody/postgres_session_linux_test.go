package custody

import (
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// The server notices a machine that vanished within a minute, and waits for the
// disk. What it does not know by name would be passed over in silence.
func TestPostgres_sessionSettings(t *testing.T) {
	s := postgrestest.Run(t, "synchronous_commit=off", "idle_session_timeout=1h")
	p, err := OpenPostgres(PostgresOptions{URL: secret.New(s.URL("postgres"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	conn, err := p.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for name, want := range map[string]string{
		"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3", "tcp_user_timeout": "50000",
		"idle_session_timeout": "0", "synchronous_commit": "on", "application_name": "terraform-provider-certificate",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}
