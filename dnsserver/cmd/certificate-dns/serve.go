package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// shutdownTimeout bounds how long clients may take to finish after a signal;
// with it and the database's close the process ends within two seconds.
const shutdownTimeout = 1500 * time.Millisecond

// serve runs the server until ctx ends, which is a clean end.
func serve(ctx context.Context, args []string, _, stderr io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	store, err := dnsserver.OpenWAL(conf.storage, log)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return errors.Join(serveStore(ctx, conf, store, log), store.Close())
}

func serveStore(ctx context.Context, conf config, store dnsserver.Store, log *slog.Logger) error {
	server, err := dnsserver.New(conf.server, store, log)
	if err != nil {
		return err
	}
	if err := server.Start(ctx, conf.listen...); err != nil {
		return err
	}
	api, err := startAPI(ctx, conf.api, server.Handler(), log)
	if err != nil {
		return errors.Join(err, shutDown(ctx, server, nil, log))
	}
	log.Info("serving", "dns", server.Addrs(), "api", api.url)
	select {
	case <-ctx.Done():
		return shutDown(ctx, server, api, log)
	case err := <-api.failed:
		return errors.Join(fmt.Errorf("serve the API: %w", err), shutDown(ctx, server, api, log))
	}
}

// api is the HTTP server of the API; without an api block it has none.
type api struct {
	server *http.Server
	url    string
	failed chan error // gets one error if serving ends by itself
}

// startAPI listens and serves in the background.
func startAPI(ctx context.Context, block *apiBlock, handler http.Handler, log *slog.Logger) (*api, error) {
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
		pair, err := openKeyPair(block.CertificateFile, block.KeyFile, log)
		if err != nil {
			return nil, err
		}
		a.server.TLSConfig = &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp", block.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the API on %s: %w", block.Listen, err)
	}
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

// shutDown finishes requests in hand, then queries, and cuts off those that
// take too long: they are not a fault of the server.
func shutDown(ctx context.Context, server *dnsserver.Server, a *api, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var apiErr error
	if a != nil && a.server != nil {
		apiErr = a.server.Shutdown(ctx)
		if errors.Is(apiErr, context.DeadlineExceeded) {
			apiErr = a.server.Close()
			log.Warn("API clients were cut off")
		}
	}
	dnsErr := server.Shutdown(ctx)
	if errors.Is(dnsErr, context.DeadlineExceeded) {
		log.Warn("DNS clients were cut off")
		dnsErr = nil
	}
	log.Info("stopped")
	return errors.Join(apiErr, dnsErr)
}
