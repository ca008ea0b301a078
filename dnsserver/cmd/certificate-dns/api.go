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

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// api is the HTTP server of the API; without an api block it has none.
type api struct {
	server *http.Server
	url    string
	failed chan error // gets one error if serving ends by itself
}

// startAPI serves in the background, on the sockets that were inherited or else
// on one that it opens; in clear where there is no certificate.
func startAPI(ctx context.Context, block *apiBlock, inherited []net.Listener, handler http.Handler, certificate getter, limits dnsserver.Config, log *slog.Logger) (*api, error) {
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
	if certificate != nil {
		a.server.TLSConfig = &tls.Config{GetCertificate: certificate, MinVersion: tls.VersionTLS12}
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
	l := dnsserver.LimitListener(inherited[0], limits.MaxConnections, limits.MaxPerClient, block.isProxy)
	a.url = scheme + "://" + l.Addr().String()
	go func() {
		var err error
		if certificate != nil {
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
