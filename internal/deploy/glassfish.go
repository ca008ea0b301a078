package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// GlassFishOptions describe a GlassFish or Payara server.
type GlassFishOptions struct {
	Store   StoreOptions // the domain's keystore; its password is the master password
	Admin   Admin        // the administration, port 4848; without a URL:
	Restart []string
}

// GlassFish is the target for GlassFish and Payara. They read the domain's
// keystore when they start, so the domain is restarted.
type GlassFish struct{ options GlassFishOptions }

var (
	_ FileTarget = (*GlassFish)(nil)
	_ Grouped    = (*GlassFish)(nil)
)

// NewGlassFish checks the options and returns the target.
func NewGlassFish(options GlassFishOptions) (*GlassFish, error) {
	if options.Admin.URL == "" && len(options.Restart) == 0 {
		return nil, errors.New("glassfish needs its administration or a command to restart the domain")
	}
	if options.Admin.URL != "" {
		if err := options.Admin.check(); err != nil {
			return nil, err
		}
	}
	if options.Store.Alias == "" {
		options.Store.Alias = "s1as" // what the server's listeners name
	}
	g := &GlassFish{options}
	return g, checkSlots(g.Slots())
}

// Name implements Target.
func (*GlassFish) Name() string { return "glassfish" }

// Slots implements Target.
func (g *GlassFish) Slots() []Slot { return []Slot{g.options.Store.slot("s1as")} }

// Server implements Grouped.
func (g *GlassFish) Server() string {
	return identity(append([]string{"glassfish", g.options.Admin.URL}, g.options.Restart...)...)
}

// Test implements Target; the server has none.
func (*GlassFish) Test(context.Context, transport.Transport) (bool, error) { return false, nil }

// Reload implements Target by a restart of the domain. A server that is about to
// restart may break the connection off instead of answering.
func (g *GlassFish) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	if g.options.Admin.URL == "" {
		return maybe(ctx, machine, g.options.Restart)
	}
	said, err := g.options.Admin.ask(ctx, machine, request{
		method: http.MethodPost, path: "/management/domain/restart-domain",
		header: map[string]string{"Accept": "application/json", "X-Requested-By": "terraform-provider-certificate"},
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	var answer struct {
		ExitCode string `json:"exit_code"`
	}
	if json.Unmarshal([]byte(said), &answer) == nil && answer.ExitCode != "" && answer.ExitCode != "SUCCESS" {
		return true, fmt.Errorf("%w: the administration says %q", ErrAdmin, abridged(said))
	}
	return true, nil
}
