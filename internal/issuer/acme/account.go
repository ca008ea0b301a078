package acme

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// account is the registration at a CA. The URL is empty between the making of
// the key and the CA's answer.
type account struct {
	url   string
	email string
	key   pki.Key

	// pending is the key that is about to replace key, for pendingVersion; the
	// CA may know it already.
	pending        pki.Key
	pendingVersion string
	// versions are those of the configuration that a key was made for.
	versions []string
	// movedFrom is the hash of the key the account was moved from.
	movedFrom string
}

// ErrDeactivated says that the account of a key in the configuration was
// deactivated: a new account needs another key.
var ErrDeactivated = errors.New("the account was deactivated")

// accountKey names the account in the storage: one for each CA, external
// account and key of the user's own.
func (i *Issuer) accountKey() string { return i.accountKeyOf(i.config.AccountKey) }

func (i *Issuer) accountKeyOf(own pki.Key) string {
	sum := sha256.Sum256([]byte(i.config.DirectoryURL + "\n" + i.config.ExternalKeyID + "\n" + own.Hash()))
	return "accounts/" + hex.EncodeToString(sum[:16])
}

// lockAccount waits until no other process changes the account.
func (i *Issuer) lockAccount(ctx context.Context) (unlock func() error, err error) {
	unlock, err = i.keeper.Lock(ctx, "account-"+i.accountKey()[len("accounts/"):])
	if err != nil {
		return nil, fmt.Errorf("lock the account at %s: %w", i.config.DirectoryURL, err)
	}
	return unlock, nil
}

// takeTurn waits until this goroutine may use i.registered.
func (i *Issuer) takeTurn(ctx context.Context) (end func(), err error) {
	select {
	case i.accountTurn <- struct{}{}:
		return func() { <-i.accountTurn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// account returns the stored account, registering one the first time. It asks
// the CA at most once in the life of the process, whatever the number of orders.
func (i *Issuer) account(ctx context.Context) (account, error) {
	end, err := i.takeTurn(ctx)
	if err != nil {
		return account{}, err
	}
	defer end()
	if i.registered.url != "" {
		return i.registered, nil
	}
	a, err := i.loadOrRegister(ctx)
	if err != nil {
		return account{}, err
	}
	i.registered = a
	return a, nil
}

// forgetAccount has the next step look the account up again because the CA no
// longer knows the URL; with newKey it registers another one, because an account
// that was deactivated never comes back (RFC 8555 §7.3.6).
func (i *Issuer) forgetAccount(ctx context.Context, stale account, newKey bool) (err error) {
	end, err := i.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer end()
	if i.registered.url != stale.url || i.registered.key.Hash() != stale.key.Hash() {
		return nil
	}
	unlock, err := i.lockAccount(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	a, err := i.loadAccount(ctx)
	if err != nil {
		return err
	}
	i.registered = account{}
	switch {
	case a.url != stale.url || a.key.Hash() != stale.key.Hash():
		return nil // another process was faster
	case newKey && !i.config.AccountKey.Empty():
		return fmt.Errorf("%w at %s: give another account_key_pem", ErrDeactivated, i.config.DirectoryURL)
	case newKey:
		_, err := i.newAccountKey(ctx, a.versions)
		return err
	}
	a.url = ""
	return i.storeAccount(ctx, a)
}

// rekeyed reports whether another process gave the account another key since it
// was loaded. The next step uses that one.
func (i *Issuer) rekeyed(ctx context.Context, stale account) (changed bool, err error) {
	end, err := i.takeTurn(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	if i.registered.url != "" && i.registered.key.Hash() != stale.key.Hash() {
		return true, nil
	}
	unlock, err := i.lockAccount(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	a, err := i.loadAccount(ctx)
	if err == nil && !a.pending.Empty() {
		a, err = i.roll(ctx, a)
	}
	if err != nil || a.key.Hash() == stale.key.Hash() {
		return false, err
	}
	i.registered = account{}
	return true, nil
}

// deactivated reports whether the CA refuses the account itself: it then does
// not even show it.
func (i *Issuer) deactivated(s *session, a account) bool {
	shown, err := call(s, func() (acme.Account, error) { return s.Accounts.Get(a.url) })
	return isProblem(err, problemUnauthorized) || err == nil && shown.Status != acme.StatusValid
}

func (i *Issuer) loadOrRegister(ctx context.Context) (a account, err error) {
	unlock, err := i.lockAccount(ctx)
	if err != nil {
		return account{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if a, err = i.loadAccount(ctx); err != nil {
		return a, err
	}
	a, err = i.roll(ctx, a)
	if err != nil || a.url != "" && a.email == i.config.Email {
		return a, err
	}
	s, err := i.client.open(ctx, a.url, a.key.Signer())
	if err != nil {
		return account{}, err
	}
	if a.url == "" {
		a.url, err = i.register(s)
	} else {
		err = i.updateContact(s, a.url)
	}
	if err != nil {
		return account{}, err
	}
	a.email = i.config.Email
	return a, i.storeAccount(ctx, a)
}

// updateContact tells the CA the address that is configured now (RFC 8555
// §7.3.2). A CA that does not take it does not keep orders from being placed.
func (i *Issuer) updateContact(s *session, url string) error {
	_, err := call(s, func() (acme.Account, error) { return s.Accounts.Update(url, acme.Account{Contact: i.contact()}) })
	if problem(err) != nil {
		i.logger.WarnContext(s.ctx, "update the account's contact", "directory", i.config.DirectoryURL, "error", err)
		return nil
	}
	return err
}

func (i *Issuer) contact() []string {
	if i.config.Email == "" {
		return nil
	}
	return []string{"mailto:" + i.config.Email}
}

// register creates the account, or finds the one the key already has (RFC 8555
// §7.3).
func (i *Issuer) register(s *session) (string, error) {
	if terms := s.GetDirectory().Meta.TermsOfService; terms != "" && !i.config.TermsOfServiceAgreed {
		return "", fmt.Errorf("the CA asks its subscribers to agree to its terms at %s: set terms_of_service_agreed = true for this issuer", terms)
	}
	request := acme.Account{TermsOfServiceAgreed: i.config.TermsOfServiceAgreed, Contact: i.contact()}
	if s.GetDirectory().Meta.ExternalAccountRequired && i.config.ExternalKeyID == "" {
		return "", fmt.Errorf("the CA at %s takes only accounts that belong to one of its customers: set external_account = { key_id = …, hmac_key = … } for this issuer", i.config.DirectoryURL)
	}
	created, err := call(s, func() (acme.ExtendedAccount, error) {
		if i.config.ExternalKeyID != "" {
			return s.Accounts.NewEAB(request, i.config.ExternalKeyID, i.config.ExternalHMAC.Reveal())
		}
		return s.Accounts.New(request)
	})
	if err != nil {
		return "", fmt.Errorf("register an account at %s: %w", i.config.DirectoryURL, err)
	}
	if created.Location == "" {
		return "", fmt.Errorf("register an account at %s: the CA named no account URL", i.config.DirectoryURL)
	}
	return created.Location, nil
}
