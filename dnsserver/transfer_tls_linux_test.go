package dnsserver

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Updates and transfers go over TLS too (RFC 9103), and BIND follows by it.
func TestTransfer_overTLS(t *testing.T) {
	path := program(t, "named", "bind9")
	own := reservePort(t)
	config := updateConfig()
	config.Keys = append(config.Keys, TSIGKey{Name: "follow", Secret: config.Keys[0].Secret})
	config.Zones[0].Secondaries = []Secondary{{Name: "BIND", Address: own.String(), Key: "follow"}}
	config.Zones[0].TransferFrom = []string{"127.0.0.0/8"}
	s, _ := startTLS(t, config)
	at := s.TLSAddrs()[0]

	conn, err := tls.Dial("tcp", at.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT over-tls"))
	signed, _ := signer(t, "all").Sign(wire(t, m), nil, time.Now())
	writeTCP(t, conn, signed, wire(t, axfr()))
	if reply := unwire(t, readTCP(t, conn)); reply.Rcode != dns.RcodeSuccess || reply.IsTsig() == nil {
		t.Errorf("update: %v", reply)
	}
	if all := lines(unwire(t, readTCP(t, conn)).Answer); !slices.Contains(all, `a.dyn.example.com. 60 IN TXT "over-tls"`) {
		t.Errorf("transfer: %q, want the record", all)
	}

	folder := t.TempDir()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
	if err := os.WriteFile(filepath.Join(folder, "root.pem"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := bindOptions(folder, own) + fmt.Sprintf(`tls "dot" { ca-file %q; remote-hostname "ns.example.com"; };
zone "example.com" {
	type secondary;
	primaries { 127.0.0.1 port %d key "follow" tls "dot"; };
	file "zone"; masterfile-format text;
	allow-notify { key "follow"; };
	allow-transfer { any; };
};
`, filepath.Join(folder, "root.pem"), at.Port())
	d := startDaemon(t, path, own, map[string]string{"named.conf": conf}, folder, "-g", "-4", "-n", "1", "-c", filepath.Join(folder, "named.conf"))
	settles(t, time.Minute, func() error {
		_, err := soaSerial(own, "example.com.")
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, d.log())
		}
		return err
	})
	put(t, s, "b.dyn.example.com", "more")
	serial, _ := s.serialAt("example.com.")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if lags, err := s.Settled(ctx, "example.com", serial); err != nil {
		t.Fatalf("%v: %+v\n%s", err, lags, d.log())
	}
	if got, want := zoneOfPeer(t, own, "example.com."), zoneOfServer(t, s.Addr(), "example.com."); !slices.Equal(got, want) {
		t.Errorf("it differs:\n%s", diffLines(got, want))
	}
}
