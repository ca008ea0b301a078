package dnsserver

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// daemon is a real name server that ends with the test, and at the latest with
// its process.
type daemon struct {
	address netip.AddrPort
	folder  string
	process *os.Process
	ended   chan error
}

// reservePort is an address whose port nobody else gets until the test ends.
func reservePort(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(port.Address(t))
}

// startDaemon writes the file that configure returns and starts a program with
// these arguments, in which {conf} stands for the file. The folder is its own.
func startDaemon(t testing.TB, path string, address netip.AddrPort, files map[string]string, folder string, args ...string) *daemon {
	t.Helper()
	d := &daemon{address: address, folder: folder}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(d.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.run(t, path, args...)
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) run(t testing.TB, path string, args ...string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(path, args...)
	command.Dir, command.Stdout, command.Stderr = d.folder, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	d.ended = make(chan error, 1)
	go func() { // its thread stays, since the process dies with it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			d.ended <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	d.process = command.Process
}

// stop ends the program and what it started.
func (d *daemon) stop() {
	if d.process == nil {
		return
	}
	_ = d.process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		_ = err // how it ended does not matter
	case <-time.After(10 * time.Second):
	}
	_ = syscall.Kill(-d.process.Pid, syscall.SIGKILL) // what is left
	d.process = nil
}

func (d *daemon) log() string {
	text, _ := os.ReadFile(filepath.Join(d.folder, "log")) // for a message only
	return string(text[max(0, len(text)-3000):])
}

// settles waits until what reports no more problem.
func settles(t testing.TB, patience time.Duration, what func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", patience, err)
		}
		<-tick.C
	}
}

// soaSerial asks a server for the serial of a zone.
func soaSerial(address netip.AddrPort, zone string) (uint32, error) {
	client := &dns.Client{Timeout: 2 * time.Second}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeSOA), address.String())
	if err != nil {
		return 0, err
	}
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("it answers %s", dns.RcodeToString[reply.Rcode])
}
