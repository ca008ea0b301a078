package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// StartTLS names the protocol in which a server is asked to begin TLS. Empty, the
// server begins by itself.
type StartTLS string

// The protocols that are spoken.
const (
	SMTP     StartTLS = "smtp"     // RFC 3207
	LMTP     StartTLS = "lmtp"     // RFC 2033
	IMAP     StartTLS = "imap"     // RFC 9051 §6.2.1
	POP3     StartTLS = "pop3"     // RFC 2595 §4
	Sieve    StartTLS = "sieve"    // RFC 5804 §2.2
	FTP      StartTLS = "ftp"      // RFC 4217 §4
	Postgres StartTLS = "postgres" // SSLRequest of its protocol 3.0
	LDAP     StartTLS = "ldap"     // RFC 4511 §4.14
)

// ErrNoStartTLS says that a server did not begin TLS when it was asked to.
var ErrNoStartTLS = errors.New("the server does not begin TLS")

// opening is how one protocol begins TLS, and where its servers listen.
type opening struct {
	port  string
	lines []exchange                             // a dialog in lines, or
	talk  func(conversation io.ReadWriter) error // one in bytes
}

// exchange is one step of a dialog in lines: what is said, and how the answer
// ends and begins when all is well. The greeting is an answer to nothing.
type exchange struct {
	say  string
	last func(line string) bool // whether it is the last line of an answer
	good string
	need string // what one line of the answer has to say; empty for nothing
}

// openings are the protocols, the family's only list.
func openings() map[StartTLS]opening {
	const capability = "STARTTLS"
	return map[StartTLS]opening{
		SMTP: {port: "25", lines: []exchange{
			{last: coded, good: "220"},
			{say: "EHLO localhost", last: coded, good: "250", need: capability},
			{say: "STARTTLS", last: coded, good: "220"},
		}},
		LMTP: {port: "24", lines: []exchange{
			{last: coded, good: "220"},
			{say: "LHLO localhost", last: coded, good: "250", need: capability},
			{say: "STARTTLS", last: coded, good: "220"},
		}},
		IMAP: {port: "143", lines: []exchange{
			{last: every, good: "* OK"},
			{say: "a STARTTLS", last: starts("a "), good: "a OK"},
		}},
		POP3: {port: "110", lines: []exchange{
			{last: every, good: "+OK"},
			{say: "STLS", last: every, good: "+OK"},
		}},
		Sieve: {port: "4190", lines: []exchange{
			{last: starts("OK", "NO", "BYE"), good: "OK", need: capability},
			{say: "STARTTLS", last: starts("OK", "NO", "BYE"), good: "OK"},
		}},
		FTP: {port: "21", lines: []exchange{
			{last: coded, good: "220"},
			{say: "AUTH TLS", last: coded, good: "234"},
		}},
		Postgres: {port: "5432", talk: askPostgres},
		LDAP:     {port: "389", talk: askLDAP},
	}
}

// coded are replies of a number, a hyphen where more lines follow, and words.
func coded(line string) bool {
	return len(line) >= 3 && strings.Trim(line[:3], "0123456789") == "" && (len(line) == 3 || line[3] == ' ')
}

func every(string) bool { return true }

func starts(with ...string) func(string) bool {
	return func(line string) bool {
		return slices.ContainsFunc(with, func(w string) bool { return startsWith(line, w) })
	}
}

// startsWith compares as these protocols do, whatever the case.
func startsWith(line, with string) bool {
	return len(line) >= len(with) && strings.EqualFold(line[:len(with)], with)
}

// StartTLSNames lists the protocols, sorted.
func StartTLSNames() []string {
	var names []string
	for protocol := range openings() {
		names = append(names, string(protocol))
	}
	slices.Sort(names)
	return names
}

// Port is where servers of the protocol listen by custom: 443 where none is
// spoken.
func (s StartTLS) Port() string {
	if known, ok := openings()[s]; ok {
		return known.port
	}
	return "443"
}

// How much a server may say before TLS. Its certificate is all that is wanted.
const (
	mostLine  = 8 << 10 // IMAP lists its capabilities in one
	mostLines = 100
)

// begin has the server begin TLS on a new connection. Closing the connection is
// what ends it early: tunnels know no deadlines.
func (s StartTLS) begin(ctx context.Context, raw net.Conn) error {
	if s == "" {
		return nil
	}
	known, ok := openings()[s]
	if !ok {
		return fmt.Errorf("%q is none of %s", s, strings.Join(StartTLSNames(), ", "))
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // whoever waits for it is let go
	defer stop()
	reader := bufio.NewReaderSize(raw, mostLine)
	talk := func(conversation io.ReadWriter) error { return speak(reader, conversation, known.lines) }
	if known.talk != nil {
		talk = known.talk
	}
	err := talk(struct {
		io.Reader
		io.Writer
	}{reader, raw})
	if err == nil && reader.Buffered() > 0 { // it is not said under TLS, and would be taken for it
		err = fmt.Errorf("%w: it goes on in clear text after it agreed to", ErrNoStartTLS)
	}
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("ask for TLS in %s: %w", s, err))
	}
	return ctx.Err()
}

// speak goes through a dialog in lines.
func speak(reader *bufio.Reader, writer io.Writer, dialog []exchange) error {
	for _, step := range dialog {
		if step.say != "" {
			if _, err := io.WriteString(writer, step.say+"\r\n"); err != nil {
				return fmt.Errorf("say %s: %w", step.say, err)
			}
		}
		if err := step.hear(reader); err != nil {
			return err
		}
	}
	return nil
}

// hear reads one answer to its end.
func (e exchange) hear(reader *bufio.Reader) error {
	met := e.need == ""
	for range mostLines {
		text, err := reader.ReadSlice('\n')
		line := strings.TrimRight(string(text), "\r\n")
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: its answer to %s has a line of more than %d bytes", ErrNoStartTLS, e, mostLine)
		case err != nil:
			return fmt.Errorf("read the answer to %s: %w", e, err)
		}
		met = met || strings.Contains(strings.ToUpper(line), e.need)
		switch {
		case !e.last(line):
		case !startsWith(line, e.good):
			return fmt.Errorf("%w: it answers %s with %q", ErrNoStartTLS, e, abridged(line))
		case !met:
			return fmt.Errorf("%w: it does not offer %s", ErrNoStartTLS, e.need)
		default:
			return nil
		}
	}
	return fmt.Errorf("%w: its answer to %s does not end", ErrNoStartTLS, e)
}

// String names the step in messages.
func (e exchange) String() string {
	if e.say == "" {
		return "the connection"
	}
	return e.say
}
