//go:build unix

package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// updated sends an update that a key signed, over UDP, and returns the RCODE of
// the answer and the error in its TSIG; -1 without an answer.
func updated(address string, signed []byte) (rcode int, tsigError uint16) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return -1, 0
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err = conn.Write(signed); err != nil {
		return -1, 0
	}
	n, err := conn.Read(buf)
	if err != nil || n < 12 {
		return -1, 0
	}
	if s, err := tsig.Find(buf[:n]); err == nil && s != nil {
		tsigError = s.Error
	}
	return int(buf[3] & 0xf), tsigError
}

func signedUpdate(t *testing.T, secret, name string) []byte {
	t.Helper()
	k, err := tsig.NewKey("updater", "", tsig.NewSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg).SetUpdate("auth.example.com.")
	m.Insert([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name + ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5}, Txt: []string{name}}})
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	signed, _ := k.Sign(wire, nil, time.Now())
	return signed
}

// What was acknowledged over DNS survives kill -9, and what was captured before
// is not taken again after it.
func TestServe_acknowledgedUpdatesSurviveKill(t *testing.T) {
	config := writeConfig(t)
	secret := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", 32)))
	keyFile := filepath.Join(filepath.Dir(config), "updater.key")
	writeKey := func(secret string) {
		t.Helper()
		if err := os.WriteFile(keyFile, fmt.Appendf(nil, "key \"updater\" {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n", secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeKey(secret)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "tsig_key \"updater\" {\n  secret_file = %q\n  updates     = [\"*.auth.example.com\"]\n}\n", keyFile)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, config)
	var mu sync.Mutex
	var acknowledged []string
	begun := time.Now().Add(time.Second)
	captured := signedUpdate(t, secret, "captured.auth.example.com")
	if rcode, _ := updated(p.dns, captured); rcode != dns.RcodeSuccess {
		t.Fatalf("RCODE %d", rcode)
	}
	if err := p.client.Delete(t.Context(), "captured.auth.example.com", "captured.auth.example.com"); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	enough := make(chan struct{}, 1000)
	for w := range 8 {
		writers.Go(func() {
			for i := range 1000 {
				name := fmt.Sprintf("w%d-%d.auth.example.com", w, i)
				if rcode, _ := updated(p.dns, signedUpdate(t, secret, name)); rcode != dns.RcodeSuccess {
					return // killed
				}
				mu.Lock()
				acknowledged = append(acknowledged, name)
				mu.Unlock()
				select {
				case enough <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 200 {
		<-enough
	}
	p.end(t, syscall.SIGKILL, 5*time.Second)
	writers.Wait()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Unix() <= begun.Unix() { // signatures know seconds
		<-tick.C
	}
	again := startProcess(t, config)
	for _, name := range acknowledged {
		if got := again.txt(t, name); !slices.Equal(got, []string{name}) {
			t.Errorf("%s was acknowledged, and after kill -9 TXT = %q", name, got)
		}
	}
	if rcode, code := updated(again.dns, captured); rcode != dns.RcodeNotAuth || code != dns.RcodeBadTime {
		t.Errorf("what was captured before: RCODE %d, TSIG error %d; want NOTAUTH, BADTIME", rcode, code)
	}
	// Another secret is in force after a reload.
	other := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("v", 32)))
	writeKey(other)
	if err := again.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for n := 0; ; n++ {
		rcode, _ := updated(again.dns, signedUpdate(t, other, fmt.Sprintf("after%d.auth.example.com", n)))
		if rcode == dns.RcodeSuccess {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new secret is not in force: RCODE %d", rcode)
		}
	}
	if rcode, code := updated(again.dns, signedUpdate(t, secret, "b.auth.example.com")); rcode != dns.RcodeNotAuth || code != dns.RcodeBadSig {
		t.Errorf("the old secret: RCODE %d, TSIG error %d; want NOTAUTH, BADSIG", rcode, code)
	}
}
