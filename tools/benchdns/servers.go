package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// zone is the name of the zone everywhere, keyName and keySecret who may change
// it. The secret is of this measurement only.
const (
	zone      = "bench.test."
	keyName   = "bench-key."
	keySecret = "c2VjcmV0IG9mIHRoaXMgbWVhc3VyZW1lbnQgb25seSE="
)

// nameOf is the i-th name of the zone.
func nameOf(i int) string { return fmt.Sprintf("h%07d.%s", i, zone) }

// valueOf is a value as ACME has them: 43 characters.
func valueOf(i int) string { return fmt.Sprintf("%043d", i) }

// server is one that runs.
type server struct {
	cmd  *exec.Cmd
	addr string
	took time.Duration // from the start to the first answer
}

// launch starts a server on processor 0 with a zone of size names. What it
// stores outlives it, so that the next start is one with data.
func (p plan) launch(ctx context.Context, name string, size int) (*server, error) {
	dir := filepath.Join(p.dir, fmt.Sprintf("%s-%d", name, size))
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // BIND and Knot drop no rights here
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	make := map[string]func(dir string, port, size int) ([]string, error){
		"certificate-dns": p.ours, "nsd": nsd, "knot": knot, "bind": bind,
	}[name]
	if make == nil {
		return nil, fmt.Errorf("there is no server %q", name)
	}
	argv, err := make(dir, port, size)
	if err != nil {
		return nil, err
	}
	s := &server{addr: fmt.Sprintf("127.0.0.1:%d", port)}
	fresh := filepath.Join(dir, "filled")
	if err := s.start(ctx, dir, argv); err != nil {
		return nil, err
	}
	if _, err := os.Stat(fresh); err == nil || name != "certificate-dns" {
		return s, s.await(ctx, nameOf(size-1))
	}
	if err := errors.Join(s.await(ctx, zone), fill(ctx, s.addr, size), os.WriteFile(fresh, nil, 0o600)); err != nil {
		s.stop()
		return nil, err
	}
	s.stop()
	if err := s.start(ctx, dir, argv); err != nil {
		return nil, err
	}
	return s, s.await(ctx, nameOf(size-1))
}

func (s *server) start(ctx context.Context, dir string, argv []string) error {
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	s.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", "0"}, argv...)...) //nolint:gosec // the arguments are ours
	s.cmd.Stdout, s.cmd.Stderr = logs, logs
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return s.cmd.Start()
}

// await waits until the server answers for name.
func (s *server) await(ctx context.Context, name string) error {
	begin := time.Now()
	client := dns.Client{Timeout: 50 * time.Millisecond}
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeTXT)
	if name == zone {
		m.SetQuestion(name, dns.TypeSOA)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for time.Since(begin) < 5*time.Minute {
		reply, _, err := client.ExchangeContext(ctx, m, s.addr)
		if err == nil && len(reply.Answer) > 0 {
			s.took = time.Since(begin)
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.stop()
			return ctx.Err()
		}
	}
	s.stop()
	return fmt.Errorf("%s does not answer for %s", s.addr, name)
}

// stop ends the server, and waits until it has stored what it must.
func (s *server) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	_ = s.cmd.Wait()
}

func freePort(ctx context.Context) (int, error) {
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// writeZone writes the zone as a master file.
func writeZone(dir string, size int) (string, error) {
	path := filepath.Join(dir, "zone")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "$TTL 60\n%s SOA ns1.%s hostmaster.%s 1 3600 600 1209600 5\n%s NS ns1.%s\nns1.%s A 127.0.0.1\n", zone, zone, zone, zone, zone, zone)
	for i := range size {
		fmt.Fprintf(w, "%s TXT \"%s\"\n", nameOf(i), valueOf(i))
	}
	return path, errors.Join(w.Flush(), f.Close())
}

// ours has every feature on: cookies, and rate limiting that counts each reply
// and limits none.
func (p plan) ours(dir string, port, _ int) ([]string, error) {
	binary, err := filepath.Abs(p.binary)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "certificate-dns.hcl")
	return []string{binary, "serve", conf}, os.WriteFile(conf, []byte(oursConfig(dir, port)), 0o600)
}

func nsd(dir string, port, size int) ([]string, error) {
	path, err := writeZone(dir, size)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "nsd.conf")
	text := fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "%[2]s"
  database: ""
  pidfile: "%[2]s/pid"
  xfrdfile: "%[2]s/xfrd"
  xfrdir: "%[2]s"
  zonelistfile: "%[2]s/list"
  logfile: "%[2]s/nsd.log"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "%[3]s"
  zonefile: "%[4]s"
`, port, dir, zone, path)
	return []string{"nsd", "-d", "-c", conf}, os.WriteFile(conf, []byte(text), 0o600)
}

func knot(dir string, port, size int) ([]string, error) {
	path, err := writeZone(dir, size)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "knot.conf")
	text := fmt.Sprintf(`server:
  listen: 127.0.0.1@%d
  rundir: "%[2]s"
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: "%[2]s"
key:
  - id: %[5]s
    algorithm: hmac-sha256
    secret: %[6]s
acl:
  - id: update
    key: %[5]s
    action: update
zone:
  - domain: %[3]s
    storage: "%[2]s"
    file: "%[4]s"
    zonefile-sync: -1
    journal-content: changes
    acl: update
`, port, dir, zone, path, keyName, keySecret)
	return []string{"knotd", "-c", conf}, os.WriteFile(conf, []byte(text), 0o600)
}

func bind(dir string, port, size int) ([]string, error) {
	path, err := writeZone(dir, size)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "named.conf")
	text := fmt.Sprintf(`options {
  directory "%[2]s";
  pid-file "%[2]s/pid";
  session-keyfile "%[2]s/session";
  listen-on port %[1]d { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no;
  notify no;
  dnssec-validation no;
  minimal-responses yes;
};
controls { };
key "%[5]s" { algorithm hmac-sha256; secret "%[6]s"; };
zone "%[3]s" { type primary; file "%[4]s"; allow-update { key "%[5]s"; }; };
`, port, dir, zone, path, keyName, keySecret)
	return []string{"named", "-g", "-n", "1", "-c", conf}, os.WriteFile(conf, []byte(text), 0o600)
}

// usage is the CPU time and memory of the server's processes.
func (s *server) usage() (cpu time.Duration, bytes int64, err error) {
	pids, err := processes(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	for _, pid := range pids {
		cpu += cpuOf(pid)
		bytes += memoryOf(pid)
	}
	return cpu, bytes, nil
}

// processes lists a process and all below it.
func processes(root int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields := statOf(pid); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		for pid, parent := range parents {
			if parent == all[i] {
				all = append(all, pid)
			}
		}
	}
	return all, nil
}

// statOf returns the fields of /proc/PID/stat after the name, state first.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// cpuOf is the run time of a process, which the system counts in hundredths of
// a second.
func cpuOf(pid int) time.Duration {
	fields := statOf(pid)
	if len(fields) < 13 {
		return 0 // it has ended
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memoryOf is what a process has in memory, with its share of what it shares.
func memoryOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

// oursConfig is the configuration of certificate-dns.
func oursConfig(dir string, port int) string {
	return fmt.Sprintf(`listen  = ["127.0.0.1:%d"]
storage = "%s/records"

rate_limit {
  responses_per_second = 1000000000
  exempt               = []
}

zone "bench.test" {
  nameservers = ["ns1.bench.test"]
  ttl         = 60
  records     = "ns1 A 127.0.0.1\n"
}
`, port, dir)
}
