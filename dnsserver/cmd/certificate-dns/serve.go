package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
	"github.com/certiform/terraform-provider-certificate/dnsserver/systemd"
	"github.com/certiform/terraform-provider-certificate/dnsserver/watch"
)

// shutdownTimeout bounds how long clients may take to finish after a signal;
// with it and the database's close the process ends within two seconds.
const shutdownTimeout = 1500 * time.Millisecond

// service is a server with its API, as one configuration file describes it.
type service struct {
	path   string
	conf   config // what is in force
	server *dnsserver.Server
	api    *api
	// of the API and of DNS over TLS
	certificates certificates
	watcher      *watch.Watcher
	// beside ends with its context, and before the server, by which the watcher
	// keeps what people were told and the keeper proves its names.
	beside  sync.WaitGroup
	log     *slog.Logger
	level   *slog.LevelVar
	manager systemd.Notifier
}

// serve runs the server until ctx ends, which is a clean end.
func serve(ctx context.Context, args []string, _, stderr io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	s := &service{path: args[0], conf: conf, manager: systemd.NewNotifier()}
	s.log, s.level = newLogger(stderr, conf.log)
	store, err := conf.storage.join(ctx, s.log)
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx, store), store.Close())
}

// run starts everything, and reads the configuration again at each signal that
// asks for it.
func (s *service) run(ctx context.Context, store dnsserver.Store) error {
	reload := make(chan os.Signal, 1)
	if signals := reloadSignals(); len(signals) > 0 {
		signal.Notify(reload, signals...)
		defer signal.Stop(reload)
	}
	useTwoThreads()
	var err error
	if s.server, err = dnsserver.New(s.conf.server, store, s.log); err != nil {
		return err
	}
	s.conf.watch.Log = s.log
	s.watcher = watch.New(s.conf.watch, s.server)
	s.server.AddMetrics(s.watcher.WriteMetrics)
	if err := s.prepareTLS(); err != nil {
		return err
	}
	listeners, err := s.inherit()
	if err != nil {
		return err
	}
	if err := s.server.Start(ctx, s.conf.listen...); err != nil {
		return err
	}
	if s.api, err = startAPI(ctx, s.conf.api, listeners, s.server.Handler(), s.certificates.forAPI(), s.conf.server, s.log); err != nil {
		return errors.Join(err, s.shutDown(ctx))
	}
	beside, stop := context.WithCancel(ctx)
	defer stop()
	// Reading the storage leaves nearly as much behind as there are records.
	s.beside.Go(debug.FreeOSMemory)
	s.beside.Go(func() { s.watcher.Run(beside) })
	s.beside.Go(func() { tendGarbage(beside) })
	if own := s.certificates.own; own != nil {
		s.beside.Go(func() { own.Run(beside) })
	}
	s.log.Info("serving", "dns", s.server.Addrs(), "api", s.api.url, "tls", s.server.TLSAddrs())
	s.tell(s.manager.Ready(s.status()))
	for {
		select {
		case <-ctx.Done():
			return s.shutDown(ctx)
		case err := <-s.api.failed:
			stop()
			return errors.Join(fmt.Errorf("serve the API: %w", err), s.shutDown(ctx))
		case <-reload:
			s.tell(s.manager.Reloading(monotonic()))
			s.reload(ctx)
			s.tell(s.manager.Ready(s.status()))
		}
	}
}

// prepareTLS opens the certificates, and has the server listen for DNS over TLS
// where it is to.
func (s *service) prepareTLS() (err error) {
	var own *identity.Keeper
	if len(s.conf.own.Names) > 0 {
		s.conf.own.Log = s.log
		if own, err = identity.Open(s.conf.own, s.server); err != nil {
			return err
		}
		s.server.AddMetrics(own.WriteMetrics)
	}
	if s.certificates, err = openCertificates(s.conf, own, s.log); err != nil {
		return err
	}
	if s.conf.tls != nil {
		s.server.UseTLS(&tls.Config{GetCertificate: s.certificates.forDNS(), MinVersion: tls.VersionTLS12}, s.conf.tls.Listen...)
	}
	return nil
}

// inherit takes over the sockets that systemd opened: those at the API's address
// are returned, all others are for DNS.
func (s *service) inherit() (forAPI []net.Listener, err error) {
	sockets, err := systemd.Inherit()
	if err != nil {
		return nil, err
	}
	var packets []net.PacketConn
	var listeners []net.Listener
	for _, p := range sockets.Packets {
		packets = append(packets, p.Conn)
	}
	for _, l := range sockets.Listeners {
		if s.conf.api != nil && l.Conn.Addr().String() == s.conf.api.Listen {
			forAPI = append(forAPI, l.Conn)
		} else {
			listeners = append(listeners, l.Conn)
		}
	}
	return forAPI, s.server.Inherit(packets, listeners)
}

// status is what systemctl status shows.
func (s *service) status() string {
	return fmt.Sprintf("answering for %d zones, API at %s", len(s.conf.server.Zones), orNone(s.api.url))
}

func orNone(s string) string {
	if s == "" {
		return "no address"
	}
	return s
}

// tell logs that the service manager could not be told something.
func (s *service) tell(err error) {
	if err != nil {
		s.log.Warn("the service manager does not listen", "error", err)
	}
}

// shutDown finishes requests in hand, then queries, and cuts off those that
// take too long: they are not a fault of the server.
func (s *service) shutDown(ctx context.Context) error {
	s.tell(s.manager.Stopping())
	s.beside.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	apiErr := s.api.shutDown(ctx, s.log)
	dnsErr := s.server.Shutdown(ctx)
	if errors.Is(dnsErr, context.DeadlineExceeded) {
		s.log.Warn("DNS clients were cut off")
		dnsErr = nil
	}
	s.log.Info("stopped")
	return errors.Join(apiErr, dnsErr)
}
