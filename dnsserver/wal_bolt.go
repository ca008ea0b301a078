package dnsserver

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the bbolt file that versions before the log kept. A key of
// txtBucket is the name, a zero byte and the SHA-256 of the value; what it maps
// to is the value. A key of aliasBucket, which the oldest files lack, is the
// name of a CNAME; what it maps to is the target.
const (
	txtBucket   = "txt"
	aliasBucket = "cname"
)

// lockWait is how long another process may take to close the file.
const lockWait = 2 * time.Second

// convertBolt makes a folder of a bbolt file at path. The file stays as
// path.bbolt. Whatever happens in between, the next run finishes it.
func convertBolt(path string, log *slog.Logger) error {
	old, made := path+".bbolt", path+".converted"
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(made); err != nil {
			return nil // nothing was there, nothing to finish
		}
		if _, err := os.Stat(old); err != nil {
			return nil
		}
	case err != nil:
		return fmt.Errorf("open the storage: %w", err)
	case !info.Mode().IsRegular():
		return nil
	default:
		if _, err := os.Stat(old); err == nil {
			return fmt.Errorf("convert %s: %s is there already; move it away", path, old)
		}
		n, err := copyBolt(path, made)
		if err == nil {
			err = os.Rename(path, old)
		}
		if err != nil {
			return fmt.Errorf("convert %s, which stays as it was: %w", path, err)
		}
		log.Info("the storage of an older version is being converted", "records", n, "old", old, "new", path)
	}
	if err := os.Rename(made, path); err != nil {
		return fmt.Errorf("convert %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// copyBolt writes what a bbolt file holds into a new folder.
func copyBolt(path, folder string) (n int, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return 0, errors.New("another process has it open; stop it first")
	case err != nil:
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := os.RemoveAll(folder); err != nil {
		return 0, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return createWAL(folder, func(yield func(Batch, error) bool) {
			for c := range boltRecords(tx) {
				n++
				if !yield(Batch{Changes: []Change{c}}, nil) {
					return
				}
			}
		})
	})
	return n, err
}

// boltRecords goes through the records of a bbolt file. It kept no TTL.
func boltRecords(tx *bbolt.Tx) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		stop := errors.New("stop")
		each := func(bucket string, change func(key, value []byte) Change) bool {
			b := tx.Bucket([]byte(bucket))
			return b == nil || b.ForEach(func(key, value []byte) error {
				if !yield(change(key, value)) {
					return stop
				}
				return nil
			}) == nil
		}
		if each(txtBucket, func(key, value []byte) Change {
			name, _, _ := bytes.Cut(key, []byte{0})
			return Change{Name: string(name), Type: dns.TypeTXT, TTL: DefaultDynamicTTL, Data: txtData(string(value))}
		}) {
			each(aliasBucket, func(name, target []byte) Change {
				return Change{Name: string(name), Type: dns.TypeCNAME, TTL: DefaultDynamicTTL, Data: nameData(string(target))}
			})
		}
	}
}
