package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// JBossOptions describe a WildFly or JBoss EAP.
type JBossOptions struct {
	Store      StoreOptions // the file of the Elytron key-store
	Management Admin        // the HTTP management interface, port 9990
	KeyStore   string       // name of the Elytron key-store
	KeyManager string       // name of the Elytron key-manager
}

// JBoss is the target for WildFly and JBoss EAP with the subsystem Elytron: the
// key-store is loaded and the key-manager initialized anew, without a restart.
type JBoss struct{ options JBossOptions }

var _ FileTarget = (*JBoss)(nil)

// NewJBoss checks the options and returns the target.
func NewJBoss(options JBossOptions) (*JBoss, error) {
	if options.KeyStore == "" || options.KeyManager == "" {
		return nil, errors.New("jboss needs the names of the Elytron key-store and of the key-manager")
	}
	if err := options.Management.check(); err != nil {
		return nil, err
	}
	j := &JBoss{options}
	return j, checkSlots(j.Slots())
}

// Name implements Target.
func (*JBoss) Name() string { return "jboss" }

// Slots implements Target.
func (j *JBoss) Slots() []Slot { return []Slot{j.options.Store.slot("server")} }

// Test implements Target; the management has none.
func (*JBoss) Test(context.Context, transport.Transport) (bool, error) { return false, nil }

// Reload implements Target by one management operation of two steps, of which
// both happen or neither.
func (j *JBoss) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	step := func(operation, kind, name string) map[string]any {
		return map[string]any{"operation": operation, "address": []string{"subsystem", "elytron", kind, name}}
	}
	body, err := json.Marshal(map[string]any{
		"operation": "composite", "address": []string{},
		"steps": []any{step("load", "key-store", j.options.KeyStore), step("init", "key-manager", j.options.KeyManager)},
	})
	if err != nil {
		return false, fmt.Errorf("write the management operation: %w", err)
	}
	said, err := j.options.Management.ask(ctx, machine, request{
		method: http.MethodPost, path: "/management", body: body, digest: true,
		header: map[string]string{"Content-Type": "application/json"},
	})
	if err != nil {
		return true, err
	}
	var answer struct{ Outcome string }
	if json.Unmarshal([]byte(said), &answer) != nil || answer.Outcome != "success" {
		return true, fmt.Errorf("%w: the management says %q", ErrAdmin, abridged(said))
	}
	return true, nil
}
