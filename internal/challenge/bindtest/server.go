//go:build unix

package bindtest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

const (
	// Zone is what the server is primary for. Every name below has the address
	// 127.0.0.1.
	Zone = "example.test"
	// KeyName is the key that may change TXT and CNAME records below Zone.
	KeyName = "terraform"
	// OtherKeyName is a key that may change nothing.
	OtherKeyName = "other"
	// Algorithm is that of both keys.
	Algorithm = "hmac-sha256"

	patience = 30 * time.Second // for the server to start or to stop
)

// Server is a running BIND.
type Server struct {
	// Address is where it answers, as host:port, over UDP and TCP.
	Address string
	// Port is that of Address.
	Port int
	// Secret, in base64, is that of both keys.
	Secret string

	folder  string
	process *os.Process
	ended   chan error
}

// Run starts a server that ends with the test. Without BIND the test is skipped.
func Run(tb testing.TB) *Server {
	tb.Helper()
	program, err := exec.LookPath("named")
	if err != nil {
		program = "/usr/sbin/named" // not on everybody's PATH
	}
	if _, err := os.Stat(program); err != nil {
		tb.Skip("BIND is not installed: apt-get install -y --no-install-recommends bind9")
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails (Go 1.24)
	s := &Server{folder: tb.TempDir(), Secret: base64.StdEncoding.EncodeToString(secret[:])}
	tb.Cleanup(func() {
		if err := s.stop(); err != nil {
			tb.Error(err)
		}
	})
	// Over UDP somebody else may take the port between the choice and its use.
	for range 3 {
		if err = s.start(tb, program); err == nil {
			return s
		}
	}
	tb.Fatal(err)
	return nil
}

func (s *Server) start(tb testing.TB, program string) error {
	if err := s.pickPort(tb); err != nil {
		return err
	}
	for name, text := range map[string]string{"named.conf": s.configuration(), "zone": zoneFile} {
		if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(program, "-g", "-4", "-n", "1", "-c", filepath.Join(s.folder, "named.conf"))
	command.Dir, command.Stdout, command.Stderr = s.folder, log, log
	command.SysProcAttr = &syscall.SysProcAttr{}
	// Linux ties a process to the thread that started it, which therefore stays.
	tie(command.SysProcAttr)
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			ended <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start named: %w", err)
	}
	s.process, s.ended = command.Process, ended
	return s.await()
}

// pickPort reserves a port over TCP that is free over UDP.
func (s *Server) pickPort(tb testing.TB) error {
	for range 20 {
		s.Address = port.Address(tb)
		udp, err := net.ListenPacket("udp", s.Address)
		if err != nil {
			continue
		}
		_ = udp.Close()
		at, err := netip.ParseAddrPort(s.Address)
		s.Port = int(at.Port())
		return err
	}
	return errors.New("found no port that is free over UDP and TCP")
}

func (s *Server) configuration() string {
	return fmt.Sprintf(`options {
	directory %[1]q;
	pid-file none;
	session-keyfile none;
	listen-on port %[2]d { 127.0.0.1; };
	recursion no;
	dnssec-validation no;
	notify no;
};
controls { };
key %[3]q { algorithm %[5]s; secret %[6]q; };
key %[4]q { algorithm %[5]s; secret %[6]q; };
zone %[7]q {
	type primary;
	file "zone";
	update-policy { grant %[3]q zonesub TXT CNAME; };
};
`, s.folder, s.Port, KeyName, OtherKeyName, Algorithm, s.Secret, Zone)
}

const zoneFile = `$TTL 60
@ SOA ns1 hostmaster 1 3600 600 86400 5
@ NS ns1
ns1 A 127.0.0.1
* A 127.0.0.1
`

// await waits until the server answers for its zone.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		client := &dns.Client{Net: "tcp", Timeout: time.Second}
		answer, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(Zone+".", dns.TypeSOA), s.Address)
		if err == nil && answer.Authoritative {
			return nil
		}
		select {
		case <-tick.C:
		case died := <-s.ended:
			s.process = nil
			return fmt.Errorf("named ended: %w\n%s", died, s.log())
		case <-ctx.Done():
			return fmt.Errorf("named does not answer: %w\n%s", err, s.log())
		}
	}
}

// stop ends the server.
func (s *Server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop named: %w", err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-s.ended:
		return err
	case <-timer.C:
		return errors.Join(fmt.Errorf("named does not end\n%s", s.log()), s.process.Kill())
	}
}

func (s *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(s.folder, "log")) // for a message only
	return text[max(0, len(text)-2000):]
}

// Add adds a value as somebody else would, with the same key.
func (s *Server) Add(tb testing.TB, name, value string) {
	tb.Helper()
	key := dns.Fqdn(KeyName)
	client := &dns.Client{Net: "tcp", Timeout: patience, TsigSecret: map[string]string{key: s.Secret}}
	update := new(dns.Msg).SetUpdate(dns.Fqdn(Zone))
	update.Insert([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{value}}})
	update.SetTsig(key, dns.Fqdn(Algorithm), 300, time.Now().Unix())
	if answer, _, err := client.Exchange(update, s.Address); err != nil || answer.Rcode != dns.RcodeSuccess {
		tb.Fatal(answer, err)
	}
}

// CNAME is where a name leads; empty without a CNAME.
func (s *Server) CNAME(tb testing.TB, name string) string {
	tb.Helper()
	client := &dns.Client{Net: "tcp", Timeout: patience}
	answer, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeCNAME), s.Address)
	if err != nil {
		tb.Fatal(err)
	}
	for _, record := range answer.Answer {
		if cname, ok := record.(*dns.CNAME); ok {
			return strings.TrimSuffix(cname.Target, ".")
		}
	}
	return ""
}

// TXT are the values at a name.
func (s *Server) TXT(tb testing.TB, name string) (values []string) {
	tb.Helper()
	client := &dns.Client{Net: "tcp", Timeout: patience}
	answer, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), s.Address)
	if err != nil {
		tb.Fatal(err)
	}
	for _, record := range answer.Answer {
		if txt, ok := record.(*dns.TXT); ok {
			values = append(values, txt.Txt...)
		}
	}
	return values
}
