package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// writePair writes a self-signed certificate with a serial number, and its key,
// as if at a time of its own.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeAt(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), serial)
	writeAt(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), serial)
}

func writeAt(t *testing.T, path, text string, at int64) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1000000000+at, 0)); err != nil {
		t.Fatal(err)
	}
}

func TestServe_apiServesARenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	block := &apiBlock{
		Listen: "127.0.0.1:0", CertificateFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
	log := slog.New(slog.DiscardHandler)
	conf := config{api: block}
	if _, err := openCertificates(conf, nil, log); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("without files: %v, want an error that names tls.crt", err)
	}
	writePair(t, block.CertificateFile, block.KeyFile, 1)
	certificates, err := openCertificates(conf, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	a, err := startAPI(t.Context(), block, nil, http.NotFoundHandler(), certificates.forAPI(), dnsserver.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer a.server.Close()
	served := func(want int64) {
		t.Helper()
		dialer := &net.Dialer{Timeout: 5 * time.Second}
		conn, err := tls.DialWithDialer(dialer, "tcp", strings.TrimPrefix(a.url, "https://"),
			&tls.Config{InsecureSkipVerify: true}) // which certificate comes is what is tested
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Errorf("serial %d, want %d", got, want)
		}
	}
	served(1)
	writePair(t, block.CertificateFile, block.KeyFile, 2)
	served(2)
	writeAt(t, block.CertificateFile, "half a certif", 3)
	served(2)
	writePair(t, block.CertificateFile, block.KeyFile, 4)
	served(4)
}
