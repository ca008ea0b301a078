package custody_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/custody/custodytest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func TestSeal_conformance(t *testing.T) {
	for name, identity := range map[string]secret.Text{
		"in the clear":    {},
		"X25519 identity": newIdentity(t),
	} {
		t.Run(name, func(t *testing.T) {
			custodytest.Run(t, func(t *testing.T) func() custody.Store {
				root := filepath.Join(t.TempDir(), "state")
				return func() custody.Store { return openSealed(t, root, identity) }
			})
		})
	}
}

func TestSeal_valuesAreEncrypted(t *testing.T) {
	root, identity := filepath.Join(t.TempDir(), "state"), newIdentity(t)
	if err := openSealed(t, root, identity).Put(t.Context(), "keys/a", []byte("PRIVATE")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "keys", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("PRIVATE")) {
		t.Errorf("the file holds the value in the clear: %q", raw)
	}
	parsed, err := age.ParseX25519Identity(identity.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(raw), parsed); err != nil {
		t.Errorf("plain age cannot read the file: %v", err)
	}
}

func TestSeal_refusesWhatItCannotRead(t *testing.T) {
	one, other := newIdentity(t), newIdentity(t)
	for _, c := range []struct {
		name         string
		wrote, reads secret.Text
		hint         string
	}{
		{"another identity", one, other, "another identity"},
		{"an identity, but the value is in the clear", secret.Text{}, one, "remove encryption.age_identity"},
		{"no identity, but the value is encrypted", one, secret.Text{}, "set encryption.age_identity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "state")
			writer, reader := openSealed(t, root, c.wrote), openSealed(t, root, c.reads)
			if err := writer.Put(t.Context(), "keys/a", []byte("precious")); err != nil {
				t.Fatal(err)
			}
			_, getErr := reader.Get(t.Context(), "keys/a")
			for method, err := range map[string]error{
				"Get":    getErr,
				"Put":    reader.Put(t.Context(), "keys/a", []byte("overwritten")),
				"Delete": reader.Delete(t.Context(), "keys/a"),
			} {
				if !errors.Is(err, custody.ErrUnreadable) || !strings.Contains(err.Error(), c.hint) {
					t.Errorf("%s: %v, want ErrUnreadable that says %q", method, err, c.hint)
				}
			}
			if got, err := writer.Get(t.Context(), "keys/a"); err != nil || string(got) != "precious" {
				t.Errorf("the value afterwards = %q, %v; want it untouched", got, err)
			}
		})
	}
}

func TestSeal_identityIsReplacedByPuttingTheNewOneFirst(t *testing.T) {
	root, old, fresh := filepath.Join(t.TempDir(), "state"), newIdentity(t), newIdentity(t)
	if err := openSealed(t, root, old).Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	both := secret.New("\n  # new\n  " + fresh.Reveal() + "\n  # old\n  " + old.Reveal() + "\n")
	store := openSealed(t, root, both)
	data, err := store.Get(t.Context(), "keys/a")
	if err != nil {
		t.Fatalf("Get with both identities: %v", err)
	}
	if err := store.Put(t.Context(), "keys/a", data); err != nil {
		t.Fatal(err)
	}
	if got, err := openSealed(t, root, fresh).Get(t.Context(), "keys/a"); err != nil || string(got) != "a" {
		t.Errorf("Get with the new identity alone = %q, %v; want %q", got, err, "a")
	}
}

func TestSeal_hybridIdentity(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	store := openSealed(t, filepath.Join(t.TempDir(), "state"), secret.New(hybrid.String()))
	if err := store.Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get(t.Context(), "keys/a"); err != nil || string(got) != "a" {
		t.Errorf("Get = %q, %v; want %q", got, err, "a")
	}
}

func TestSeal_damageIsSaid(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	store := openSealed(t, root, newIdentity(t))
	if err := store.Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "keys", "a")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), "keys/a"); !errors.Is(err, custody.ErrUnreadable) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Get of a damaged value: %v, want ErrUnreadable that says damaged", err)
	}
}

func TestSeal_badIdentityIsNotEchoed(t *testing.T) {
	inner, err := custody.OpenDirectory(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"hunter2", "AGE-SECRET-KEY-1HUNTER2", "age1publichunter2", "# hunter2"} {
		_, err := custody.Seal(inner, secret.New(bad))
		if err == nil || !strings.Contains(err.Error(), "age-keygen") || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("Seal with %q: %v, want an error that names age-keygen and not the value", bad, err)
		}
	}
}

func TestSeal_inTheClearRefusesAnAgeFileAsValue(t *testing.T) {
	store := openSealed(t, filepath.Join(t.TempDir(), "state"), secret.Text{})
	if err := store.Put(t.Context(), "keys/a", []byte("age-encryption.org/v1\n…")); err == nil {
		t.Error("Put of an age file succeeded, though Get would refuse it")
	}
}

func openSealed(t *testing.T, root string, identity secret.Text) custody.Store {
	t.Helper()
	store, err := custody.Open(custody.Options{Directory: root, AgeIdentity: identity})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return store
}

func newIdentity(t *testing.T) secret.Text {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(identity.String())
}

func put(t *testing.T, store custody.Store, key, value string) {
	t.Helper()
	if err := store.Put(t.Context(), key, []byte(value)); err != nil {
		t.Errorf("Put(%q): %v", key, err)
	}
}
