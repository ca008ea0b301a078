package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Web is an HTTPS server that serves the pair in its files, and takes over new
// files only when Reload is called: as nginx does, without nginx.
type Web struct {
	// Address is where it listens.
	Address string
	// Fullchain and PrivateKey are its files. At the start they hold a pair
	// that expires in a day.
	Fullchain, PrivateKey string

	pair atomic.Pointer[tls.Certificate]
}

func (l *Lab) startWeb(context.Context) error {
	folder := filepath.Join(l.Directory, "web")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("create the web server's folder: %w", err)
	}
	first, err := newIdentity("www.example."+Zone, "*."+Zone)
	if err != nil {
		return err
	}
	w := &Web{Fullchain: filepath.Join(folder, "fullchain.pem"), PrivateKey: filepath.Join(folder, "privkey.pem")}
	if err := errors.Join(os.WriteFile(w.Fullchain, first.certPEM, 0o644), os.WriteFile(w.PrivateKey, first.keyPEM, 0o600)); err != nil {
		return fmt.Errorf("write the web server's first pair: %w", err)
	}
	if err := w.Reload(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	w.Address = listener.Addr().String()
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "served by certificate-lab\n")
		}),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.pair.Load(), nil },
		},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with Close
	l.closers = append(l.closers, server.Close)
	l.Web = w
	return nil
}

// Reload takes the files over. With files that do not fit together it goes on
// with what it served before and says why.
func (w *Web) Reload() error {
	pair, err := tls.LoadX509KeyPair(w.Fullchain, w.PrivateKey)
	if err != nil {
		return fmt.Errorf("reload the web server: %w", err)
	}
	w.pair.Store(&pair)
	return nil
}
