package postgres

import (
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// A standby takes the primary's place: servers find it by themselves, answer
// meanwhile, and nothing that was acknowledged and copied is lost.
func TestServers_theDatabaseFailsOver(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Run(t)
	standby := primary.Standby(t)
	address := postgrestest.URLOf(primary.Database(t), primary, standby)
	a, b := serve(t, join(t, address, "a")), serve(t, join(t, address, "b"))
	put(t, a, "x.auth.example.com", "before")
	eventually(t, "b follows", func() bool { return answers(t, b, "x.auth.example.com") == "before" })
	last := serial(t, a)
	eventually(t, "the standby has all", func() bool {
		rows := primary.Query(t, "SELECT coalesce(bool_and(replay_lsn = pg_current_wal_lsn()), false) FROM pg_stat_replication")
		return rows[0][0].(bool)
	})
	if err := primary.Crash(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a change is refused, and the reason said", func() bool {
		err := a.PutTXT(t.Context(), "y.auth.example.com", "during")
		return err != nil && strings.Contains(err.Error(), "none of the hosts takes changes")
	})
	for _, s := range []*dnsserver.Server{a, b} {
		if got := answers(t, s, "x.auth.example.com"); got != "before" {
			t.Errorf("answered %s during the failover", got)
		}
	}
	standby.Promote(t)
	eventually(t, "a takes changes again", func() bool { return a.PutTXT(t.Context(), "x.auth.example.com", "after") == nil })
	for _, s := range []*dnsserver.Server{a, b} {
		eventually(t, "a server shows all", func() bool { return answers(t, s, "x.auth.example.com") == "after before" })
	}
	if got := serial(t, b); int32(got-last) <= 0 {
		t.Errorf("the serial is %d, and %d was served", got, last)
	}
}
