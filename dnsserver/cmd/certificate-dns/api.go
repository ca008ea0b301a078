package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
)

// api is the HTTP server of the API; without an api block it has none.
type api struct {
	server *http.Server
	url    string
	pair   *keyPair   // nil: not from files
	failed chan error // gets one error if serving ends by itself
}

// startAPI serves in the background, on the sockets that were inherited or else
// on one that it opens.
// The certificate is that of own, unless that is nil.
func startAPI(ctx context.Context, block *apiBlock, inherited []net.Listener, handler http.Handler, own *identity.Keeper, log *slog.Logger) (*api, error) {
	a := &api{failed: make(chan error, 1)}
	if block == nil {
		return a, nil
	}
	a.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
	scheme := "http"
	if block.tls() {
		a.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if own != nil {
			a.server.TLSConfig.GetCertificate = own.GetCertificate
		} else {
			var err error
			if a.pair, err = openKeyPair(block.CertificateFile, block.KeyFile, log); err != nil {
				return nil, err
			}
			a.server.TLSConfig.GetCertificate = a.pair.get
		}
		scheme = "https"
	}
	if len(inherited) == 0 {
		var conf net.ListenConfig
		l, err := conf.Listen(ctx, "tcp", block.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen for the API on %s: %w", block.Listen, err)
		}
		inherited = append(inherited, l)
	}
	l := inherited[0]
	a.url = scheme + "://" + l.Addr().String()
	go func() {
		var err error
		if block.tls() {
			err = a.server.ServeTLS(l, "", "")
		} else {
			err = a.server.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	}()
	return a, nil
}

// use serves the certificate that a changed block names.
func (a *api) use(block *apiBlock) {
	if a.pair != nil && block != nil {
		a.pair.move(block.CertificateFile, block.KeyFile)
	}
}

// shutDown finishes requests in hand, as long as ctx lasts.
func (a *api) shutDown(ctx context.Context, log *slog.Logger) error {
	if a == nil || a.server == nil {
		return nil
	}
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("API clients were cut off")
		return a.server.Close()
	}
	return err
}
