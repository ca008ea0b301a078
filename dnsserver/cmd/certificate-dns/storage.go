package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

const backupUsage = `Usage: certificate-dns backup CONFIG FILE

Writes all that the storage of this configuration keeps to FILE, as it was at one
moment, with mode 0600. The server may be running. FILE must not exist. A backup
can be restored into any storage, so it also moves records between them.
`

const restoreUsage = `Usage: certificate-dns restore CONFIG FILE

Makes the storage of this configuration what the backup in FILE says. Serials of
zones grow, so that secondaries notice. Stop the server first; what the storage
held stays in a folder beside it. Where the storage is a database, servers may be
running and load it anew; what it held stays in a file beside FILE.
`

const recoverUsage = `Usage: certificate-dns recover CONFIG

Makes the folder of this configuration's storage anew from all that can be read
of a damaged one, and says how much could not. Stop the server first. The damaged
storage stays in a folder beside it. Where there is a backup, restore it instead.
`

// backup writes beside FILE first, so that FILE is whole or not there.
func backup(ctx context.Context, args []string, stdout, _ io.Writer) (err error) {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	file := args[1]
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("back up to %s: it is there already; name another file", file)
	}
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("back up to %s: %w", file, err)
	}
	where, err := conf.storage.backUp(ctx, out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("back up to %s: %w", file, err), os.Remove(out.Name()))
	}
	fmt.Fprintf(stdout, "%s is written to %s\n", where, file)
	return nil
}

func restore(ctx context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	where, kept, err := conf.storage.restore(ctx, args[1])
	if err != nil {
		return fmt.Errorf("restore %s: %w", args[1], err)
	}
	fmt.Fprintf(stdout, "%s is what %s says; %s\n", where, args[1], before(kept))
	return nil
}

// backUp writes all that is kept to out, and says what it is.
func (s storage) backUp(ctx context.Context, out io.Writer) (where string, err error) {
	if s.path != "" {
		return s.path, dnsserver.Backup(ctx, s.path, out)
	}
	p, err := s.openDatabase(ctx, nil)
	if err != nil {
		return "", err
	}
	return p.String(), errors.Join(dnsserver.BackupStore(ctx, p, out), p.Close())
}

// restore makes the storage what a backup says. It returns what it is, and where
// what was there is kept, "" when nothing was.
func (s storage) restore(ctx context.Context, file string) (where, kept string, err error) {
	if s.path == "" {
		return s.restoreDatabase(ctx, file)
	}
	kept, err = dnsserver.Restore(ctx, s.path, file)
	return s.path, kept, err
}

// restoreDatabase makes the database what a backup says. What was there is kept
// in a backup beside it.
func (s storage) restoreDatabase(ctx context.Context, file string) (where, kept string, err error) {
	p, err := s.openDatabase(ctx, nil)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	kept = fmt.Sprintf("%s.before-%s", file, time.Now().UTC().Format("20060102T150405.000"))
	out, err := os.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", "", err
	}
	had, err := dnsserver.RestoreStore(ctx, p, file, out)
	if err == nil && had {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err != nil || !had {
		err = errors.Join(err, os.Remove(kept))
		kept = ""
	}
	return p.String(), kept, err
}

func recoverStorage(_ context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	if conf.storage.path == "" {
		return errors.New("recover: the storage is a database, which recovers by itself; restore a backup")
	}
	kept, found, lost, err := dnsserver.Recover(conf.storage.path)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	fmt.Fprintf(stdout, "%s is made anew from %d pieces; %d could not be read; %s\n", conf.storage.path, found, lost, before(kept))
	return nil
}

// before says where the storage that was there is now.
func before(kept string) string {
	if kept == "" {
		return "nothing was there before"
	}
	return "what was there before is in " + kept
}
