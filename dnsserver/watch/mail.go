package watch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"strings"
	"time"
)

// How a Mail's connection is protected.
const (
	MailStartTLS = "starttls" // before anything else is said; refused without
	MailTLS      = "tls"      // from the first byte, as at port 465
	MailPlain    = "plain"    // not at all
)

// Mail tells by electronic mail.
type Mail struct {
	Server   string // host:port
	Security string // "" means MailStartTLS
	User     string // "" without authentication
	Password Secret
	From     string
	To       []string
	TLS      *tls.Config // nil: the system's roots
}

// Name implements Channel.
func (m Mail) Name() string { return "mail " + strings.Join(m.To, ",") }

// Tell implements Channel.
func (m Mail) Tell(ctx context.Context, n Notice) error {
	if err := m.send(ctx, n); err != nil {
		return fmt.Errorf("send mail over %s: %w", m.Server, err)
	}
	return nil
}

func (m Mail) send(ctx context.Context, n Notice) error {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return err
	}
	conf := m.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conf.ServerName = host
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	if m.Security == MailTLS {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { _ = c.Close() }() // the mail was taken, or the error says why not
	return m.converse(c, conf, host, n)
}

// converse says everything after the greeting.
func (m Mail) converse(c *smtp.Client, conf *tls.Config, host string, n Notice) error {
	if m.Security == "" || m.Security == MailStartTLS {
		if err := c.StartTLS(conf); err != nil {
			return fmt.Errorf("begin TLS, without which nothing is sent: %w", err)
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.Password(), host)); err != nil {
			return fmt.Errorf("log in as %s: %w", m.User, err)
		}
	}
	if err := c.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return fmt.Errorf("to %s: %w", to, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(m.message(n))); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the mail was taken
	return nil
}

// message is the mail of a notice (RFC 5322). Its Message-ID is the same when
// it is sent again, so that a second one is recognised.
func (m Mail) message(n Notice) string {
	var b strings.Builder
	domain := "certificate-dns"
	if _, d, ok := strings.Cut(m.From, "@"); ok {
		domain = d
	}
	header := func(name, value string) {
		b.WriteString(name + ": " + strings.Join(strings.Fields(value), " ") + "\r\n")
	}
	header("From", (&mail.Address{Name: "certificate-dns", Address: m.From}).String())
	header("To", strings.Join(m.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", title(n)))
	header("Date", time.Now().Format(time.RFC1123Z))
	header("Message-ID", "<"+n.ID+"@"+domain+">")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "8bit")
	b.WriteString("\r\n")
	for line := range strings.Lines(text(n)) {
		b.WriteString(strings.TrimRight(line, "\r\n") + "\r\n")
	}
	return b.String()
}

// title is a notice in one line.
func title(n Notice) string {
	switch {
	case n.Stage == StageExpired:
		return fmt.Sprintf("EXPIRED: the certificate of %s", n.Name)
	case n.Left == 1:
		return fmt.Sprintf("The certificate of %s expires in 1 day", n.Name)
	}
	return fmt.Sprintf("The certificate of %s expires in %d days", n.Name, n.Left)
}

// text is a notice for people.
func text(n Notice) string {
	verb := "expires"
	if n.Stage == StageExpired {
		verb = "expired"
	}
	out := fmt.Sprintf("The certificate that %s shows %s on %s and has not been renewed.\n\nNames: %s\nIssuer: %s\nSerial: %s\nSHA-256: %s\n",
		n.Endpoint, verb, n.NotAfter.UTC().Format("2006-01-02 15:04 UTC"), strings.Join(n.Names, ", "), n.Issuer, n.Serial, n.Fingerprint)
	if n.Unreachable != "" {
		out += "\nIt was seen earlier; now the server cannot be looked at: " + n.Unreachable + "\n"
	}
	return out + "\nRenew it and replace it on the server. If it was renewed, the server still shows the old one.\n"
}
