package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres"
)

// storageBlock is a storage that is no folder of this machine.
type storageBlock struct {
	Postgres *postgresBlock `hcl:"postgres,block"`
	Range    hcl.Range      `hcl:",def_range"`
}

type postgresBlock struct {
	URL      string    `hcl:"url"`
	Schema   string    `hcl:"schema,optional"`
	Server   string    `hcl:"server,optional"`
	Wait     string    `hcl:"wait,optional"`
	URLRange hcl.Range `hcl:"url,attr_value_range"`
	Range    hcl.Range `hcl:",def_range"`
}

// storage is where the records are kept.
type storage struct {
	path     string // of the folder; "" when it is a database
	database postgres.Options
}

// store is a storage that is open.
type store interface {
	dnsserver.Store
	io.Closer
}

// checkStorage reads where the records are to be kept.
func (f *file) checkStorage(to *storage) []error {
	if f.Storage != nil {
		to.path = *f.Storage
	}
	switch {
	case f.Storage != nil && f.Database != nil:
		return []error{fmt.Errorf("%s: storage: it is a folder and a database; remove one", linePlace(f.Database.Range))}
	case f.Storage != nil && *f.Storage == "", f.Storage == nil && f.Database == nil:
		return []error{fmt.Errorf(`%s: storage: there is none; write storage = "/var/lib/certificate-dns/records", or storage { postgres { url = … } } for several servers`,
			f.ListenRange.Filename)}
	case f.Database == nil:
		return nil
	case f.Database.Postgres == nil:
		return []error{fmt.Errorf(`%s: storage: it says no database; write storage { postgres { url = "postgres://…" } }, or storage = "/path" for a folder`, linePlace(f.Database.Range))}
	}
	b := f.Database.Postgres
	to.database = postgres.Options{URL: b.URL, Schema: b.Schema, Server: b.Server}
	var errs []error
	var err error
	if to.database.Wait, err = duration(b.Wait); err != nil {
		errs = append(errs, fmt.Errorf("%s: storage.postgres: wait: %w", linePlace(b.Range), err))
	}
	if err := to.database.Problem(); err != nil {
		errs = append(errs, fmt.Errorf("%s: storage.postgres: %w", linePlace(b.URLRange), err))
	}
	return errs
}

// open opens the storage for a command.
func (s storage) open(ctx context.Context, log *slog.Logger) (store, error) {
	if s.path == "" {
		return s.openDatabase(ctx, log)
	}
	w, err := dnsserver.OpenWAL(s.path, log)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return w, nil
}

func (s storage) openDatabase(ctx context.Context, log *slog.Logger) (*postgres.Store, error) {
	options := s.database
	options.Log = log
	p, err := postgres.Open(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return p, nil
}

// join opens the storage for a server.
func (s storage) join(ctx context.Context, log *slog.Logger) (store, error) {
	if s.path != "" {
		return s.open(ctx, log)
	}
	p, err := s.openDatabase(ctx, log)
	if err != nil {
		return nil, err
	}
	if err := p.Join(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("storage: %w", err), p.Close())
	}
	return p, nil
}
