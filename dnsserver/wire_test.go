package dnsserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// raw is a message with this header and rest.
func raw(flags uint16, counts [4]uint16, rest string) []byte {
	msg := binary.BigEndian.AppendUint16(nil, 0xbeef)
	msg = binary.BigEndian.AppendUint16(msg, flags)
	for _, n := range counts {
		msg = binary.BigEndian.AppendUint16(msg, n)
	}
	return append(msg, rest...)
}

const (
	wireWWW = "\x03wWw\x07example\x03COM\x00\x00\x01\x00\x01" // wWw.example.COM A IN
	wireOPT = "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"  // 4096 bytes, version 0, no options
)

// TestWire_rows1and5and8_messages sends what no resolver library would.
func TestWire_rows1and5and8_messages(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	one := [4]uint16{1, 0, 0, 0}
	for _, c := range []struct {
		title   string
		request []byte
		rcode   int
		answers int
		opts    int
	}{
		{"a plain question", raw(0, one, wireWWW), dns.RcodeSuccess, 1, 0},
		{"RD is echoed", raw(0x0100, one, wireWWW), dns.RcodeSuccess, 1, 0},
		{"AD, CD and Z are not", raw(0x0070, one, wireWWW), dns.RcodeSuccess, 1, 0},
		{"no question", raw(0, [4]uint16{}, ""), dns.RcodeFormatError, 0, 0},
		{"two questions", raw(0, [4]uint16{2, 0, 0, 0}, wireWWW+wireWWW), dns.RcodeFormatError, 0, 0},
		{"a question that is cut short", raw(0, one, wireWWW[:9]), dns.RcodeFormatError, 0, 0},
		{"a question with a pointer", raw(0, one, "\x03www\xc0\x0c\x00\x01\x00\x01"), dns.RcodeFormatError, 0, 0},
		{"a label that is too long", raw(0, one, "\x40"+strings.Repeat("a", 64)+"\x00\x00\x01\x00\x01"), dns.RcodeFormatError, 0, 0},
		{"a name that is too long", raw(0, one, strings.Repeat("\x3f"+strings.Repeat("a", 63), 4)+"\x00\x00\x01\x00\x01"), dns.RcodeFormatError, 0, 0},
		{"the longest name", raw(0, one, strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)+"\x3d"+strings.Repeat("a", 61)+"\x00\x00\x01\x00\x01"), dns.RcodeRefused, 0, 0},
		{"bytes after the message", raw(0, one, wireWWW+"x"), dns.RcodeFormatError, 0, 0},
		{"a record that is not there", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW), dns.RcodeFormatError, 0, 0},
		{"bytes that are no letters", raw(0, one, "\x05\x00\xff.\\\"\x07example\x03com\x00\x00\x01\x00\x01"), dns.RcodeNameError, 0, 0},
		{"class CHAOS", raw(0, one, "\x07version\x04bind\x00\x00\x10\x00\x03"), dns.RcodeRefused, 0, 0},
		{"class CHAOS at our name", raw(0, one, wireWWW[:len(wireWWW)-1]+"\x03"), dns.RcodeRefused, 0, 0},
		{"class ANY", raw(0, one, wireWWW[:len(wireWWW)-1]+"\xff"), dns.RcodeRefused, 0, 0},
		{"opcode STATUS", raw(2<<11, one, wireWWW), dns.RcodeNotImplemented, 0, 0},
		{"opcode NOTIFY of a zone that is no copy", raw(4<<11, one, wireWWW), dns.RcodeNotAuth, 0, 0},
		{"opcode UPDATE with records", raw(5<<11, [4]uint16{1, 0, 1, 0}, wireWWW+"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04abcd"), dns.RcodeFormatError, 0, 0},
		{"opcode UPDATE of no zone of ours", raw(5<<11, one, "\x07example\x03org\x00\x00\x06\x00\x01"), dns.RcodeNotAuth, 0, 0},
		{"opcode UPDATE without a signature", raw(5<<11, one, "\x07eXample\x03com\x00\x00\x06\x00\x01"), dns.RcodeRefused, 0, 0},
		{"opcode DSO without a question", raw(6<<11, [4]uint16{}, "junk"), dns.RcodeNotImplemented, 0, 0},
		{"a record in authority is skipped", raw(0, [4]uint16{1, 0, 1, 0}, wireWWW+"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04abcd"), dns.RcodeSuccess, 1, 0},
		{"EDNS", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+wireOPT), dns.RcodeSuccess, 1, 1},
		{"EDNS on an error", raw(0, [4]uint16{1, 0, 0, 1}, "\x03www\x07example\x03org\x00\x00\x01\x00\x01"+wireOPT), dns.RcodeRefused, 0, 1},
		{"an unknown option", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+wireOPT[:10]+"\x07\xfd\xe9\x00\x03abc"), dns.RcodeSuccess, 1, 1},
		{"an unknown flag", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+"\x00\x00\x29\x10\x00\x00\x00\x40\x01\x00\x00"), dns.RcodeSuccess, 1, 1},
		{"an option that is cut short", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+wireOPT[:10]+"\x05\x00\x0a\x00\x08a"), dns.RcodeFormatError, 0, 1},
		{"two OPT", raw(0, [4]uint16{1, 0, 0, 2}, wireWWW+wireOPT+wireOPT), dns.RcodeFormatError, 0, 1},
		{"an OPT that is not at the root", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+"\x01a"+wireOPT), dns.RcodeFormatError, 0, 0},
		{"EDNS version 1", raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+"\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00"), dns.RcodeBadVers, 0, 1},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+"/"+c.title, func(t *testing.T) {
				reply := exchange(t, network, s.Addr().String(), c.request)
				checkEcho(t, c.request, reply)
				m := unwire(t, reply)
				if opt := m.IsEdns0(); opt != nil {
					if opt.Version() != 0 || opt.UDPSize() != 1232 {
						t.Errorf("OPT has version %d and size %d, want 0 and 1232", opt.Version(), opt.UDPSize())
					}
					if opt.Hdr.Ttl&0x7fff != 0 {
						t.Errorf("OPT has unknown flags %#x", opt.Hdr.Ttl)
					}
				}
				opts := 0
				for _, rr := range m.Extra {
					if rr.Header().Rrtype == dns.TypeOPT {
						opts++
					}
				}
				rcode := m.Rcode
				if rcode != c.rcode || len(m.Answer) != c.answers || opts != c.opts {
					t.Errorf("%s, %d answers, %d OPT; want %s, %d, %d", dns.RcodeToString[rcode], len(m.Answer), opts,
						dns.RcodeToString[c.rcode], c.answers, c.opts)
				}
			})
		}
	}
}

func TestWire_row1_staysSilent(t *testing.T) {
	v := testView(t)
	for title, msg := range map[string][]byte{
		"to less than a header": raw(0, [4]uint16{}, "")[:11],
		"to nothing":            nil,
		"to a reply":            raw(0x8000, [4]uint16{1, 0, 0, 0}, wireWWW),
	} {
		if r := v.respond(msg, &terms{limit: edns0UDPSize}); r.wire != nil {
			t.Errorf("%s: replied %x", title, r.wire)
		}
	}
}

func TestWire_row8_DOisCopied(t *testing.T) {
	for _, do := range []bool{false, true} {
		m := ask("www.example.com. A")
		m.SetEdns0(4096, do)
		reply := unwire(t, testView(t).respond(wire(t, m), &terms{limit: edns0UDPSize}).wire)
		if got := reply.IsEdns0().Do(); got != do {
			t.Errorf("DO = %t, want %t", got, do)
		}
	}
}

// testView is the view of a server with the test configuration.
func testView(t testing.TB) *view {
	t.Helper()
	zones, _, problems := testConfig().compile()
	if err := joined(problems); err != nil {
		t.Fatal(err)
	}
	return newView(zones)
}

func TestWire_row7_valuesOfAnyLengthAndBytes(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	var every strings.Builder
	for b := range 256 {
		every.WriteByte(byte(b))
	}
	for i, value := range []string{
		"short", every.String(), strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 510),
		strings.Repeat(`\`, 300), `"quoted"; and \065`, strings.Repeat("long ", 10000),
	} {
		name := fmt.Sprintf("value%d.example.com.", i)
		put(t, s, name, value)
		reply := unwire(t, exchange(t, "tcp", s.Addr().String(), wire(t, ask(name+" TXT"))))
		if len(reply.Answer) != 1 {
			t.Fatalf("value %d: %d answers, want 1", i, len(reply.Answer))
		}
		var got strings.Builder
		for _, part := range reply.Answer[0].(*dns.TXT).Txt {
			part = unescapeTXT(part)
			if len(part) > 255 {
				t.Errorf("value %d: a string of %d bytes", i, len(part))
			}
			got.WriteString(part)
		}
		if got.String() != value {
			t.Errorf("value %d came back as %q, want %q", i, got.String(), value)
		}
	}
}

func TestWire_row9_truncation(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	const name = "_acme-challenge.many.example.com."
	for i := range 10 { // as a certificate authority with 512 bytes meets them
		put(t, s, name, fmt.Sprintf("%043d", i))
	}
	for i := range 40 {
		put(t, s, "_acme-challenge.most.example.com.", fmt.Sprintf("%043d", i))
	}
	for _, c := range []struct {
		title     string
		name      string
		size      uint16 // 0: no EDNS
		truncated bool
	}{
		{"ten values, no EDNS", name, 0, true},
		{"ten values, 512", name, 512, true},
		{"ten values, less than any client may say", name, 100, true},
		{"ten values, 1232", name, 1232, false},
		{"ten values, 4096", name, 4096, false},
		{"forty values, 4096 is cut to 1232", "_acme-challenge.most.example.com.", 4096, true},
	} {
		t.Run(c.title, func(t *testing.T) {
			m := ask(c.name + " TXT")
			limit := 512
			if c.size > 0 {
				m.SetEdns0(c.size, false)
				limit = min(max(512, int(c.size)), 1232)
			}
			request := wire(t, m)
			reply := exchange(t, "udp", s.Addr().String(), request)
			checkEcho(t, request, reply)
			if len(reply) > limit {
				t.Errorf("%d bytes, limit %d", len(reply), limit)
			}
			over := unwire(t, reply)
			if over.Truncated != c.truncated || !over.Authoritative {
				t.Errorf("TC %t AA %t, want %t true", over.Truncated, over.Authoritative, c.truncated)
			}
			if c.size > 0 && over.IsEdns0() == nil {
				t.Error("OPT is gone")
			}
			full := unwire(t, exchange(t, "tcp", s.Addr().String(), request))
			want := 10
			if c.name != name {
				want = 40
			}
			if full.Truncated || len(full.Answer) != want {
				t.Errorf("over TCP: TC %t, %d answers, want false, %d", full.Truncated, len(full.Answer), want)
			}
			if !c.truncated && len(over.Answer) != want {
				t.Errorf("over UDP: %d answers, want %d", len(over.Answer), want)
			}
		})
	}
}

func TestWire_row9_optionalRecordsAreDroppedAndGlueIsNot(t *testing.T) {
	var records strings.Builder
	var servers []string
	for i := range 12 {
		host := fmt.Sprintf("a-rather-long-host-name-number-%d", i)
		servers = append(servers, host+".example.com")
		fmt.Fprintf(&records, "%s AAAA 2001:db8::%x\nsub NS %s.sub\n%s.sub AAAA 2001:db8::%x\n", host, i, host, host, i)
	}
	zones, _, problems := Config{Zones: []Zone{{Name: "example.com", NameServers: servers, Records: records.String()}}}.compile()
	if err := joined(problems); err != nil {
		t.Fatal(err)
	}
	v := newView(zones)
	m := ask("example.com. NS")
	m.SetEdns0(700, false)
	reply := unwire(t, v.respond(wire(t, m), &terms{limit: edns0UDPSize}).wire)
	if reply.Truncated || len(reply.Answer) != 12 || len(reply.Extra) != 1 {
		t.Errorf("NS: TC %t, %d answers, %d additional; want all 12 NS and OPT alone", reply.Truncated, len(reply.Answer), len(reply.Extra))
	}
	m = ask("x.sub.example.com. A")
	m.SetEdns0(700, false)
	if reply = unwire(t, v.respond(wire(t, m), &terms{limit: edns0UDPSize}).wire); !reply.Truncated {
		t.Error("a referral without its glue does not say TC (RFC 9471)")
	}
}

func TestWire_row10_pipelining(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var requests [][]byte
	for i := range 50 {
		m := ask("www.example.com. A")
		m.Id = uint16(i)
		if i%3 == 0 { // messages of many sizes share a buffer
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, (50-i)*1000)})
		}
		requests = append(requests, wire(t, m))
	}
	writeTCP(t, conn, requests...) // all in one write
	r := bufio.NewReader(conn)
	for _, request := range requests {
		checkEcho(t, request, readTCP(t, r))
	}
}

func TestWire_row10_messageInPieces(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := wire(t, ask("www.example.com. A"))
	for _, b := range append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	checkEcho(t, request, readTCP(t, conn))
}

// TestWire_row10_idleLimits advances a fake clock over a pipe.
func TestWire_row10_idleLimits(t *testing.T) {
	for _, c := range []struct {
		title string
		send  string
		want  time.Duration
	}{
		{"a silent client", "", 3 * time.Second},
		{"a client that begins a message and stops", "\x00", transferTimeout},
		{"a client that stops in a message", "\x00\x40abc", transferTimeout},
	} {
		t.Run(c.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := testConfig()
				config.IdleTimeout = 3 * time.Second
				s, err := New(config, NewMemoryStore(), nil)
				if err != nil {
					t.Fatal(err)
				}
				here, there := net.Pipe()
				go s.serveConn(t.Context(), there, s.taps.add(overTCP, nil))
				start := time.Now()
				if _, err := here.Write([]byte(c.send)); err != nil {
					t.Fatal(err)
				}
				if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("read: %v, want EOF", err)
				}
				if got := time.Since(start); got != c.want {
					t.Errorf("closed after %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestWire_row10_connectionsPerClient(t *testing.T) {
	config := testConfig()
	config.MaxPerClient = 2
	s := startServer(t, config, NewMemoryStore())
	request := wire(t, ask("www.example.com. A"))
	var open []net.Conn
	for range 2 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		writeTCP(t, conn, request)
		checkEcho(t, request, readTCP(t, conn))
		open = append(open, conn)
	}
	if tryTCP(s.Addr().String(), request) {
		t.Error("a third connection is served")
	}
	open[0].Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for !tryTCP(s.Addr().String(), request) { // until the server has seen the end
		if ctx.Err() != nil {
			t.Fatal("no connection is served after one has ended")
		}
	}
}

// tryTCP reports whether a new connection is answered.
func tryTCP(addr string, request []byte) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return false
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...))
	n, _ := io.ReadFull(conn, make([]byte, 2))
	return n == 2
}
