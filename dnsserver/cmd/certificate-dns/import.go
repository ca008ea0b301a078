package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/acmedns"
)

const importUsage = `Usage: certificate-dns import-acme-dns CONFIG SOURCE

Takes the accounts of an acme-dns over, with their keys, names and values, so
that its clients need no change. SOURCE is acme-dns's SQLite file, which the
program sqlite3 reads, or the postgres:// URL of its database; it is not
changed. The accounts come below the zone of the acme_dns block, which has to be
the domain that acme-dns had. Stop this server first, unless its storage is a
database. Accounts that are there already stay as they are, so the command can be
run again.
`

// importers is how many accounts are imported at once: they share the waiting
// for the disk.
const importers = 32

func importAcmeDNS(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	if !conf.server.Accounts.AcmeDNS {
		return errors.New("import: the acme-dns API is off; add acme_dns { } to the configuration, with zone = the domain that acme-dns had")
	}
	accounts, err := acmedns.Read(ctx, args[1])
	if err != nil {
		return err
	}
	log, _ := newLogger(stderr, conf.log)
	store, err := conf.storage.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	server, err := dnsserver.New(conf.server, store, log)
	if err != nil {
		return err
	}
	if err := server.Start(ctx, "127.0.0.1:0"); err != nil { // takes changes only while it serves
		return err
	}
	defer func() { err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx))) }()
	added, refused := importAll(ctx, server, accounts)
	fmt.Fprintf(stdout, "%d accounts imported, %d were there already, %d refused\n", added, len(accounts)-added-len(refused), len(refused))
	return errors.Join(refused...)
}

func importAll(ctx context.Context, server *dnsserver.Server, accounts []acmedns.Account) (added int, refused []error) {
	var all sync.WaitGroup
	var mu sync.Mutex // guards the results
	work := make(chan acmedns.Account)
	for range importers {
		all.Go(func() {
			for a := range work {
				fresh, err := server.Import(ctx, dnsserver.ImportedAccount(a))
				mu.Lock()
				switch {
				case err != nil:
					refused = append(refused, err)
				case fresh:
					added++
				}
				mu.Unlock()
			}
		})
	}
	for _, a := range accounts {
		work <- a
	}
	close(work)
	all.Wait()
	return added, refused
}
