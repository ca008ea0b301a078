// Command benchdns measures certificate-dns beside the authoritative servers
// that Debian has, on this machine and over loopback: the server has one
// processor, the clients another, and rounds go from server to server so that
// what else the machine does hits all alike. It prints medians and how they
// compare with the targets.
//
// It is no test: whatever the figures are, it exits 0. It exits 1 when a server
// could not be started or did not answer right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// bench is one run of everything.
type bench struct {
	names   int
	rounds  int
	seconds int
	server  string // the certificate-dns command
	only    []string

	dir     string
	zone    string // the zone file
	queries string
	apiPort int

	accounts []account

	servers []*server
	missing []string
	results map[string]*result
	faults  []error
}

func main() {
	b := &bench{results: map[string]*result{}}
	flag.IntVar(&b.names, "names", 10_000, "how many names the zone has")
	flag.IntVar(&b.rounds, "rounds", 5, "how many rounds there are; the table has medians")
	flag.IntVar(&b.seconds, "seconds", 2, "how long each measurement of a round takes")
	flag.StringVar(&b.server, "server", "bin/certificate-dns", "the certificate-dns command")
	flag.StringVar(&b.dir, "dir", "", "where files are kept, empty for a temporary folder; what acknowledged updates cost depends on its disk")
	only := flag.String("only", "", "the servers to run, separated by commas; empty for all")
	flag.Parse()
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	if err := b.main(); err != nil {
		fmt.Fprintln(os.Stderr, "benchdns:", err)
		os.Exit(1)
	}
}

func (b *bench) main() error {
	for _, need := range []string{"taskset", "dnsperf"} {
		if _, err := exec.LookPath(need); err != nil {
			return fmt.Errorf("%w; install it: apt-get install util-linux dnsperf", err)
		}
	}
	if runtime.NumCPU() > 1 { // taken from where this process may run
		if err := onClientCPU(); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if b.server, err = filepath.Abs(b.server); err != nil {
		return err
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "benchdns-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(b.dir) }() // a temporary folder
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.report(os.Stdout)
	return errors.Join(b.faults...)
}

// onClientCPU starts this command again where the clients run. It returns only
// with an error.
func onClientCPU() error {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(taskset, append([]string{"taskset", "-c", clientCPU, self}, os.Args[1:]...), os.Environ())
}

// start starts all servers that are there, with the same records.
func (b *bench) start(ctx context.Context) error {
	b.zone, b.queries = filepath.Join(b.dir, "zone"), filepath.Join(b.dir, "queries")
	err := errors.Join(writeZone(b.zone, b.names), writeQueries(b.queries, b.names))
	if err != nil {
		return err
	}
	if b.apiPort, err = freePort(); err != nil {
		return err
	}
	for _, p := range programs() {
		if len(b.only) > 0 && !slices.ContainsFunc(b.only, func(name string) bool { return strings.HasPrefix(p.name, name) }) {
			continue
		}
		if _, err := exec.LookPath(p.needs); err != nil {
			b.missing = append(b.missing, fmt.Sprintf("%s (%s is not there; apt-get install %s)", p.name, p.needs, p.pkg))
			continue
		}
		fmt.Fprintln(os.Stderr, "starting", p.name)
		s, err := b.launch(ctx, p)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, s)
		b.results[s.name] = &result{}
	}
	return nil
}

func (b *bench) stop() {
	for _, s := range b.servers {
		_ = s.stop() // the figures are there
	}
}
