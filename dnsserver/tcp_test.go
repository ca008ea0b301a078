package dnsserver

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// keptFor tells how long a connection is kept whose client does what talk
// does, by the clock of a bubble of synctest.
func keptFor(t *testing.T, talk func(conn net.Conn)) time.Duration {
	t.Helper()
	s, err := New(testConfig(), NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(testView(t))
	here, there := net.Pipe()
	start := time.Now()
	done := ended(func() { s.serveConn(t.Context(), there, s.taps.add(overTCP, nil)) })
	talked := ended(func() { talk(here) })
	<-done
	kept := time.Since(start)
	<-talked
	return kept
}

// TestTCP_row10_aByteASecond is slowloris: each byte is in time, the message
// is not.
func TestTCP_row10_aByteASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := keptFor(t, func(conn net.Conn) {
			for _, b := range append([]byte{0, 33}, wire(t, ask("www.example.com. A"))...) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		})
		if got > transferTimeout {
			t.Errorf("the client was kept for %s, want at most %s", got, transferTimeout)
		}
	})
}

// TestTCP_row10_aClientThatNeverReads sends questions for ever.
func TestTCP_row10_aClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request := wire(t, ask("www.example.com. A"))
		got := keptFor(t, func(conn net.Conn) {
			for {
				if _, err := conn.Write(append([]byte{0, byte(len(request))}, request...)); err != nil {
					return
				}
			}
		})
		if got > transferTimeout {
			t.Errorf("the client was kept for %s, want at most %s", got, transferTimeout)
		}
	})
}

// TestTCP_row10_fiveThousandConnections opens them from one client, beside
// another that is served all the time.
func TestTCP_row10_fiveThousandConnections(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	request := wire(t, ask("www.example.com. A"))
	from := func(ip string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 5 * time.Second}
		conn, err := dialer.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for i := range 5000 {
		from("127.0.0.2")
		if i%500 == 0 {
			conn := from("127.0.0.3")
			writeTCP(t, conn, request)
			checkEcho(t, request, readTCP(t, conn))
			_ = conn.Close()
		}
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	if got := len(s.conns.all); got > DefaultMaxPerClient+10 {
		t.Errorf("%d connections are open, want at most %d of one client", got, DefaultMaxPerClient)
	}
}

// TestTCP_row10_theLongestSilentGivesWay fills every place and comes again.
func TestTCP_row10_theLongestSilentGivesWay(t *testing.T) {
	config := testConfig()
	config.MaxConnections = 2
	s := startServer(t, config, NewMemoryStore())
	request := wire(t, ask("www.example.com. A"))
	var open []net.Conn
	speak := func(conn net.Conn) {
		t.Helper()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		writeTCP(t, conn, request)
		checkEcho(t, request, readTCP(t, conn))
	}
	for range 2 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		speak(conn)
		open = append(open, conn)
	}
	speak(open[0])
	if !tryTCP(s.Addr().String(), request) {
		t.Error("a third connection is not served")
	}
	if _, err := open[1].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the longest silent: %v, want EOF", err)
	}
	speak(open[0])
}
