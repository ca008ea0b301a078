package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// accountFile is an account as it is stored.
type accountFile struct {
	URL   string    `json:"url,omitempty"`
	Email string    `json:"email,omitempty"`
	Key   storedKey `json:"key_pem,omitzero"` // left out where the configuration has the key

	Pending        storedKey `json:"pending_key_pem,omitzero"`
	PendingVersion string    `json:"pending_key_version,omitempty"`
	Versions       []string  `json:"key_versions,omitempty"`
	MovedFrom      string    `json:"moved_from,omitempty"`
}

// LogValue implements slog.LogValuer: a log may encode in JSON too.
func (f accountFile) LogValue() slog.Value { return slog.StringValue("[account " + f.URL + "]") }

// storedKey is a private key that JSON shows, for the storage, and nothing else
// does.
type storedKey struct{ pki.Key }

// MarshalJSON implements json.Marshaler.
func (k storedKey) MarshalJSON() ([]byte, error) {
	text, err := k.PEM()
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON implements json.Unmarshaler.
func (k *storedKey) UnmarshalJSON(encoded []byte) (err error) {
	var text string
	if json.Unmarshal(encoded, &text) != nil {
		return errors.New("it is no text") // json's own error can quote
	}
	k.Key, err = pki.ParseKey([]byte(text))
	return err
}

// loadAccount reads the stored account or makes and stores a key for a new one,
// so that a registration whose answer was lost is found again by its key.
func (i *Issuer) loadAccount(ctx context.Context) (account, error) {
	text, err := i.keeper.Get(ctx, i.accountKey())
	if errors.Is(err, fs.ErrNotExist) {
		if !i.config.AccountKey.Empty() {
			return account{key: i.config.AccountKey}, nil
		}
		return i.newAccountKey(ctx, nil)
	}
	if err != nil {
		return account{}, fmt.Errorf("read the account at %s: %w", i.config.DirectoryURL, err)
	}
	var f accountFile
	if err := json.Unmarshal(text, &f); err != nil {
		return account{}, fmt.Errorf("the stored account at %s is damaged", i.config.DirectoryURL)
	}
	a := account{
		url: f.URL, email: f.Email, key: f.Key.Key,
		pending: f.Pending.Key, pendingVersion: f.PendingVersion, versions: f.Versions, movedFrom: f.MovedFrom,
	}
	if !i.config.AccountKey.Empty() {
		a.key = i.config.AccountKey
	}
	if a.key.Empty() {
		return account{}, fmt.Errorf("the stored account at %s has no key", i.config.DirectoryURL)
	}
	return a, nil
}

func (i *Issuer) newAccountKey(ctx context.Context, versions []string) (account, error) {
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		return account{}, err
	}
	a := account{key: key, versions: versions}
	return a, i.storeAccount(ctx, a)
}

func (i *Issuer) storeAccount(ctx context.Context, a account) error {
	f := accountFile{
		URL: a.url, Email: a.email,
		Pending: storedKey{a.pending}, PendingVersion: a.pendingVersion, Versions: a.versions, MovedFrom: a.movedFrom,
	}
	if i.config.AccountKey.Empty() {
		f.Key.Key = a.key
	}
	text, err := json.Marshal(f)
	if err != nil {
		return errors.New("encode the account")
	}
	if err := i.keeper.Put(ctx, i.accountKey(), text); err != nil {
		return fmt.Errorf("store the account at %s: %w", i.config.DirectoryURL, err)
	}
	return nil
}
