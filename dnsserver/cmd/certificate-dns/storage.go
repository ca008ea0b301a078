package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

const backupUsage = `Usage: certificate-dns backup CONFIG FILE

Writes all that the storage of this configuration keeps to FILE, as it was at one
moment, with mode 0600. The server may be running. FILE must not exist.
`

const restoreUsage = `Usage: certificate-dns restore CONFIG FILE

Makes the storage of this configuration what the backup in FILE says. Stop the
server first. What the storage held stays in a folder beside it. Serials of zones
grow, so that secondaries notice.
`

const recoverUsage = `Usage: certificate-dns recover CONFIG

Makes the storage of this configuration anew from all that can be read of a
damaged one, and says how much could not. Stop the server first. The damaged
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
	err = dnsserver.Backup(ctx, conf.storage, out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("back up to %s: %w", file, err), os.Remove(out.Name()))
	}
	fmt.Fprintf(stdout, "%s is written to %s\n", conf.storage, file)
	return nil
}

func restore(ctx context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	kept, err := dnsserver.Restore(ctx, conf.storage, args[1])
	if err != nil {
		return fmt.Errorf("restore %s: %w", args[1], err)
	}
	fmt.Fprintf(stdout, "%s is what %s says; %s\n", conf.storage, args[1], before(kept))
	return nil
}

func recoverStorage(_ context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	kept, found, lost, err := dnsserver.Recover(conf.storage)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	fmt.Fprintf(stdout, "%s is made anew from %d pieces; %d could not be read; %s\n", conf.storage, found, lost, before(kept))
	return nil
}

// before says where the storage that was there is now.
func before(kept string) string {
	if kept == "" {
		return "nothing was there before"
	}
	return "what was there before is in " + kept
}
