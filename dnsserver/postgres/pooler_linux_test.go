package postgres

import (
	"strings"
	"testing"
)

// Servers share a database through a pooler in session mode.
func TestServers_shareADatabaseBehindAPooler(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	address := through(t, server.Database(t), server.Pooler(t, "session"))
	a, b := serve(t, join(t, address, "a")), serve(t, join(t, address, "b"))
	put(t, a, "x.auth.example.com", "from-a")
	eventually(t, "b shows what a took", func() bool { return answers(t, b, "x.auth.example.com") == "from-a" })
	put(t, b, "x.auth.example.com", "from-b")
	eventually(t, "a shows what b took", func() bool { return answers(t, a, "x.auth.example.com") == "from-a from-b" })
}

// One in transaction mode is named before a server starts: news of changes would
// not reach it.
func TestJoin_behindAPoolerWithoutSessions(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	s := open(t, through(t, server.Database(t), server.Pooler(t, "transaction")), "a")
	if err := s.Join(t.Context()); err == nil || !strings.Contains(err.Error(), "pool_mode = session") {
		t.Errorf("%v, want what to do", err)
	}
}
