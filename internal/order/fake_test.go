package order

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// memory is a Keeper without a disk. Its hook sees every change first and may
// refuse it.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	hook   func(key string, data []byte) error
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, locks: map[string]chan struct{}{}}
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.values[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return slices.Clone(data), nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

func (m *memory) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.hook != nil {
		if err := m.hook(key, data); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = slices.Clone(data)
	return nil
}

func (m *memory) Lock(ctx context.Context, name string) (func() error, error) {
	m.mu.Lock()
	if m.locks[name] == nil {
		m.locks[name] = make(chan struct{}, 1)
	}
	turn := m.locks[name]
	m.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() error { <-turn; return nil }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keys lists what is kept below a prefix.
func (m *memory) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, key)
		}
	}
	return found
}

// fakeCA is a CA and the Issuer for it in one. It knows an order by its
// signing request, so that a Step whose answer was lost can be repeated.
type fakeCA struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	root *x509.Certificate

	mu        sync.Mutex
	orders    map[string]string // by request, the order's identifier
	placed    int
	issued    map[string][]byte // by order
	published map[Record]bool
	steps     int

	// The tests change what happens through these.
	before   func(step int, j Journal) error // before anything is done
	after    func(step int, j Journal) error // when it is done, before it is answered
	withdraw func(ctx context.Context, j Journal) error
	reject   func(j Journal) bool
	wait     time.Duration
	tamper   func(*x509.Certificate)
	chain    func(leaf []byte) []byte
	public   any // the key to certify instead of the request's
}

func newCA(t testing.TB) *fakeCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(10 * 365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCA{t: t, key: key, root: root, orders: map[string]string{}, issued: map[string][]byte{}, published: map[Record]bool{}}
}

func (c *fakeCA) Step(ctx context.Context, j Journal) (Journal, error) {
	c.mu.Lock()
	c.steps++
	step := c.steps
	c.mu.Unlock()
	if c.before != nil {
		if err := c.before(step, j); err != nil {
			return j, err
		}
	}
	if err := ctx.Err(); err != nil {
		return j, err
	}
	j, err := c.advance(j)
	if err == nil && c.after != nil {
		err = c.after(step, j)
	}
	j.Wait = c.wait
	return j, err
}

func (c *fakeCA) advance(j Journal) (Journal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case j.Status == StatusPlanned:
		id, known := c.orders[string(j.Request)]
		if !known {
			c.placed++
			id = fmt.Sprintf("order-%d", c.placed)
			c.orders[string(j.Request)] = id
		}
		j.OrderID, j.Status = id, StatusAwaitingValidation
	case j.Status == StatusAwaitingValidation && len(j.Records) == 0:
		for _, name := range j.Intent.Names {
			record := Record{Domain: name, Name: "_acme-challenge." + name, Target: "_acme-challenge." + name, Value: j.OrderID}
			j.Records, c.published[record] = append(j.Records, record), true
		}
	case j.Status == StatusAwaitingValidation:
		if c.reject != nil && c.reject(j) {
			delete(c.orders, string(j.Request))
			j.Status, j.Detail = StatusRejected, "the CA saw another value"
			return j, nil
		}
		j.Status = StatusIssuing
	case j.Status == StatusIssuing:
		if c.issued[j.OrderID] == nil {
			c.issued[j.OrderID] = c.issue(j.Request)
		}
		j.Status, j.Certificate = StatusIssued, c.issued[j.OrderID]
	default:
		return j, fmt.Errorf("a step in status %s", j.Status)
	}
	return j, nil
}

func (c *fakeCA) issue(der []byte) []byte {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(c.placed) + 100), DNSNames: request.DNSNames,
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(90 * 24 * time.Hour),
	}
	if c.tamper != nil {
		c.tamper(template)
	}
	public := request.PublicKey
	if c.public != nil {
		public = c.public
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, c.root, public, c.key)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	certificate, err := x509.ParseCertificate(leaf)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	if c.chain != nil {
		return c.chain(pki.EncodeCertificates(certificate))
	}
	return pki.EncodeCertificates(certificate, c.root)
}

func (c *fakeCA) Withdraw(ctx context.Context, j Journal) (Journal, error) {
	if c.withdraw != nil {
		if err := c.withdraw(ctx, j); err != nil {
			return j, err
		}
	}
	if err := ctx.Err(); err != nil {
		return j, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, record := range j.Records {
		delete(c.published, record)
	}
	j.Records = nil
	return j, nil
}

// counts are the orders placed, the certificates issued and the records that
// are published.
func (c *fakeCA) counts() [3]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return [3]int{c.placed, len(c.issued), len(c.published)}
}

// start is the time in these tests; it is that of a synctest bubble, too.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var errInjected = errors.New("injected")

func newRunner(c *fakeCA, keeper Keeper) *Runner {
	return &Runner{Issuer: c, Keeper: keeper, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return start }}
}

func wish(names ...string) Wish {
	return Wish{Intent: Intent{Issuer: "ca", Names: names, Algorithm: pki.ECDSAP256}, Wait: time.Minute}
}

// mustRun runs a wish to its certificate.
func mustRun(t testing.TB, r *Runner, w Wish) (j Journal, adopted bool) {
	t.Helper()
	j, adopted, err := r.Run(t.Context(), w)
	if err != nil || j.Status != StatusIssued {
		t.Fatalf("status %s, %v", j.Status, err)
	}
	return j, adopted
}

func wantCounts(t testing.TB, c *fakeCA, orders, certificates, records int) {
	t.Helper()
	if got, want := c.counts(), [3]int{orders, certificates, records}; got != want {
		t.Errorf("orders, certificates, records: %d, want %d", got, want)
	}
}

func short(request []byte) string { return hex.EncodeToString(request[len(request)-8:]) }
