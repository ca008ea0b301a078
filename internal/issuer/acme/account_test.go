package acme_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func newKey(t testing.TB) pki.Key {
	t.Helper()
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// place orders one certificate with a configuration and returns the error.
func place(t testing.TB, l *lab.Lab, c acme.Config, name string) error {
	t.Helper()
	runner := newRunnerWith(t, l.StorageDirectory(), c, solver(t, l))
	_, _, err := runner.Run(t.Context(), order.Wish{
		Intent: order.Intent{Issuer: "lab", Names: []string{name + ".example.test"}, Algorithm: pki.ECDSAP256}, Wait: time.Minute,
	})
	return err
}

func TestAccount_externalBinding(t *testing.T) {
	t.Parallel()
	const id, key = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	l := newLab(t, lab.Options{ExternalAccounts: map[string]string{id: key}})
	if err := place(t, l, config(l), "none"); err == nil || !strings.Contains(err.Error(), "external_account") {
		t.Errorf("without a binding: %v, want what to set", err)
	}
	wrong := config(l)
	wrong.ExternalKeyID, wrong.ExternalHMAC = id, secret.New("d3Jvbmc")
	if err := place(t, l, wrong, "wrong"); err == nil || strings.Contains(err.Error(), "d3Jvbmc") {
		t.Errorf("with a wrong key: %v, want an error without the key", err)
	}
	right := config(l)
	right.ExternalKeyID, right.ExternalHMAC = id, secret.New(key)
	if err := place(t, l, right, "right"); err != nil {
		t.Error(err)
	}
	if shown := fmt.Sprintf("%+v %#v %s", right, right, right.ExternalHMAC); strings.Contains(shown, key) {
		t.Errorf("the key shows in %s", shown)
	}
}

func TestAccount_keyOfTheUser(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	c := config(l)
	c.AccountKey = newKey(t)
	for _, name := range []string{"a", "b"} {
		if err := place(t, l, c, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.accounts(); got != 1 {
		t.Errorf("%d registrations, want 1", got)
	}
}

func TestAccount_contactIsUpdated(t *testing.T) {
	t.Parallel()
	l, g := newGatedLab(t)
	c := config(l)
	for n, email := range []string{"", "ops@example.com", "ops@example.com", "dev@example.com"} {
		c.Email = email
		if err := place(t, l, c, fmt.Sprint("n", n)); err != nil {
			t.Fatal(err)
		}
	}
	if registrations, updates := g.accounts(), g.answered("my-account", http.StatusOK); registrations != 1 || updates != 2 {
		t.Errorf("%d registrations and %d updates, want 1 and 2", registrations, updates)
	}
}

// An account that was deactivated is replaced, unless its key is the user's.
func TestAccount_deactivatedIsReplaced(t *testing.T) {
	t.Parallel()
	for sentence, own := range map[string]bool{"a key of ours": false, "a key of the user": true} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			l, g := newGatedLab(t)
			c := config(l)
			if own {
				c.AccountKey = newKey(t)
			}
			if err := place(t, l, c, "first"); err != nil {
				t.Fatal(err)
			}
			dead := true
			g.set(func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "sign-me-up" {
					dead = false
				}
				if dead && (kind == "order-plz" || kind == "my-account") {
					g.refuse(w, r, http.StatusUnauthorized, "unauthorized", "account is deactivated")
					return true
				}
				return false
			})
			err := place(t, l, c, "second")
			if got := errors.Is(err, acme.ErrDeactivated); got != own || !own && err != nil {
				t.Errorf("%v, want %t for %v", err, own, acme.ErrDeactivated)
			}
		})
	}
}
