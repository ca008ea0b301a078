package watch

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWebhook_isSignedAndFailuresKeepItsPathSecret(t *testing.T) {
	status := http.StatusNoContent
	var got *http.Request
	var body []byte
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
	}))
	defer hook.Close()
	w := Webhook{URL: hook.URL + "/services/s3cret", Key: NewSecret("the-key"), Now: func() time.Time { return time.Unix(1e9, 0) }}
	if err := w.Tell(t.Context(), Notice{ID: "id", Stage: StageWeek, Name: "www", Left: 6}); err != nil {
		t.Fatal(err)
	}
	if want := "sha256=" + sign("the-key", "1000000000", body); got.Header.Get("X-Certificate-Dns-Signature") != want {
		t.Errorf("signature %q, want %q", got.Header.Get("X-Certificate-Dns-Signature"), want)
	}
	if !strings.Contains(string(body), `"stage":"7_days"`) || !strings.Contains(string(body), `"days_left":6`) || got.Header.Get("X-Certificate-Dns-Delivery") != "id" {
		t.Errorf("sent %s, %v", body, got.Header)
	}
	status = http.StatusBadGateway
	err := w.Tell(t.Context(), Notice{})
	if err == nil || !strings.Contains(err.Error(), "502") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a refusal: %v", err)
	}
	hook.Close()
	if err := w.Tell(t.Context(), Notice{}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("nobody there: %v", err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", w, w, w.Key); strings.Contains(shown, "the-key") {
		t.Errorf("the key is shown: %s", shown)
	}
}

// postOffice takes one mail over SMTP, after STARTTLS and a login.
func postOffice(t *testing.T, cert tls.Certificate, offerTLS bool) (addr string, mail <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		say := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
		r := bufio.NewReader(conn)
		say("220 here")
		var all strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			all.WriteString(line)
			switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.ToUpper(verb) {
			case "EHLO":
				if _, over := conn.(*tls.Conn); !over && offerTLS {
					say("250-here\r\n250 STARTTLS")
					continue
				}
				say("250-here\r\n250 AUTH PLAIN")
			case "STARTTLS":
				say("220 go")
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
				r = bufio.NewReader(conn)
			case "AUTH":
				say("235 in")
			case "DATA":
				say("354 go")
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line == ".\r\n" {
						break
					}
					all.WriteString(line)
				}
				say("250 taken")
			case "QUIT":
				say("221 bye")
				got <- all.String()
				return
			default:
				say("250 ok")
			}
		}
	}()
	return l.Addr().String(), got
}

func TestMail_isSentAfterSTARTTLSAndLogin(t *testing.T) {
	cert := issue(t, 1, time.Now().Add(-time.Hour), day)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	addr, mail := postOffice(t, cert, true)
	m := Mail{
		Server: addr, User: "u", Password: NewSecret("p4ss"), From: "dns@example.com", To: []string{"a@example.com", "b@example.com"},
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	n := Notice{ID: "id1", Stage: StageReminder, Name: "Büro", Endpoint: "www.example.com:443", Names: []string{"www.example.com"}, Left: 28, NotAfter: time.Unix(1e9, 0)}
	if err := m.Tell(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	got := <-mail
	for _, want := range []string{
		"STARTTLS", "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00u\x00p4ss")), "MAIL FROM:<dns@example.com>",
		"RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>", "Message-ID: <id1@example.com>", "=?utf-8?q?The_certificate_of_B=C3=BCro_expires_in_28_days?=",
		"expires on 2001-09-09 01:46 UTC",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the mail lacks %q:\n%s", want, got)
		}
	}
	if at := strings.Index(got, "STARTTLS"); at > strings.Index(got, "AUTH") {
		t.Error("the login came before TLS")
	}
}

func TestMail_isNotSentInClear(t *testing.T) {
	cert := issue(t, 1, time.Now(), day)
	addr, _ := postOffice(t, cert, false)
	m := Mail{Server: addr, User: "u", Password: NewSecret("p4ss"), From: "dns@example.com", To: []string{"a@example.com"}}
	if err := m.Tell(t.Context(), Notice{}); err == nil || !strings.Contains(err.Error(), "without which nothing is sent") {
		t.Errorf("a server without STARTTLS: %v", err)
	}
	addr, _ = postOffice(t, cert, true)
	m.Server = addr
	if err := m.Tell(t.Context(), Notice{}); err == nil || strings.Contains(err.Error(), "p4ss") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}
