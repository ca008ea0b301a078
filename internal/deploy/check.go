package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// CheckHost tells, without changing anything, what would keep a deployment from
// being made on a machine: CheckPaths, and keystores that cannot be opened as
// configured.
func CheckHost(ctx context.Context, machine transport.Transport, target Target) error {
	if err := CheckPaths(ctx, machine, target, ""); err != nil {
		return err
	}
	files, ok := target.(FileTarget)
	if !ok {
		return nil
	}
	var problems []error
	for _, slot := range files.Slots() {
		store, ok := slot.Format.(Keystore)
		if !ok {
			continue
		}
		found, err := look(ctx, machine, slot.Path)
		if err == nil && found.exists {
			err = store.opens(found.data)
		}
		if _, free := target.(*Files); free && errors.Is(err, pki.ErrNoEntry) {
			err = nil // nobody knows what reads it: the entry is added
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the keystore %s: %w", slot.Path, err))
		}
	}
	return errors.Join(problems...)
}

// opens tells whether a keystore that is there can be used as configured. One
// without any key takes whatever alias it is given.
func (k Keystore) opens(data []byte) error {
	_, err := pki.ReadKeystore(k.Kind, data, k.Password.Reveal(), k.Alias)
	switch {
	case errors.Is(err, pki.ErrKeystorePassword):
		return fmt.Errorf("%w: set password_wo to the one that the server uses", err)
	case errors.Is(err, pki.ErrNoEntry) && (k.Alias == "" || errors.Is(err, pki.ErrNoKey)):
		return nil
	case errors.Is(err, pki.ErrNoEntry):
		return fmt.Errorf("%w: set alias to the one that the server uses, or leave it out", err)
	}
	return err
}
