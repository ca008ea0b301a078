package dnsserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file. A key of txtBucket is the name, a zero byte and the
// SHA-256 of the value (a bbolt key is at most 32 KiB, a value may be longer);
// what it maps to is the value. A canonical name holds no zero byte. A key of
// aliasBucket, which files of older versions lack, is the name of a CNAME; what
// it maps to is the target.
const (
	txtBucket   = "txt"
	aliasBucket = "cname"
)

// lockWait is how long OpenBolt waits for another process to close the file.
const lockWait = 2 * time.Second

// BoltStore is a Store in one bbolt file. Every Apply is one transaction and
// one fsync; the server batches concurrent changes into one Apply.
type BoltStore struct{ db *bbolt.DB }

// OpenBolt opens or creates the file at path with mode 0600. The folder must
// exist. Only one process at a time can have the file open.
func OpenBolt(path string) (*BoltStore, error) {
	_, statErr := os.Stat(path)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process has it open", path)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(txtBucket))
		if err == nil {
			_, err = tx.CreateBucketIfNotExists([]byte(aliasBucket))
		}
		return err
	})
	if err == nil && errors.Is(statErr, os.ErrNotExist) {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), db.Close())
	}
	return &BoltStore{db}, nil
}

// syncFolder makes a new file's directory entry durable. Windows has no such
// call and needs none.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Load implements Store.
func (s *BoltStore) Load(ctx context.Context, each func(Change) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		err := tx.Bucket([]byte(txtBucket)).ForEach(func(key, value []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			name, _, ok := bytes.Cut(key, []byte{0})
			if !ok {
				return fmt.Errorf("read %s: key %q is not a record's", s.db.Path(), key)
			}
			return each(Change{Name: string(name), Value: string(value)})
		})
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(aliasBucket)).ForEach(func(name, target []byte) error {
			return each(Change{Name: string(name), Value: string(target), Alias: true})
		})
	})
}

// Apply implements Store.
func (s *BoltStore) Apply(_ context.Context, changes []Change) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		values, aliases := tx.Bucket([]byte(txtBucket)), tx.Bucket([]byte(aliasBucket))
		for _, c := range changes {
			sum := sha256.Sum256([]byte(c.Value))
			bucket, key := values, append([]byte(c.Name+"\x00"), sum[:]...)
			if c.Alias {
				bucket, key = aliases, []byte(c.Name)
			}
			var err error
			if c.Delete {
				err = bucket.Delete(key)
			} else {
				err = bucket.Put(key, []byte(c.Value))
			}
			if err != nil {
				return fmt.Errorf("write %s: %w", display(c.Name), err)
			}
		}
		return nil
	})
}

// Close waits for a running transaction and releases the file.
func (s *BoltStore) Close() error { return s.db.Close() }
