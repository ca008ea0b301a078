package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// zoneName is the zone that every server has.
const zoneName = "bench.example"

// owner is the n-th name of the zone, like the one that an account gets.
func owner(n int) string {
	sum := sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	return fmt.Sprintf("%x-%x-%x-%x-%x.%s", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16], zoneName)
}

// value is what stands at a name: as long as a key authorization's digest, and
// computed, so that no list of them is needed to check an answer.
func value(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// head is the zone without the names.
const head = "$TTL 5\n@ 3600 IN SOA ns." + zoneName + ". hostmaster." + zoneName + ". 1 3600 600 86400 5\n@ 3600 IN NS ns." + zoneName + ".\nns 3600 IN A 192.0.2.1\n"

// writeZone writes a zone file with this many names.
func writeZone(path string, names int) error {
	return write(path, func(w *bufio.Writer) {
		fmt.Fprint(w, head)
		for n := range names {
			fmt.Fprintf(w, "%s. IN TXT %q\n", owner(n), value(owner(n)))
		}
	})
}

// queriesAtMost bounds the file of queries: more than a round takes, and few
// enough for dnsperf to begin at once.
const queriesAtMost = 1_000_000

// writeQueries writes questions for the names as dnsperf reads them, each name
// once in random order.
func writeQueries(path string, names int) error {
	return write(path, func(w *bufio.Writer) {
		order := rand.New(rand.NewPCG(1, 2)).Perm(names)
		for _, n := range order[:min(names, queriesAtMost)] {
			fmt.Fprintf(w, "%s TXT\n", owner(n))
		}
	})
}

// write writes a file in a folder that may be new.
func write(path string, content func(*bufio.Writer)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	content(w)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return file.Close()
}
