//go:build unix

package postgrestest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// RequireTLS has the server take connections over TLS only, with a certificate of
// its own for 127.0.0.1. It returns the file of what trusts that.
func (s *Server) RequireTLS(tb testing.TB) (ca string) {
	tb.Helper()
	ca, key := filepath.Join(s.folder, "cert.pem"), filepath.Join(s.folder, "key.pem")
	rules := filepath.Join(s.folder, "hba.conf")
	cert, private, err := serverCertificate()
	if err != nil {
		tb.Fatal(err)
	}
	err = errors.Join(s.write(ca, cert), s.write(key, private), s.write(rules, []byte("hostssl all all 127.0.0.1/32 scram-sha-256\n")))
	s.settings = append(s.settings, "ssl=on", "ssl_cert_file="+ca, "ssl_key_file="+key, "hba_file="+rules)
	if err = errors.Join(err, s.Stop()); err == nil {
		err = s.Resume()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return ca
}

// serverCertificate makes a certificate that is its own CA, and its key, in PEM.
func serverCertificate() (cert, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "postgres"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
