package deploytest

import (
	"net"
	"testing"

	"github.com/tjfoc/gmsm/gmtls"
)

// ServeTLCP answers handshakes of TLCP until the test ends, each with what config
// returns then; nil hangs up. It returns the address.
func ServeTLCP(t testing.TB, config func() *gmtls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if current := config(); current != nil {
					_ = gmtls.Server(conn, current).Handshake() // its client tells what became of it
				}
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// LoadTLCP reads the files of a pair as a server of TLCP does.
func LoadTLCP(fullchain, key, encryptionFullchain, encryptionKey string) (*gmtls.Config, error) {
	signing, err := gmtls.LoadX509KeyPair(fullchain, key)
	if err != nil {
		return nil, err
	}
	encryption, err := gmtls.LoadX509KeyPair(encryptionFullchain, encryptionKey)
	if err != nil {
		return nil, err
	}
	signing.Certificate = signing.Certificate[:1]
	return &gmtls.Config{GMSupport: gmtls.NewGMSupport(), Certificates: []gmtls.Certificate{signing, encryption}}, nil
}
