package deploy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// wantWay checks that a real server is asked for its certificate.
func wantWay(t *testing.T, protocol StartTLS, address string, want Material) {
	t.Helper()
	served, err := Way{StartTLS: protocol}.probe(t.Context(), Endpoint{address, name})
	if err != nil {
		t.Fatal(err)
	}
	if got := pki.Fingerprint(want.Chain[0]); served.Fingerprint != got || len(served.Chain) != len(want.Chain) {
		t.Errorf("%s serves %s and %d certificates, want %s and %d", protocol, served.Fingerprint, len(served.Chain), got, len(want.Chain))
	}
	if _, err := Probe(t.Context(), Endpoint{address, name}); err == nil {
		t.Error("the server begins TLS by itself, which proves nothing of the dialog")
	}
}

func issueOne(t *testing.T) Material {
	t.Helper()
	now := time.Now()
	chain, key := deploytest.NewAuthority(t, now).Issue(t, now, []string{name})
	return Material{chain, key}
}

func TestStartTLS_postfix(t *testing.T) {
	t.Parallel()
	m := issueOne(t)
	wantWay(t, SMTP, deploytest.StartPostfix(t, m.Chain, m.Key).Address, m)
}

func TestStartTLS_dovecot(t *testing.T) {
	t.Parallel()
	m := issueOne(t)
	_, addresses := deploytest.StartDovecot(t, m.Chain, m.Key)
	for protocol, address := range addresses {
		wantWay(t, StartTLS(protocol), address, m)
	}
}

func TestStartTLS_vsftpd(t *testing.T) {
	t.Parallel()
	m := issueOne(t)
	wantWay(t, FTP, deploytest.StartVsftpd(t, m.Chain, m.Key).Address, m)
}

func TestStartTLS_slapd(t *testing.T) {
	t.Parallel()
	m := issueOne(t)
	wantWay(t, LDAP, deploytest.StartSlapd(t, m.Chain, m.Key).Address, m)
}

func TestStartTLS_postgres(t *testing.T) {
	t.Parallel()
	m := issueOne(t)
	server := postgrestest.Run(t)
	if _, err := (Way{StartTLS: Postgres}).probe(t.Context(), Endpoint{server.Address(), name}); !errors.Is(err, ErrNoStartTLS) {
		t.Errorf("without TLS: %v, want ErrNoStartTLS", err)
	}
	key, err := m.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	folder, ok := server.Query(t, "SHOW data_directory")[0][0].(string)
	if !ok {
		t.Fatal("the server has no folder")
	}
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{"server.crt": pki.EncodeCertificates(m.Chain...), "server.key": key} {
		path := filepath.Join(folder, file)
		if err := errors.Join(os.WriteFile(path, text, 0o600), giveTo(path, info)); err != nil {
			t.Fatal(err)
		}
	}
	server.Query(t, "ALTER SYSTEM SET ssl = on")
	server.Query(t, "SELECT pg_reload_conf()")
	proof := Proof{Endpoint: Endpoint{server.Address(), name}, Way: Way{StartTLS: Postgres}, Timeout: 20 * time.Second}
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, m.Chain)); err != nil {
		t.Error(err)
	}
}

// A server that is not one, or does not want to, and one that says too much.
func TestStartTLS_odd(t *testing.T) {
	t.Parallel()
	ldap := func(code byte, words string) string {
		return "\x30\x84\x00\x00\x00" + string(rune(16+len(words))) + "\x02\x01\x01\x78\x84\x00\x00\x00" + string(rune(7+len(words))) + "\x0a\x01" + string(rune(code)) + "\x04\x00\x04" + string(rune(len(words))) + words
	}
	for sentence, test := range map[string]struct {
		protocol StartTLS
		answers  []string // to nothing, and then to what is said
		want     string   // a part of the error; empty for none
	}{
		"SMTP, in several lines":           {SMTP, []string{"220-hello\r\n220 there\r\n", "250-me\r\n250-starttls\r\n250 HELP\r\n", "220 go\r\n"}, ""},
		"SMTP that does not offer it":      {SMTP, []string{"220 hello\r\n", "250-me\r\n250 HELP\r\n"}, "does not offer STARTTLS"},
		"SMTP that refuses it":             {SMTP, []string{"220 hello\r\n", "250 STARTTLS\r\n", "454 not now\r\n"}, `answers STARTTLS with "454 not now"`},
		"SMTP that turns everybody away":   {SMTP, []string{"554 no\r\n"}, `answers the connection with "554 no"`},
		"SMTP that goes on in clear text":  {SMTP, []string{"220 hello\r\n", "250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"}, "goes on in clear text"},
		"a line without an end":            {IMAP, []string{strings.Repeat("x", mostLine+1)}, "a line of more than"},
		"lines without an end":             {SMTP, []string{strings.Repeat("220-x\r\n", mostLines+1)}, "does not end"},
		"a connection that ends":           {POP3, []string{""}, "read the answer to the connection"},
		"IMAP with words in between":       {IMAP, []string{"* OK [CAPABILITY IMAP4rev1] hi\r\n", "* NOTE\r\na ok go\r\n"}, ""},
		"IMAP that refuses it":             {IMAP, []string{"* OK hi\r\n", "a BAD what\r\n"}, "a BAD what"},
		"POP3 that refuses it":             {POP3, []string{"+OK hi\r\n", "-ERR what\r\n"}, "-ERR what"},
		"sieve that does not offer it":     {Sieve, []string{"\"SASL\" \"\"\r\nOK\r\n"}, "does not offer STARTTLS"},
		"FTP with a short line in between": {FTP, []string{"220-welcome\r\nhi\r\n220 ready\r\n", "234 go\r\n"}, ""},
		"FTP that refuses it":              {FTP, []string{"220 hi\r\n", "530 log in\r\n"}, "530 log in"},
		"PostgreSQL without TLS":           {Postgres, []string{"", "N"}, "set ssl = on"},
		"something that is no PostgreSQL":  {Postgres, []string{"", "H"}, "answers an SSLRequest"},
		"LDAP with long lengths":           {LDAP, []string{"", ldap(0, "")}, ""},
		"LDAP that refuses it":             {LDAP, []string{"", ldap(52, "no TLS")}, "result code [52]"},
		"something that is no LDAP":        {LDAP, []string{"", "\x30\x05hello"}, "cannot be read"},
		"LDAP of a length that cannot be":  {LDAP, []string{"", "\x30\x84\xff\xff\xff\xff"}, "not an element"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			here, there := net.Pipe()
			defer func() { _ = here.Close() }()
			go recite(there, test.answers)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := test.protocol.begin(ctx, here)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("begin = %v, want nil", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("begin = %v, want %q", err, test.want)
			}
		})
	}
}

// recite answers what it hears line by line or, where there is no greeting, once.
func recite(connection net.Conn, answers []string) {
	defer func() { _ = connection.Close() }()
	reader := bufio.NewReader(connection)
	for n, answer := range answers {
		if n > 0 {
			var err error
			if answers[0] == "" {
				_, err = reader.Read(make([]byte, 64)) // one message is one piece in a pipe
			} else {
				_, err = reader.ReadString('\n')
			}
			if err != nil {
				return
			}
		}
		if answer == "" { // a pipe would wait for somebody to read nothing
			continue
		}
		if _, err := io.WriteString(connection, answer); err != nil {
			return
		}
	}
	if len(answers) == 1 && answers[0] == "" {
		return
	}
	_, _ = io.Copy(io.Discard, reader)
}

func TestStartTLS_ports(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[StartTLS]string{
		"": "443", SMTP: "25", LMTP: "24", IMAP: "143", POP3: "110", Sieve: "4190", FTP: "21", Postgres: "5432", LDAP: "389",
	} {
		if got := protocol.Port(); got != want {
			t.Errorf("port of %q is %s, want %s", protocol, got, want)
		}
	}
}

// A server that says nothing is waited for as long as the context lasts.
func TestStartTLS_silence(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := SMTP.begin(ctx, here); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("begin = %v, want context.DeadlineExceeded", err)
	}
}

// Whatever a server says before TLS, nothing panics or is read without end.
func FuzzStartTLS(f *testing.F) {
	f.Add("220 hi\r\n250 STARTTLS\r\n220 go\r\n")
	f.Add("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
	f.Fuzz(func(t *testing.T, said string) {
		for _, known := range openings() {
			conversation := struct {
				io.Reader
				io.Writer
			}{strings.NewReader(said), &bytes.Buffer{}}
			if known.talk != nil {
				_ = known.talk(conversation) // an error is an answer too
				continue
			}
			_ = speak(bufio.NewReaderSize(conversation, mostLine), conversation, known.lines)
		}
	})
}

// A mail server's certificate is replaced, and proven in its own protocol.
func TestDeploy_postfix(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := deploytest.StartPostfix(t, f.old.Chain, f.old.Key)
	target, err := NewFiles(FilesOptions{
		FullchainPath: s.Path("fullchain.pem"), PrivateKeyPath: s.Path("key.pem"),
		ReloadCommand: []string{"sh", "-c", "kill -HUP $(cat " + s.PIDFile + ")"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.job.Target = target
	f.job.Proof = Proof{Endpoint: Endpoint{s.Address, name}, Way: Way{StartTLS: SMTP}, Timeout: 20 * time.Second}
	result, err := Deploy(t.Context(), f.job)
	if err != nil || result.Proven != ByHandshake || result.Served.Fingerprint != pki.Fingerprint(f.fresh.Chain[0]) {
		t.Fatalf("deploy = %+v, %v", result, err)
	}
	wantWay(t, SMTP, s.Address, f.fresh)
	seen, err := Observe(t.Context(), f.job)
	if err != nil || len(seen.Drift)+len(seen.Warnings) > 0 || seen.ServedFingerprint != result.Fingerprint {
		t.Errorf("observed %+v, %v", seen, err)
	}
}
