package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	// ErrKeyTaken says that the key an account should move to is another
	// account's.
	ErrKeyTaken = errors.New("the new account key is in use")
	// ErrKeyUnknown says that the CA knows neither the account's old key nor
	// its new one.
	ErrKeyUnknown = errors.New("the CA knows neither account key")
	// ErrNoKeyChange says that the CA does not let accounts change their key.
	ErrNoKeyChange = errors.New("the CA does not change account keys")
)

// roll gives an account the key that the configuration asks for. It is called
// under the account's lock. A run that is killed in between leaves the key it
// was about to use, in the storage or in the configuration: the CA is asked
// which one it knows.
func (i *Issuer) roll(ctx context.Context, a account) (account, error) {
	switch {
	case !i.config.PreviousAccountKey.Empty():
		return i.moveKey(ctx, a)
	case i.config.AccountKey.Empty():
		return i.renewKey(ctx, a)
	}
	return a, nil
}

// renewKey replaces the key that is stored by a new one, once for each version
// in the configuration. What was done for a version stays done: runs that still
// have an older one do not turn it back.
func (i *Issuer) renewKey(ctx context.Context, a account) (account, error) {
	if !a.pending.Empty() {
		found, err := i.find(ctx, a.pending)
		switch {
		case err != nil:
			return a, fmt.Errorf("finish the change of the account's key: %w", err)
		case found != "":
			if a, err = i.adoptKey(ctx, a, found); err != nil {
				return a, err
			}
		case a.pendingVersion != i.config.AccountKeyVersion:
			a.pending, a.pendingVersion = pki.Key{}, "" // it is not wanted any more
			if err := i.storeAccount(ctx, a); err != nil {
				return a, err
			}
		}
	}
	version := i.config.AccountKeyVersion
	if version == "" || slices.Contains(a.versions, version) {
		return a, nil
	}
	if a.url == "" { // there is no account whose key could be changed
		a.versions = append(a.versions, version)
		return a, i.storeAccount(ctx, a)
	}
	if a.pending.Empty() {
		key, err := pki.GenerateKey(pki.ECDSAP256)
		if err != nil {
			return a, err
		}
		a.pending, a.pendingVersion = key, version
		if err := i.storeAccount(ctx, a); err != nil {
			return a, err
		}
	}
	if err := i.changeKey(ctx, a.url, a.key, a.pending); err != nil {
		if errors.Is(err, ErrKeyTaken) || errors.Is(err, ErrNoKeyChange) {
			a.pending, a.pendingVersion = pki.Key{}, ""
			err = errors.Join(err, i.storeAccount(ctx, a))
		}
		return a, fmt.Errorf("change the key of account %s: %w; the next run asks the CA which key it knows, and without account_key_version it goes on with that one", a.url, err)
	}
	return i.adoptKey(ctx, a, a.url)
}

// adoptKey makes the pending key the account's.
func (i *Issuer) adoptKey(ctx context.Context, a account, url string) (account, error) {
	adopted := a
	adopted.url, adopted.key = url, a.pending
	adopted.versions = append(slices.Clone(a.versions), a.pendingVersion)
	adopted.pending, adopted.pendingVersion = pki.Key{}, ""
	i.logger.InfoContext(ctx, "the account has a new key", "directory", i.config.DirectoryURL, "account", url)
	return adopted, i.storeAccount(ctx, adopted)
}

// moveKey moves the account of the previous key in the configuration to the
// current one, once.
func (i *Issuer) moveKey(ctx context.Context, a account) (account, error) {
	previous := i.config.PreviousAccountKey
	if a.url != "" && a.movedFrom == previous.Hash() {
		return a, nil
	}
	now, err := i.find(ctx, a.key)
	if err != nil {
		return a, fmt.Errorf("look for the account of account_key_pem at %s: %w", i.config.DirectoryURL, err)
	}
	before, err := i.find(ctx, previous)
	if err != nil {
		return a, fmt.Errorf("look for the account of previous_account_key_pem at %s: %w", i.config.DirectoryURL, err)
	}
	switch {
	case now != "" && before != "":
		return a, fmt.Errorf("%w: account_key_pem belongs to account %s and previous_account_key_pem to %s at %s: to use the first, remove previous_account_key_pem; to move the second, give a key that no account has", ErrKeyTaken, now, before, i.config.DirectoryURL)
	case now == "" && before == "":
		return a, fmt.Errorf("%w: no account at %s has account_key_pem or previous_account_key_pem: to register one with account_key_pem, remove previous_account_key_pem", ErrKeyUnknown, i.config.DirectoryURL)
	case now == "":
		if err := i.changeKey(ctx, before, previous, a.key); err != nil {
			if errors.Is(err, ErrKeyTaken) {
				err = fmt.Errorf("%w; give an account_key_pem that no account has", err)
			}
			return a, fmt.Errorf("move account %s from previous_account_key_pem to account_key_pem: %w; the next run asks the CA which of them it knows; to go on without the change, give the previous key as account_key_pem alone", before, err)
		}
		now = before
	}
	// What is stored for the previous key is not true any more.
	if err := i.keeper.Delete(ctx, i.accountKeyOf(previous)); err != nil {
		return a, fmt.Errorf("forget the account's previous key: %w", err)
	}
	a.url, a.movedFrom = now, previous.Hash()
	return a, i.storeAccount(ctx, a)
}

// find returns the URL of the account that has a key (RFC 8555 §7.3.1); empty
// when there is none.
func (i *Issuer) find(ctx context.Context, key pki.Key) (string, error) {
	s, err := i.client.open(ctx, "", key.Signer())
	if err != nil {
		return "", err
	}
	found, err := call(s, func() (acme.ExtendedAccount, error) {
		return s.Accounts.New(acme.Account{OnlyReturnExisting: true})
	})
	if isProblem(err, problemNoAccount) {
		return "", nil
	}
	return found.Location, err
}

// changeKey has the CA know an account by another key. Where the CA's answer
// does not say that it does, which key it knows counts.
func (i *Issuer) changeKey(ctx context.Context, url string, before, after pki.Key) error {
	s, err := i.client.open(ctx, url, before.Signer())
	if err != nil {
		return err
	}
	if s.GetDirectory().KeyChangeURL == "" {
		return ErrNoKeyChange
	}
	_, err = callUpTo(s, busy, func() (struct{}, error) {
		return struct{}{}, s.sendKeyChange(url, before.Signer(), after.Signer())
	})
	if err == nil || errors.Is(err, ErrKeyTaken) {
		return err
	}
	if found, findErr := i.find(ctx, after); findErr == nil && found != "" {
		return nil
	}
	if statusOf(err) == http.StatusNotImplemented {
		return fmt.Errorf("%w: %w", ErrNoKeyChange, err)
	}
	return err
}
