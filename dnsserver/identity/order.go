package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// requestTimeout bounds one request to the CA.
const requestTimeout = 30 * time.Second

// order gets a certificate for a new key.
func (k *Keeper) order(ctx context.Context) (*tls.Certificate, error) {
	client, err := k.client()
	if err != nil {
		return nil, err
	}
	if err := k.register(ctx, client); err != nil {
		return nil, err
	}
	names := sorted(k.config.Names)
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(names...))
	if err != nil {
		return nil, fmt.Errorf("order at %s: %w", k.config.DirectoryURL, err)
	}
	for _, url := range order.AuthzURLs {
		if err := k.authorize(ctx, client, url); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("wait for the order to be ready: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request: %w", err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, fmt.Errorf("finalize the order: %w", err)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("read the CA's certificate: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the CA's certificate is not used: it has another key")
	}
	if err := check(leaf, names, k.now()); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// client speaks for the account whose key is in the folder.
func (k *Keeper) client() (*acme.Client, error) {
	key, err := accountKey(k.path(accountFile))
	if err != nil {
		return nil, fmt.Errorf("read the account key: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: requestTimeout}
	if len(k.config.CABundle) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(k.config.CABundle) {
			return nil, errors.New("the CA bundle holds no certificate in PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &acme.Client{
		Key: key, DirectoryURL: k.config.DirectoryURL, UserAgent: "certificate-dns",
		HTTPClient: &http.Client{Transport: transport, Timeout: requestTimeout}, RetryBackoff: backoff,
	}, nil
}

// backoff is how long to wait before the same request is made again, the n-th
// time, because of a stale nonce or a CA that is in trouble. After six seconds
// of it the order is given up, and tried anew later.
func backoff(n int, _ *http.Request, _ *http.Response) time.Duration {
	const first, most = 100 * time.Millisecond, 6
	if n > most {
		return -1
	}
	return first << (n - 1)
}

// register makes the account, or finds the one that this key has.
func (k *Keeper) register(ctx context.Context, client *acme.Client) error {
	account := &acme.Account{}
	if k.config.Email != "" {
		account.Contact = []string{"mailto:" + k.config.Email}
	}
	if bound := k.config.ExternalAccount; bound != nil {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: bound.KeyID, Key: bound.Key}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("register at %s: %w", k.config.DirectoryURL, err)
	}
	return nil
}

// authorize proves one name. The record goes again whatever becomes of it.
func (k *Keeper) authorize(ctx context.Context, client *acme.Client, url string) (err error) {
	found, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("ask for an authorization: %w", err)
	}
	if found.Status == acme.StatusValid {
		return nil
	}
	name := found.Identifier.Value
	var challenge *acme.Challenge
	for _, offered := range found.Challenges {
		if offered.Type == "dns-01" {
			challenge = offered
		}
	}
	if challenge == nil {
		return fmt.Errorf("the CA does not validate %s by DNS", name)
	}
	value, err := client.DNS01ChallengeRecord(challenge.Token)
	if err != nil {
		return fmt.Errorf("make the record of %s: %w", name, err)
	}
	record := "_acme-challenge." + strings.TrimPrefix(name, "*.")
	if err := k.records.PutTXT(ctx, record, value); err != nil {
		return fmt.Errorf("publish %s: %w", record, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		if gone := k.records.DeleteTXT(ctx, record, value); gone != nil {
			err = errors.Join(err, fmt.Errorf("withdraw %s: %w", record, gone))
		}
	}()
	if _, err := client.Accept(ctx, challenge); err != nil {
		return fmt.Errorf("have the CA look for %s: %w", record, err)
	}
	if _, err := client.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("the CA's validation of %s: %w", name, err)
	}
	return nil
}

// retryAfter is how long the CA wants to be left alone.
func retryAfter(err error) time.Duration {
	var refused *acme.Error
	if !errors.As(err, &refused) {
		return 0
	}
	wait, _ := acme.RateLimit(refused)
	return min(wait, 24*time.Hour)
}

// accountKey reads the key of the account, and makes it where there is none.
func accountKey(path string) (crypto.Signer, error) {
	key, err := readKey(path)
	if err == nil || !isMissing(err) {
		return key, err
	}
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return made, writeKey(path, made)
}
