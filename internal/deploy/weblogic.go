package deploy

import (
	"context"
	"errors"
	"net/http"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// WebLogicOptions describe an Oracle WebLogic Server.
type WebLogicOptions struct {
	Store      StoreOptions // the custom identity keystore
	Management Admin        // the RESTful management of the server itself
}

// WebLogic is the target for Oracle WebLogic Server with a custom identity
// keystore: its TLS channels are restarted, which reads the file.
type WebLogic struct{ options WebLogicOptions }

var _ FileTarget = (*WebLogic)(nil)

// NewWebLogic checks the options and returns the target.
func NewWebLogic(options WebLogicOptions) (*WebLogic, error) {
	if options.Store.Alias == "" {
		return nil, errors.New("weblogic needs the alias that its SSL configuration names")
	}
	if err := options.Management.check(); err != nil {
		return nil, err
	}
	w := &WebLogic{options}
	return w, checkSlots(w.Slots())
}

// Name implements Target.
func (*WebLogic) Name() string { return "weblogic" }

// Slots implements Target.
func (w *WebLogic) Slots() []Slot { return []Slot{w.options.Store.slot("server")} }

// Test implements Target; the management has none.
func (*WebLogic) Test(context.Context, transport.Transport) (bool, error) { return false, nil }

// Reload implements Target by restartSSLChannels.
func (w *WebLogic) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	_, err := w.options.Management.ask(ctx, machine, request{
		method: http.MethodPost, path: "/management/weblogic/latest/serverRuntime/restartSSLChannels", body: []byte("{}"),
		header: map[string]string{"Content-Type": "application/json", "Accept": "application/json", "X-Requested-By": "terraform-provider-certificate"},
	})
	return true, err
}
