package deploy

import (
	"context"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// JettyOptions describe an Eclipse Jetty.
type JettyOptions struct {
	Store   StoreOptions // keyStorePath
	Restart []string     // without the module ssl-reload
}

// Jetty is the target for Eclipse Jetty. Its module ssl-reload looks at the file
// every few seconds, so nothing is told; a damaged file would be an outage, so
// the file is replaced whole and was read back before.
type Jetty struct{ options JettyOptions }

var _ FileTarget = (*Jetty)(nil)

// NewJetty checks the options and returns the target.
func NewJetty(options JettyOptions) (*Jetty, error) {
	j := &Jetty{options}
	return j, checkSlots(j.Slots())
}

// Name implements Target.
func (*Jetty) Name() string { return "jetty" }

// Slots implements Target.
func (j *Jetty) Slots() []Slot { return []Slot{j.options.Store.slot("jetty")} }

// Test implements Target; Jetty has none.
func (*Jetty) Test(context.Context, transport.Transport) (bool, error) { return false, nil }

// Reload implements Target.
func (j *Jetty) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	return maybe(ctx, machine, j.options.Restart)
}
