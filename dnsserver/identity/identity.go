// Package identity keeps a certificate for the server's own names: it orders it
// by ACME (RFC 8555), proves the names by records that the server itself
// answers, and renews it in time.
//
// It is not for other servers' certificates, and knows no validation but
// dns-01. Its invariant: a certificate that works is served until a newer one is
// on disk, whatever fails meanwhile.
package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// LetsEncrypt is the directory of the CA that is asked where none is named.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Times of the keeper.
const (
	lookEvery    = time.Hour   // whether a renewal is due
	firstRetry   = time.Minute // after a failure; doubled by each further one
	lastRetry    = time.Hour
	orderTimeout = 10 * time.Minute
)

// Config says for which names a certificate is kept, and from which CA.
type Config struct {
	Names           []string // in zones of this server
	DirectoryURL    string   // of the CA; empty for LetsEncrypt
	Email           string   // for the CA to write to; may be empty
	CABundle        []byte   // PEM, for a CA whose own certificate the system does not trust
	ExternalAccount *ExternalAccount
	Folder          string // where account key, certificate and private key are kept
	Log             *slog.Logger
}

// ExternalAccount binds the ACME account to one that the CA knows (RFC 8555
// §7.3.4).
type ExternalAccount struct {
	KeyID string
	Key   []byte // HMAC
}

// Records are changed to prove the names. A change is answered, and lasts, when
// the call returns.
type Records interface {
	PutTXT(ctx context.Context, name, value string) error
	DeleteTXT(ctx context.Context, name, value string) error
}

// Keeper keeps the certificate. It is safe for concurrent use.
type Keeper struct {
	config  Config
	records Records
	now     func() time.Time

	current     atomic.Pointer[tls.Certificate]
	placeholder *tls.Certificate // served until there is one
	failures    atomic.Int64
}

// Open reads what the folder holds, and makes it where there is none. It asks
// nobody.
func Open(config Config, records Records) (*Keeper, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.DirectoryURL == "" {
		config.DirectoryURL = LetsEncrypt
	}
	k := &Keeper{config: config, records: records, now: time.Now}
	if err := os.MkdirAll(config.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the server's own certificate: %w", err)
	}
	if err := k.sweep(); err != nil {
		return nil, err
	}
	found, err := readPair(k.path(certificateFile))
	switch {
	case err == nil:
		k.current.Store(found)
	case !errors.Is(err, os.ErrNotExist):
		// It can be had anew; to refuse to start would leave nobody to validate.
		config.Log.Error("the server's own certificate cannot be read, another one is ordered", "file", k.path(certificateFile), "error", err)
	}
	if k.placeholder, err = newPlaceholder(k.now()); err != nil {
		return nil, err
	}
	return k, nil
}

// GetCertificate is for a [tls.Config]. Until the CA has issued a certificate
// there is a self-signed one, so that whoever looks sees what is wrong.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := k.current.Load(); current != nil {
		return current, nil
	}
	return k.placeholder, nil
}

// Run orders a certificate when one is due, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	wait := firstRetry
	for {
		next := lookEvery
		if why := k.due(); why != "" {
			k.config.Log.Info("ordering the server's own certificate", "reason", why, "names", k.config.Names, "ca", k.config.DirectoryURL)
			switch err := k.renew(ctx); {
			case err == nil:
				wait = firstRetry
			case ctx.Err() == nil:
				next, wait = max(wait, retryAfter(err)), min(2*wait, lastRetry)
				k.failures.Add(1)
				k.config.Log.Error("the server's own certificate was not issued; what is served stays", "error", err, "next_try", next, "served_until", k.end())
			}
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// due says why a certificate is to be ordered now; empty when none is. The last
// third of its life is left for failures, of a life below ten days the last
// half.
func (k *Keeper) due() string {
	current := k.current.Load()
	if current == nil {
		return "there is none"
	}
	leaf := current.Leaf
	if !slices.Equal(sorted(leaf.DNSNames), sorted(k.config.Names)) {
		return "the names changed"
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	rest := life / 3
	if life < 10*24*time.Hour {
		rest = life / 2
	}
	if k.now().Before(leaf.NotAfter.Add(-rest)) {
		return ""
	}
	return "it ends " + leaf.NotAfter.UTC().Format(time.RFC3339)
}

func sorted(names []string) []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(strings.TrimSuffix(name, "."))
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// renew orders, keeps and serves a certificate.
func (k *Keeper) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	pair, err := k.order(ctx)
	if err != nil {
		return err
	}
	if err := writePair(k.path(certificateFile), pair); err != nil {
		return fmt.Errorf("keep the certificate: %w", err)
	}
	k.current.Store(pair)
	k.config.Log.Info("the server has a certificate of its own", "names", pair.Leaf.DNSNames, "until", pair.Leaf.NotAfter)
	return nil
}

// end is when what is served ends, for people.
func (k *Keeper) end() string {
	if current := k.current.Load(); current != nil {
		return current.Leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return "(a self-signed one is served)"
}

// WriteMetrics adds when the certificate ends, and how often ordering failed.
func (k *Keeper) WriteMetrics(m *metric.Writer) {
	var end float64
	if current := k.current.Load(); current != nil {
		end = float64(current.Leaf.NotAfter.Unix())
	}
	m.Single("certificate_dns_own_certificate_not_after_seconds", metric.Gauge, "When the certificate of the API that the server obtains itself ends, in Unix seconds; 0 while there is none.", end)
	m.Single("certificate_dns_own_certificate_failures_total", metric.Counter, "Orders of that certificate that failed.", float64(k.failures.Load()))
}

// check refuses a certificate that is not for these names or this key.
func check(leaf *x509.Certificate, names []string, now time.Time) error {
	for _, name := range sorted(names) {
		if err := leaf.VerifyHostname(name); err != nil {
			return fmt.Errorf("the CA's certificate is not used: %w", err)
		}
	}
	if !now.Before(leaf.NotAfter) {
		return fmt.Errorf("the CA's certificate is not used: it ended %s", leaf.NotAfter)
	}
	return nil
}

// Equal reports whether two configurations ask for the same, their loggers
// aside.
func (c Config) Equal(other Config) bool {
	c.Log, other.Log = nil, nil
	if c.DirectoryURL == "" {
		c.DirectoryURL = LetsEncrypt
	}
	if other.DirectoryURL == "" {
		other.DirectoryURL = LetsEncrypt
	}
	return reflect.DeepEqual(c, other)
}
