package deploy

import (
	"errors"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Keystore is a PKCS#12 or JKS file with key and chain under an alias. What it
// holds under other aliases stays.
type Keystore struct {
	Kind     pki.KeystoreKind
	Password secret.Text
	Alias    string // empty: that of the only key there is, or
	Fresh    string // in a keystore without one
}

var _ Format = Keystore{}

// Parts implements Format.
func (Keystore) Parts() Parts { return Parts{Leaf: true, Chain: true, Key: true} }

// Locked implements Locked.
func (k Keystore) Locked() bool { return k.Password.IsEmpty() }

// Encode implements Format.
func (k Keystore) Encode(m Material, held []byte) ([]byte, error) {
	alias := k.Alias
	if alias == "" {
		alias = k.Fresh
		found, err := pki.ReadKeystore(k.Kind, held, k.Password.Reveal(), "")
		switch {
		case held == nil:
		case err == nil:
			alias = found.Alias
		case !errors.Is(err, pki.ErrNoEntry):
			return nil, err
		}
	}
	return pki.WriteKeystore(k.Kind, held, k.Password.Reveal(), pki.KeystoreEntry{Alias: alias, Key: m.Key, Chain: m.Chain})
}

// Decode implements Format.
func (k Keystore) Decode(data []byte) (Material, error) {
	entry, err := pki.ReadKeystore(k.Kind, data, k.Password.Reveal(), k.Alias)
	return Material{entry.Chain, entry.Key}, err
}

// StoreOptions describe the keystore that a server in Java reads.
type StoreOptions struct {
	Path     string
	Kind     pki.KeystoreKind // default PKCS12
	Password secret.Text
	Alias    string // default: that of the only key in the file
}

// slot is the keystore as a target's file. An alias is used in a new file where none is set.
func (o StoreOptions) slot(alias string) Slot {
	kind := o.Kind
	if kind == "" {
		kind = pki.PKCS12
	}
	return Slot{Path: o.Path, Format: Keystore{Kind: kind, Password: o.Password, Alias: o.Alias, Fresh: alias}}
}
