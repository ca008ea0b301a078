package challenge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// startUnbound starts a resolver that checks the signatures of signed.example,
// which a server has, by an anchor.
func startUnbound(t *testing.T, server, anchor string) string {
	t.Helper()
	program, err := exec.LookPath("unbound")
	if err != nil {
		program = "/usr/sbin/unbound" // not on everybody's PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("unbound is not installed: apt-get install -y --no-install-recommends unbound")
	}
	address, folder := port.Address(t), t.TempDir()
	_, own, _ := net.SplitHostPort(address)
	_, its, _ := net.SplitHostPort(server)
	config := fmt.Sprintf("server:\n  interface: 127.0.0.1@%s\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n"+
		"  do-not-query-localhost: no\n  module-config: \"validator iterator\"\n  trust-anchor: \"%s\"\nremote-control:\n  control-enable: no\n"+
		"stub-zone:\n  name: signed.example\n  stub-addr: 127.0.0.1@%s\n", own, anchor, its)
	path := filepath.Join(folder, "unbound.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-d", "-c", path)
	command.Dir, command.Cancel = folder, func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the context has ended it
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if _, err := dns.Exchange(new(dns.Msg).SetQuestion("signed.example.", dns.TypeSOA), address); err == nil {
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal("unbound does not answer")
		}
	}
}

// A zone that a validator does not believe is told apart from one that does not
// answer, before a CA is asked to look.
func TestLookup_bogusSignaturesAreNamed(t *testing.T) {
	t.Parallel()
	server, err := dnsserver.New(dnsserver.Config{
		DNSSEC: dnsserver.DNSSEC{Folder: t.TempDir()},
		Zones:  []dnsserver.Zone{{Name: "signed.example", Signed: true, NameServers: []string{"ns.example.net"}, Records: "_acme-challenge.www CNAME here"}},
	}, dnsserver.NewMemoryStore(), nil)
	if err == nil {
		err = server.Start(t.Context(), "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	keys, err := dns.Exchange(new(dns.Msg).SetQuestion("signed.example.", dns.TypeDNSKEY), server.Addr().String())
	if err != nil || len(keys.Answer) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	good := keys.Answer[0].(*dns.DNSKEY).ToDS(dns.SHA256)
	wrong := *good
	wrong.Digest = "00" + good.Digest[2:]
	believing := &Resolver{Servers: []string{startUnbound(t, server.Addr().String(), good.String())}}
	if target, _, err := talk(t, believing).follow(t.Context(), "_acme-challenge.www.signed.example"); err != nil || target != "here.signed.example" {
		t.Errorf("with the right anchor: %q, %v", target, err)
	}
	doubting := &Resolver{Servers: []string{startUnbound(t, server.Addr().String(), wrong.String()), server.Addr().String()}}
	_, _, err = talk(t, doubting).follow(t.Context(), "_acme-challenge.www.signed.example")
	if !errors.Is(err, ErrBogus) {
		t.Errorf("with a wrong anchor: %v, want %v", err, ErrBogus)
	}
}
