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

	"github.com/miekg/dns"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file. A key of recordsBucket is the SHA-256 of what a
// record is known by (a bbolt key is at most 32 KiB, data may be longer); what
// it maps to is the record as a batch. Files of older versions have the other
// two: a key of txtBucket is the name, a zero byte and the SHA-256 of the value;
// a key of aliasBucket is the name of a CNAME, which maps to the target.
const (
	recordsBucket   = "records"
	documentsBucket = "documents"
	txtBucket       = "txt"
	aliasBucket     = "cname"
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
		var errs []error
		for _, name := range []string{recordsBucket, documentsBucket, txtBucket, aliasBucket} {
			_, err := tx.CreateBucketIfNotExists([]byte(name))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
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
func (s *BoltStore) Load(ctx context.Context, each func(Batch) error) error {
	one := func(c Change) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return each(Batch{Changes: []Change{c}})
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		err := tx.Bucket([]byte(txtBucket)).ForEach(func(key, value []byte) error {
			name, _, ok := bytes.Cut(key, []byte{0})
			if !ok {
				return fmt.Errorf("read %s: key %q is not a record's", s.db.Path(), key)
			}
			return one(Change{Name: string(name), Type: dns.TypeTXT, TTL: DefaultDynamicTTL, Data: txtData(string(value))})
		})
		if err != nil {
			return err
		}
		err = tx.Bucket([]byte(aliasBucket)).ForEach(func(name, target []byte) error {
			return one(Change{Name: string(name), Type: dns.TypeCNAME, TTL: DefaultDynamicTTL, Data: nameData(string(target))})
		})
		if err != nil {
			return err
		}
		err = tx.Bucket([]byte(recordsBucket)).ForEach(func(_, value []byte) error {
			b, err := decodeBatch(value)
			if err != nil || len(b.Changes) != 1 {
				return fmt.Errorf("read %s: a record cannot be read", s.db.Path())
			}
			return one(b.Changes[0])
		})
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(documentsBucket)).ForEach(func(key, value []byte) error {
			return each(Batch{Documents: []Document{{Key: string(key), Value: bytes.Clone(value)}}})
		})
	})
}

// Apply implements Store.
func (s *BoltStore) Apply(_ context.Context, b Batch) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range b.Changes {
			if err := applyBolt(tx, c); err != nil {
				return fmt.Errorf("write %s: %w", display(c.Name), err)
			}
		}
		documents := tx.Bucket([]byte(documentsBucket))
		for _, d := range b.Documents {
			err := documents.Put([]byte(d.Key), d.Value)
			if d.Delete {
				err = documents.Delete([]byte(d.Key))
			}
			if err != nil {
				return fmt.Errorf("write %s: %w", d.Key, err)
			}
		}
		return nil
	})
}

func applyBolt(tx *bbolt.Tx, c Change) error {
	old, oldKey := tx.Bucket([]byte(aliasBucket)), []byte(c.Name)
	if c.Type == dns.TypeTXT {
		sum := sha256.Sum256([]byte(txtValue(c.Data)))
		old, oldKey = tx.Bucket([]byte(txtBucket)), append([]byte(c.Name+"\x00"), sum[:]...)
	}
	if err := old.Delete(oldKey); err != nil {
		return err
	}
	records, key := tx.Bucket([]byte(recordsBucket)), sha256.Sum256(fmt.Appendf(nil, "%s %d %s", c.Name, c.Type, c.Data))
	if c.Op == DeleteRecord {
		return records.Delete(key[:])
	}
	c.Op = Put
	return records.Put(key[:], appendBatch(nil, Batch{Changes: []Change{c}}))
}

// Close waits for a running transaction and releases the file.
func (s *BoltStore) Close() error { return s.db.Close() }
