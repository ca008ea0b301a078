package provider

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// counted counts what the framework is asked.
type counted struct {
	framework
	reads, plans, upgrades int
}

func (c *counted) UpgradeResourceState(ctx context.Context, request *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	c.upgrades++
	return c.framework.UpgradeResourceState(ctx, request)
}

func (c *counted) ReadResource(ctx context.Context, request *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	c.reads++
	return c.framework.ReadResource(ctx, request)
}

func (c *counted) PlanResourceChange(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	c.plans++
	return c.framework.PlanResourceChange(ctx, request)
}

// shortWay is a configured provider, what the framework in it is asked, and the
// state of a certificate with many days left.
type shortWay struct {
	*server
	asked *counted
	state map[string]tftypes.Value
}

func newShortWay(t testing.TB) *shortWay {
	t.Helper()
	storage := t.TempDir()
	s, ok := New("test", Options{Getenv: func(name string) string {
		return map[string]string{"CERTIFICATE_STORAGE_DIRECTORY": storage}[name]
	}})().(*server)
	if !ok {
		t.Fatal("the provider is no *server")
	}
	w := &shortWay{server: s, asked: &counted{framework: s.framework}}
	s.framework = w.asked
	schemas, err := s.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	nothing := encode(t, schemas.Provider.ValueType(), nil)
	if _, err := s.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: nothing}); err != nil {
		t.Fatal(err)
	}
	chain, _ := deploytest.NewAuthority(t, time.Now()).Issue(t, time.Now(), []string{"www.example.test"})
	file := filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(file, pki.EncodeCertificates(chain...), 0o600); err != nil {
		t.Fatal(err)
	}
	imported, err := s.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: renewalType, ID: file})
	if err != nil || len(imported.Diagnostics) > 0 {
		t.Fatal(err, imported)
	}
	read, err := s.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{TypeName: renewalType, CurrentState: imported.ImportedResources[0].State})
	if err != nil || len(read.Diagnostics) > 0 {
		t.Fatal(err, read)
	}
	w.state = map[string]tftypes.Value{}
	if err := w.decode(t, read.NewState).As(&w.state); err != nil {
		t.Fatal(err)
	}
	*w.asked = counted{framework: w.asked.framework}
	return w
}

func (w *shortWay) decode(t testing.TB, value *tfprotov6.DynamicValue) tftypes.Value {
	t.Helper()
	decoded, err := value.Unmarshal(w.kind)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func (w *shortWay) id(t testing.TB, identity *tfprotov6.ResourceIdentityData) string {
	t.Helper()
	if identity == nil || identity.IdentityData == nil {
		t.Fatal("no identity")
	}
	decoded, err := identity.IdentityData.Unmarshal(w.identity)
	if err != nil {
		t.Fatal(err)
	}
	return decoded.String()
}

// with is the state, changed.
func (w *shortWay) with(t testing.TB, changes map[string]tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	values := maps.Clone(w.state)
	maps.Copy(values, changes)
	return encode(t, w.kind, values)
}

// encode is an object with the values, and null for the rest.
func encode(t testing.TB, kind tftypes.Type, values map[string]tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	object, ok := kind.(tftypes.Object)
	if !ok {
		t.Fatalf("%s is no object", kind)
	}
	all := map[string]tftypes.Value{}
	for name, attribute := range object.AttributeTypes {
		all[name] = tftypes.NewValue(attribute, nil)
	}
	maps.Copy(all, values)
	encoded, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, all))
	if err != nil {
		t.Fatal(err)
	}
	return &encoded
}

func text(value string) tftypes.Value { return tftypes.NewValue(tftypes.String, value) }

func TestServer_readsWithoutTheFramework(t *testing.T) {
	t.Parallel()
	w := newShortWay(t)
	var fingerprint string
	if err := w.state["fingerprint_sha256"].As(&fingerprint); err != nil {
		t.Fatal(err)
	}
	leaf := fingerprint[:8]
	memory := func(of string, ask time.Time) []byte {
		inner, err := json.Marshal(suggestionMemory{Fingerprint: of, AskAfter: ask.Unix()})
		if err != nil {
			t.Fatal(err)
		}
		outer, err := json.Marshal(map[string][]byte{suggestionKey: inner})
		if err != nil {
			t.Fatal(err)
		}
		return outer
	}
	used := map[string]tftypes.Value{"issuer_used": text("default")}
	for name, test := range map[string]struct {
		changes map[string]tftypes.Value
		private []byte
		short   bool
	}{
		"nothing is due and nobody to be asked": {nil, nil, true},
		"the CA was asked lately":               {used, memory(leaf, time.Now().Add(time.Hour)), true},
		"it is time to ask the CA":              {used, memory(leaf, time.Now().Add(-time.Hour)), false},
		"the CA was never asked":                {used, nil, false},
		"the CA was asked about another one":    {used, memory("0badc0de", time.Now().Add(time.Hour)), false},
		"the decision is another one now":       {map[string]tftypes.Value{"renew_at": text("2001-01-01T00:00:00Z")}, nil, false},
		"the key has to be moved":               {map[string]tftypes.Value{"private_key_pem": text("key")}, nil, false},
		"the certificate is damaged":            {map[string]tftypes.Value{"certificate_pem": text("nonsense")}, nil, false},
		"the framework has notes":               {nil, []byte(`{".import_before_read":"dHJ1ZQ=="}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			request := &tfprotov6.ReadResourceRequest{TypeName: renewalType, CurrentState: w.with(t, test.changes), Private: test.private}
			before := w.asked.reads
			got, err := w.ReadResource(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if short := w.asked.reads == before; short != test.short {
				t.Fatalf("answered without the framework: %t, want %t", short, test.short)
			}
			if !test.short {
				return
			}
			want, err := w.asked.ReadResource(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if len(want.Diagnostics) > 0 || !w.decode(t, got.NewState).Equal(w.decode(t, want.NewState)) ||
				string(got.Private) != string(want.Private) || w.id(t, got.NewIdentity) != w.id(t, want.NewIdentity) {
				t.Errorf("the framework answers %v %s, the short way %v %s", want.NewState, want.Private, got.NewState, got.Private)
			}
		})
	}
}

func TestServer_plansWithoutTheFramework(t *testing.T) {
	t.Parallel()
	w := newShortWay(t)
	nothing, err := tfprotov6.NewDynamicValue(w.kind, tftypes.NewValue(w.kind, nil))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string, value tftypes.Value) *tfprotov6.DynamicValue {
		return w.with(t, map[string]tftypes.Value{name: value})
	}
	same, due, open, gone := w.with(t, nil), changed("renew_reason", text("due")), changed("status", text("issuing")), changed("issuer_used", text("gone"))
	other := tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, []tftypes.Value{text("other.example.test")})
	for name, test := range map[string]struct {
		prior, proposed *tfprotov6.DynamicValue
		short           bool
	}{
		"nothing changes and nothing is due": {same, same, true},
		"a setting changes":                  {same, changed("wait_timeout", text("5m")), false},
		"names change":                       {same, changed("domains", other), false},
		"the certificate is due":             {due, due, false},
		"an order is open":                   {open, open, false},
		"the issuer does not exist":          {gone, gone, false},
		"the resource is new":                {&nothing, same, false},
		"the resource is to be destroyed":    {same, &nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			request := &tfprotov6.PlanResourceChangeRequest{
				TypeName: renewalType, PriorState: test.prior, ProposedNewState: test.proposed,
				Config:       encode(t, w.kind, map[string]tftypes.Value{"domains": w.state["domains"]}),
				PriorPrivate: []byte(`{"ari":"e30="}`),
			}
			before := w.asked.plans
			got, err := w.PlanResourceChange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if short := w.asked.plans == before; short != test.short {
				t.Fatalf("answered without the framework: %t, want %t", short, test.short)
			}
			if !test.short {
				return
			}
			want, err := w.asked.PlanResourceChange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if len(want.Diagnostics) > 0 || !w.decode(t, got.PlannedState).Equal(w.decode(t, want.PlannedState)) || string(got.PlannedPrivate) != string(want.PlannedPrivate) {
				t.Errorf("the framework answers %v %s, the short way %v %s", want.PlannedState, want.PlannedPrivate, got.PlannedState, got.PlannedPrivate)
			}
		})
	}
}

func TestServer_upgradesWithoutTheFramework(t *testing.T) {
	t.Parallel()
	w := newShortWay(t)
	for name, test := range map[string]struct {
		version int64
		state   string
		short   bool
	}{
		"a state of this version":         {0, `{"id":"a","domains":["www.example.test"],"generation":3,"obligations":null}`, true},
		"an attribute that is no more":    {0, `{"id":"a","gone":{"b":[1]}}`, true},
		"a state of another version":      {1, `{"id":"a"}`, false},
		"an attribute of another type":    {0, `{"id":["a"]}`, false},
		"a state that is damaged":         {0, `{"id":`, false},
		"an object with a missing member": {0, `{"id":"a","subject":{}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			request := &tfprotov6.UpgradeResourceStateRequest{TypeName: renewalType, Version: test.version, RawState: &tfprotov6.RawState{JSON: []byte(test.state)}}
			before := w.asked.upgrades
			got, err := w.UpgradeResourceState(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if short := w.asked.upgrades == before; short != test.short {
				t.Fatalf("answered without the framework: %t, want %t", short, test.short)
			}
			want, err := w.asked.UpgradeResourceState(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Diagnostics) != len(want.Diagnostics) {
				t.Fatalf("%d diagnostics, want %d", len(got.Diagnostics), len(want.Diagnostics))
			}
			if test.short && !w.decode(t, got.UpgradedState).Equal(w.decode(t, want.UpgradedState)) {
				t.Errorf("the framework answers %v, the short way %v", want.UpgradedState, got.UpgradedState)
			}
		})
	}
}

// BenchmarkUnchanged is what a plan asks the provider for one certificate about
// which nothing changes, and what the framework would take for it.
func BenchmarkUnchanged(b *testing.B) {
	w := newShortWay(b)
	state := w.with(b, nil)
	config := encode(b, w.kind, map[string]tftypes.Value{"domains": w.state["domains"]})
	for name, server := range map[string]tfprotov6.ProviderServer{"short": w.server, "framework": w.asked} {
		b.Run("read="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.ReadResource(b.Context(), &tfprotov6.ReadResourceRequest{TypeName: renewalType, CurrentState: state}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("plan="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.PlanResourceChange(b.Context(), &tfprotov6.PlanResourceChangeRequest{
					TypeName: renewalType, PriorState: state, ProposedNewState: state, Config: config,
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
