//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// logged is a certificate-dns serve whose log, as JSON, a test reads.
type logged struct {
	cmd   *exec.Cmd
	lines chan map[string]any
}

// startLogged runs serve with a log in JSON, in an environment of its own.
func startLogged(t *testing.T, config string, env ...string) *logged {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append([]byte("log { format = \"json\" }\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("certificate-dns")
	if err != nil {
		t.Fatal(err)
	}
	l := &logged{exec.Command(path, "serve", config), make(chan map[string]any, 100)}
	l.cmd.Env = append(os.Environ(), env...)
	stderr, err := l.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.cmd.Process.Kill(); _ = l.cmd.Wait() })
	go func() {
		defer close(l.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			var line map[string]any
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				line = map[string]any{"msg": "not JSON: " + scanner.Text()}
			}
			l.lines <- line
		}
	}()
	return l
}

// until reads the log until a message and returns its line, and the ones before.
func (l *logged) until(t *testing.T, msg string) (line map[string]any, before []map[string]any) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case line, ok := <-l.lines:
			if !ok {
				t.Fatalf("the server ended before it said %q: %v", msg, before)
			}
			if line["msg"] == msg {
				return line, before
			}
			before = append(before, line)
		case <-deadline:
			t.Fatalf("%q was not said within 10 s: %v", msg, before)
		}
	}
}

func (l *logged) hup(t *testing.T) {
	t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func replaceIn(t *testing.T, path, old, with string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s does not have %q: %v", path, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestServe_reloadsOnSIGHUP(t *testing.T) {
	config := writeConfig(t)
	l := startLogged(t, config)
	line, _ := l.until(t, "serving")
	addr := line["dns"].([]any)[0].(string)
	p := &process{dns: addr}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	replaceIn(t, config, `nameservers = ["ns.example.net"]`, "\n  nameservers = [\"ns.example.net\"]\n  records = \"@ TXT reloaded\"\n")
	l.hup(t)
	l.until(t, "configuration reloaded")
	if got := p.txt(t, "auth.example.com"); !slices.Equal(got, []string{"reloaded"}) {
		t.Errorf("after a reload TXT = %q", got)
	}

	replaceIn(t, config, "reloaded", "worse\\nx A nowhere")
	replaceIn(t, config, "names  =", "nmaes  =")
	l.hup(t)
	line, _ = l.until(t, "the new configuration is not used, the old one stays in force")
	if said := line["error"].(string); !strings.Contains(said, "certificate-dns.hcl:") || !strings.Contains(said, "nmaes") {
		t.Errorf("the log says %q", said)
	}
	if got := p.txt(t, "auth.example.com"); !slices.Equal(got, []string{"reloaded"}) {
		t.Errorf("after a bad reload TXT = %q", got)
	}

	replaceIn(t, config, "nmaes  =", "names  =")
	replaceIn(t, config, "worse\\nx A nowhere", "good")
	replaceIn(t, config, "records.db", "other.db")
	l.hup(t)
	line, _ = l.until(t, "this changes at the next restart only, the old value stays in force")
	if line["what"] != "storage" {
		t.Errorf("what changes at a restart: %v", line)
	}
	l.until(t, "configuration reloaded")
	if got := p.txt(t, "auth.example.com"); !slices.Equal(got, []string{"good"}) {
		t.Errorf("after a mended reload TXT = %q", got)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("a connection from before the reloads: %v, want it open", err)
	}
}

func TestServe_tellsTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	l := startLogged(t, writeConfig(t), "NOTIFY_SOCKET="+path)
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 1000)
		if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := manager.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("told %q, %v; want %q", buf[:n], err, want)
		}
	}
	told("READY=1\nSTATUS=answering for 1 zones, API at http://127.0.0.1:")
	l.hup(t)
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1\n")
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told("STOPPING=1")
}

// listenBoth opens one port that the kernel picks, for both transports.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 32 {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if udp, err := net.ListenPacket("udp4", tcp.Addr().String()); err == nil {
			return tcp, udp
		}
		_ = tcp.Close()
	}
	t.Fatal("no port was free for both transports")
	return nil, nil
}

// TestServe_takesSocketsOver opens the ports as systemd does, and asks before
// the server runs: the query waits in the socket.
func TestServe_takesSocketsOver(t *testing.T) {
	tcp, udp := listenBoth(t)
	defer tcp.Close()
	defer udp.Close()
	addr := tcp.Addr().String()
	api, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	config := writeConfig(t)
	replaceIn(t, config, `listen  = ["127.0.0.1:0"]`, fmt.Sprintf("listen = [%q]", addr))
	replaceIn(t, config, `api { listen = "127.0.0.1:0" }`, fmt.Sprintf("api { listen = %q }", api.Addr()))

	m := new(dns.Msg)
	m.SetQuestion("auth.example.com.", dns.TypeSOA)
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	early, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if _, err := early.Write(query); err != nil {
		t.Fatal(err)
	}

	exe := program(t, "certificate-dns")
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=dns:dns:api exec "$0" serve "$1"`, exe, config)
	for _, s := range []interface{ File() (*os.File, error) }{udp.(*net.UDPConn), tcp.(*net.TCPListener), api.(*net.TCPListener)} {
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if err := early.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1500)
	n, err := early.Read(reply)
	if err != nil {
		t.Fatalf("no reply to the query that waited: %v\n%s", err, &log)
	}
	if err := m.Unpack(reply[:n]); err != nil || len(m.Answer)+len(m.Ns) == 0 && m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the reply is %v, %v", m, err)
	}
	if got := (&process{dns: addr}).txt(t, "auth.example.com"); len(got) > 0 {
		t.Errorf("over TCP: %q", got)
	}
	resp, err := http.Get("http://" + api.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}
