package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// program is one of the servers that are compared.
type program struct {
	name    string
	needs   string // the command that must be there
	pkg     string // the Debian package that has it
	updates bool   // it takes dynamic updates
	echo    bool   // it is no DNS server
	// prepare writes what the server needs into dir, which is its own, and returns
	// its command.
	prepare func(b *bench, dir string, port int) ([]string, error)
}

// ours is the server that the others are compared with.
const ours = "certificate-dns"

func programs() []program {
	return []program{
		{name: ours, needs: "taskset", pkg: "util-linux", updates: true, prepare: prepareOurs},
		{name: "Knot", needs: "knotd", pkg: "knot", updates: true, prepare: prepareKnot},
		{name: "NSD", needs: "nsd", pkg: "nsd", prepare: prepareNSD},
		{name: "BIND", needs: "named", pkg: "bind9", updates: true, prepare: prepareBIND},
		{name: "C echo (the limit)", needs: "cc", pkg: "gcc libc6-dev", echo: true, prepare: prepareEcho},
	}
}

// configure writes a configuration file and returns its path.
func configure(dir, format string, args ...any) (string, error) {
	path := filepath.Join(dir, "conf")
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644)
}

// prepareOurs leaves everything on that is on by default: cookies, rate limit,
// query log. The records come by updates, once the server is there.
func prepareOurs(b *bench, dir string, port int) ([]string, error) {
	path, err := configure(dir, `
listen  = ["127.0.0.1:%d"]
storage = "records"
log { level = "warn" }
api {
  listen          = "127.0.0.1:%d"
  insecure_http   = true
  trusted_proxies = ["127.0.0.1"]
}
acme_dns {
  register           = true
  updates_per_minute = -1
}
zone %q {
  nameservers = ["ns.%[3]s"]
  records     = "ns 3600 IN A 192.0.2.1"
}
tsig_key %[4]q {
  secret  = %[5]q
  updates = ["*.%[3]s"]
}
`, port, b.apiPort, zoneName, keyName, keySecret)
	return []string{b.server, "serve", path}, err
}

func prepareKnot(b *bench, dir string, port int) ([]string, error) {
	path, err := configure(dir, `
server:
    listen: 127.0.0.1@%d
    rundir: %[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: %[2]s
key:
  - id: %[3]s
    algorithm: %[4]s
    secret: %[5]s
acl:
  - id: updates
    action: update
    key: %[3]s
zone:
  - domain: %[6]s
    file: %[7]s
    zonefile-sync: -1
    acl: updates
`, port, dir, keyName, keyAlgorithm, keySecret, zoneName, b.zone)
	return []string{"knotd", "-c", path}, err
}

func prepareNSD(b *bench, dir string, port int) ([]string, error) {
	path, err := configure(dir, `
server:
    ip-address: 127.0.0.1@%d
    server-count: 1
    username: ""
    database: ""
    zonesdir: %[2]q
    pidfile: "%[2]s/pid"
    xfrdfile: "%[2]s/xfrd"
    xfrdir: %[2]q
    zonelistfile: "%[2]s/zones"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: %[3]s
    zonefile: %[4]q
`, port, dir, zoneName, b.zone)
	return []string{"nsd", "-d", "-c", path}, err
}

// prepareBIND gives BIND a copy of the zone, beside which it puts its journal.
func prepareBIND(b *bench, dir string, port int) ([]string, error) {
	path, err := configure(dir, `
options {
	directory %q;
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	notify no;
	minimal-responses yes;
	querylog no;
};
controls { };
logging { channel errors { stderr; severity error; }; category default { errors; }; };
key %q { algorithm %s; secret %q; };
zone %q { type primary; file "zone"; allow-update { key %[3]q; }; };
`, dir, port, keyName, keyAlgorithm, keySecret, zoneName)
	if err != nil {
		return nil, err
	}
	return []string{"named", "-f", "-n", "1", "-c", path}, writeZone(filepath.Join(dir, "zone"), b.names)
}

//go:embed echo/echo.c
var echoSource []byte

func prepareEcho(_ *bench, dir string, port int) ([]string, error) {
	source, built := filepath.Join(dir, "echo.c"), filepath.Join(dir, "echo")
	if err := os.WriteFile(source, echoSource, 0o644); err != nil {
		return nil, err
	}
	if text, err := exec.Command("cc", "-O2", "-o", built, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the echo server: %w\n%s", err, text)
	}
	return []string{built, fmt.Sprint(port)}, nil
}
