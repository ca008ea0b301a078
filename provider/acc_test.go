package provider_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/provider"
)

// world is a lab, and the provider in this process that uses it with a clock of
// the test's own.
type world struct {
	*lab.Lab
	environment map[string]string

	mu    sync.Mutex
	ahead time.Duration
}

// newWorld starts a lab for one test.
func newWorld(t *testing.T, options lab.Options) *world {
	t.Helper()
	l, err := lab.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Lab: l, environment: map[string]string{}}
	for _, variable := range l.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		w.environment[name] = value
	}
	return w
}

// now is the provider's clock.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// advance moves the provider's clock.
func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// provider is a provider in this process.
func (w *world) provider() tfprotov6.ProviderServer {
	return provider.New("test", provider.Options{
		Now:    w.now,
		Getenv: func(name string) string { return w.environment[name] },
	})()
}

// test runs steps with real terraform and the provider in this process.
func (w *world) test(t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	resource.Test(t, resource.TestCase{
		IsUnitTest: true,
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"certificate": func() (tfprotov6.ProviderServer, error) { return w.provider(), nil },
		},
		Steps: steps,
	})
}

// issuer is the world's CA with the world's account, outside of the provider.
func (w *world) issuer(t *testing.T) *acme.Issuer {
	t.Helper()
	store, err := custody.OpenDirectory(w.StorageDirectory())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := acme.New(acme.FromEnvironment(func(name string) string { return w.environment[name] }), store, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}
