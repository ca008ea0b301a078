package dnsserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// testRecords exercise every kind of name there is.
const testRecords = `
ns1        A      192.0.2.53
ns1        AAAA   2001:db8::53
@          CAA    0 issue "ca.example"
@          MX     10 mail.elsewhere.test.
www    60  A      192.0.2.1
www    60  TXT    "static" " text"
deep.empty A      192.0.2.2
*.wild     A      192.0.2.3
*.wild     TXT    "wild"
host.wild  A      192.0.2.4
*.cwild    CNAME  www
alias      CNAME  www
alias2     CNAME  alias
out        CNAME  www.elsewhere.test.
dangling   CNAME  missing
loop1      CNAME  loop2
loop2      CNAME  loop1
tocut      CNAME  host.sub
tochild    CNAME  www.child
sub        NS     ns.sub
sub        NS     ns.elsewhere.test.
ns.sub     A      192.0.2.54
ns.sub     AAAA   2001:db8::54
private    TYPE65280 \# 2 abcd
`

func testConfig() Config {
	return Config{
		Zones: []Zone{
			{Name: "Example.com", NameServers: []string{"ns1.example.com", "ns.elsewhere.test"}, Records: testRecords},
			{Name: "child.example.com", NameServers: []string{"ns.elsewhere.test"}, Records: "www A 192.0.2.9\n"},
		},
		Tokens: []Token{
			{Name: "all", SHA256: hashOf("all-token"), Names: []string{"*.example.com", "example.com"}},
			{Name: "one", SHA256: hashOf("one-token"), Names: []string{"_acme-challenge.www.example.com"}},
		},
	}
}

// startServer starts a server on loopback and stops it with the test.
func startServer(t testing.TB, config Config, store Store) *Server {
	t.Helper()
	s, err := New(config, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return s
}

func put(t testing.TB, s *Server, name string, values ...string) {
	t.Helper()
	for _, value := range values {
		if err := s.PutTXT(t.Context(), name, value); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
}

// exchange sends one message and returns the reply's bytes.
func exchange(t testing.TB, network, addr string, msg []byte) []byte {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if network == "tcp" {
		writeTCP(t, conn, msg)
		return readTCP(t, conn)
	}
	if _, err := conn.Write(msg); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func writeTCP(t testing.TB, conn net.Conn, msgs ...[]byte) {
	t.Helper()
	var out []byte
	for _, msg := range msgs {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(msg))), msg...)
	}
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
}

func readTCP(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

// ask makes a query for "name TYPE".
func ask(q string) *dns.Msg {
	name, kind, _ := strings.Cut(q, " ")
	m := new(dns.Msg)
	rrtype, ok := dns.StringToType[kind]
	if !ok {
		if _, err := fmt.Sscanf(kind, "TYPE%d", &rrtype); err != nil {
			panic("no such type: " + kind)
		}
	}
	m.SetQuestion(name, rrtype)
	m.Id = 0xbeef
	return m
}

func wire(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func unwire(t testing.TB, msg []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("the reply cannot be unpacked: %v", err)
	}
	return m
}

// sections writes a reply as zone-file text, one section after another, in a
// fixed order within each.
func sections(m *dns.Msg) string {
	var b strings.Builder
	b.WriteString(dns.RcodeToString[m.Rcode])
	if m.Authoritative {
		b.WriteString(" aa")
	}
	if m.Truncated {
		b.WriteString(" tc")
	}
	b.WriteByte('\n')
	write := func(title string, rrs []dns.RR) {
		var lines []string
		for _, rr := range rrs {
			if rr.Header().Rrtype != dns.TypeOPT {
				lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
			}
		}
		if title != "answer" { // the order of a chain matters, of the rest it does not
			slices.Sort(lines)
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "%s: %s\n", title, line)
		}
	}
	write("answer", m.Answer)
	write("authority", m.Ns)
	write("additional", m.Extra)
	return b.String()
}

// outline strips indentation, so that expectations can be written in place.
func outline(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(s)) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// checkEcho checks what holds of every reply to a well-formed question.
func checkEcho(t testing.TB, request, reply []byte) {
	t.Helper()
	if len(reply) < headerSize {
		t.Fatalf("the reply has %d bytes, less than a header", len(reply))
	}
	if !bytes.Equal(reply[:2], request[:2]) {
		t.Errorf("ID %x, want %x", reply[:2], request[:2])
	}
	if reply[2]&0x80 == 0 {
		t.Error("QR is clear")
	}
	if got, want := reply[2]&0x79, request[2]&0x79; got != want {
		t.Errorf("opcode and RD %#x, want %#x", got, want)
	}
	if reply[3]&0xf0 != 0 {
		t.Errorf("RA, Z, AD or CD is set: %#x", reply[3])
	}
	q := query{}
	if end, err := q.readQuestion(request); err == nil && binary.BigEndian.Uint16(request[4:]) == 1 {
		if len(reply) < end || !bytes.Equal(reply[headerSize:end], request[headerSize:end]) {
			t.Errorf("the question's bytes are not echoed:\n got %q\nwant %q", reply[headerSize:], request[headerSize:end])
		}
	}
}

// soaOfExample is served after the five changes that runLookups makes of the zone.
const soaOfExample = `authority: example.com. 5 IN SOA ns1.example.com. hostmaster.example.com. 6 3600 600 1209600 5`

// lookupCase is a question and the sections of its reply in zone-file text.
type lookupCase struct{ title, question, want string }

// runLookups asks every question over UDP and TCP.
func runLookups(t *testing.T, cases []lookupCase) {
	t.Helper()
	s := startServer(t, testConfig(), NewMemoryStore())
	put(t, s, "_acme-challenge.example.com", "Value-A", "value-b")
	put(t, s, "_acme-challenge.a.b.dyn.example.com", "deep")
	put(t, s, "www.example.com", "added")
	put(t, s, "dyn.wild.example.com", "beside the wildcard")
	put(t, s, "_acme-challenge.child.example.com", "in the child")
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range cases {
			t.Run(network+"/"+c.title, func(t *testing.T) {
				request := wire(t, ask(c.question))
				reply := exchange(t, network, s.Addr().String(), request)
				checkEcho(t, request, reply)
				if got, want := sections(unwire(t, reply)), outline(c.want); got != want {
					t.Errorf("%s\n got:\n%s\nwant:\n%s", c.question, got, want)
				}
			})
		}
	}
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
