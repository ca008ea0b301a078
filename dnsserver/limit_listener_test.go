package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// lives reports whether the other side keeps a connection.
func lives(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestLimitListener_boundsConnections(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		most, perClient int
		exempt          bool
		want            []bool // which of three live
	}{
		"a client may have two":           {100, 2, false, []bool{true, true, false}},
		"a proxy may have all":            {100, 2, true, []bool{true, true, true}},
		"of two in all the oldest yields": {2, 100, false, []bool{false, true, true}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := LimitListener(inner, c.most, c.perClient, func(netip.Addr) bool { return c.exempt })
			t.Cleanup(func() { _ = l.Close() })
			accepted := make(chan net.Conn, 10)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					accepted <- conn
				}
			}()
			var conns []net.Conn
			for range 3 {
				conn, err := net.Dial("tcp", inner.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				conns = append(conns, conn)
				lives(t, conn) // until it is known what becomes of it
			}
			for i, want := range c.want {
				if got := lives(t, conns[i]); got != want {
					t.Errorf("connection %d lives: %t, want %t", i, got, want)
				}
			}
			if c.perClient != 2 || c.exempt {
				return
			}
			if err := (<-accepted).Close(); err != nil { // one place is free again
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if !lives(t, conn) {
				t.Error("a place that was given up is not given away")
			}
		})
	}
}
