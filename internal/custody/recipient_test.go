package custody_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/custody/custodytest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func TestSeal_conformanceWithRecipients(t *testing.T) {
	identity, other := newIdentity(t), newIdentity(t)
	custodytest.Run(t, func(t *testing.T) func() custody.Store {
		root := filepath.Join(t.TempDir(), "state")
		return func() custody.Store { return openFor(t, root, identity, public(t, other)) }
	})
}

// Two machines that list each other read what the other wrote; a third that
// nobody lists does not.
func TestSeal_recipientsReadWhatIsStored(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	one, two, third := newIdentity(t), newIdentity(t), newIdentity(t)
	put(t, openFor(t, root, one, public(t, two)), "keys/one", "by one")
	put(t, openFor(t, root, two, " "+public(t, one)+"\n", public(t, two)), "keys/two", "by two")
	for key, want := range map[string]string{"keys/one": "by one", "keys/two": "by two"} {
		for name, identity := range map[string]secret.Text{"one": one, "two": two} {
			if got, err := openFor(t, root, identity).Get(t.Context(), key); err != nil || string(got) != want {
				t.Errorf("%s: Get(%q) = %q, %v; want %q", name, key, got, err, want)
			}
		}
		if _, err := openFor(t, root, third, public(t, one)).Get(t.Context(), key); !errors.Is(err, custody.ErrUnreadable) {
			t.Errorf("Get(%q) by a stranger: %v, want ErrUnreadable", key, err)
		}
	}
}

// A recipient that is no longer listed keeps what was stored, until it is
// stored again.
func TestSeal_recipientsChangeWithTheNextWrite(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	identity, former := newIdentity(t), newIdentity(t)
	put(t, openFor(t, root, identity, public(t, former)), "keys/a", "first")
	store := openFor(t, root, identity)
	if got, err := openFor(t, root, former).Get(t.Context(), "keys/a"); err != nil || string(got) != "first" {
		t.Errorf("Get before the next write = %q, %v; want %q", got, err, "first")
	}
	put(t, store, "keys/a", "second")
	if _, err := openFor(t, root, former).Get(t.Context(), "keys/a"); !errors.Is(err, custody.ErrUnreadable) {
		t.Errorf("Get after the next write: %v, want ErrUnreadable", err)
	}
}

func TestSeal_badRecipients(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	identity := newIdentity(t)
	good := public(t, newIdentity(t))
	for _, c := range []struct {
		name       string
		recipients []string
		hint       string
	}{
		{"no recipient", []string{"bob"}, `"bob" is none`},
		{"one of several", []string{good, "age1typo"}, `"age1typo" is none`},
		{"empty", []string{""}, `"" is none`},
		{"two in one", []string{good + "\n" + good}, "is none"},
		{"an identity in place of its public part", []string{identity.Reveal()}, "which is secret"},
		{"the same in lower case", []string{strings.ToLower(identity.Reveal())}, "which is secret"},
		{"a hybrid one beside one that is not", []string{hybrid.Recipient().String()}, "cannot be used together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner, err := custody.OpenDirectory(filepath.Join(t.TempDir(), "state"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = custody.Seal(inner, identity, c.recipients...)
			if !errors.Is(err, custody.ErrRecipient) || !strings.Contains(err.Error(), c.hint) {
				t.Fatalf("Seal: %v, want ErrRecipient that says %q", err, c.hint)
			}
			if strings.Contains(strings.ToUpper(err.Error()), "AGE-SECRET-KEY-1") {
				t.Errorf("the error shows the identity: %v", err)
			}
		})
	}
}

func TestSeal_recipientsNeedAnIdentity(t *testing.T) {
	inner, err := custody.OpenDirectory(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := custody.Seal(inner, secret.Text{}, public(t, newIdentity(t))); !errors.Is(err, custody.ErrNoIdentity) {
		t.Errorf("Seal: %v, want ErrNoIdentity", err)
	}
}

func openFor(t *testing.T, root string, identity secret.Text, recipients ...string) custody.Store {
	t.Helper()
	store, err := custody.Open(custody.Options{Directory: root, AgeIdentity: identity, AgeRecipients: recipients})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return store
}

// public is the recipient of an identity.
func public(t *testing.T, identity secret.Text) string {
	t.Helper()
	parsed, err := age.ParseX25519Identity(identity.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Recipient().String()
}
