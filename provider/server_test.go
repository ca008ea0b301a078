package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// counted counts what the framework is asked.
type counted struct {
	framework
	reads, plans, applies, upgrades, validations int
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

func (c *counted) ApplyResourceChange(ctx context.Context, request *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	c.applies++
	return c.framework.ApplyResourceChange(ctx, request)
}

func (c *counted) ValidateResourceConfig(ctx context.Context, request *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	c.validations++
	return c.framework.ValidateResourceConfig(ctx, request)
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
	storage := filepath.Join(t.TempDir(), "storage")
	s, ok := New("test", Options{Getenv: func(name string) string {
		return map[string]string{
			"CERTIFICATE_STORAGE_DIRECTORY": storage, "CERTIFICATE_ACME_TERMS_OF_SERVICE_AGREED": "true",
			"CERTIFICATE_ACME_DIRECTORY_URL": "https://127.0.0.1:1/dir", // nobody listens there
			"CERTIFICATE_RESPONDER_URL":      "http://127.0.0.1:1", "CERTIFICATE_RESPONDER_TOKEN": "none",
		}[name]
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
		said    int
	}{
		"nothing is due and nobody to be asked": {nil, nil, true, 0},
		"the CA was asked lately":               {used, memory(leaf, time.Now().Add(time.Hour)), true, 0},
		"the CA cannot be asked":                {used, memory(leaf, time.Now().Add(-time.Hour)), true, 1},
		"the CA was never asked":                {used, nil, true, 1},
		"the CA was asked about another one":    {used, memory("0badc0de", time.Now().Add(time.Hour)), true, 1},
		"the decision is another one now":       {map[string]tftypes.Value{"renew_at": text("2001-01-01T00:00:00Z")}, nil, true, 0},
		"the key has to be moved":               {map[string]tftypes.Value{"private_key_pem": text("key")}, nil, true, 1},
		"the certificate is damaged":            {map[string]tftypes.Value{"certificate_pem": text("nonsense")}, nil, true, 1},
		"the settings are damaged":              {map[string]tftypes.Value{"wait_timeout": text("soon")}, nil, true, 1},
		"the framework has notes":               {nil, []byte(`{".import_before_read":"dHJ1ZQ=="}`), false, 0},
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
			if len(got.Diagnostics) != test.said {
				t.Errorf("%d diagnostics, want %d: %v", len(got.Diagnostics), test.said, got.Diagnostics)
			}
			sameDiagnostics(t, got.Diagnostics, want.Diagnostics)
			if !w.decode(t, got.NewState).Equal(w.decode(t, want.NewState)) ||
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
	unknown := map[string]tftypes.Value{"domains": other}
	for name := range renewalOutputs(map[string]schema.Attribute{}) {
		unknown[name] = tftypes.NewValue(w.state[name].Type(), tftypes.UnknownValue)
	}
	for name, test := range map[string]struct {
		prior, proposed *tfprotov6.DynamicValue
		short           bool
		warnings        int
	}{
		"nothing changes and nothing is due": {same, same, true, 0},
		"a setting changes":                  {same, changed("wait_timeout", text("5m")), true, 0},
		"names change":                       {same, changed("domains", other), true, 1},
		"the certificate is due":             {due, due, true, 1},
		"an order is open":                   {open, open, true, 1},
		"the issuer is another one":          {gone, gone, true, 1},
		"the issuer does not exist":          {gone, changed("issuer", text("gone")), false, 0},
		"the resource is new":                {&nothing, encode(t, w.kind, unknown), true, 0},
		"the resource is to be destroyed":    {same, &nothing, false, 0},
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
			if !w.decode(t, got.PlannedState).Equal(w.decode(t, want.PlannedState)) || string(got.PlannedPrivate) != string(want.PlannedPrivate) {
				t.Errorf("the framework answers %v %s, the short way %v %s", w.decode(t, want.PlannedState), want.PlannedPrivate, w.decode(t, got.PlannedState), got.PlannedPrivate)
			}
			if len(got.Diagnostics) != test.warnings {
				t.Errorf("%d warnings, want %d: %v", len(got.Diagnostics), test.warnings, got.Diagnostics)
			}
			sameDiagnostics(t, got.Diagnostics, want.Diagnostics)
		})
	}
}

// sameDiagnostics compares what is said, and of which attribute.
func sameDiagnostics(t *testing.T, got, want []*tfprotov6.Diagnostic) {
	t.Helper()
	said := func(all []*tfprotov6.Diagnostic) []string {
		var texts []string
		for _, d := range all {
			texts = append(texts, fmt.Sprint(d.Severity, d.Summary, d.Detail, d.Attribute))
		}
		return texts
	}
	if !slices.Equal(said(got), said(want)) {
		t.Errorf("the framework says %q, the short way %q", said(want), said(got))
	}
}

func TestServer_appliesWithoutTheFramework(t *testing.T) {
	t.Parallel()
	w := newShortWay(t)
	nothing, err := tfprotov6.NewDynamicValue(w.kind, tftypes.NewValue(w.kind, nil))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string, value tftypes.Value) *tfprotov6.DynamicValue {
		return w.with(t, map[string]tftypes.Value{name: value})
	}
	window := tftypes.NewValue(w.state["renewal"].Type(), map[string]tftypes.Value{
		"window_days": tftypes.NewValue(tftypes.Number, 300), "use_ari": tftypes.NewValue(tftypes.Bool, nil), "force_token": text("a"), "time_zone": tftypes.NewValue(tftypes.String, nil),
	})
	for name, test := range map[string]struct {
		prior, planned *tfprotov6.DynamicValue
		private        string
		short          bool
		diagnostics    int
	}{
		"a setting changes":                    {w.with(t, nil), changed("wait_timeout", text("5m")), `{"ari":"e30="}`, true, 0},
		"a window does not fit":                {changed("renewal", window), changed("renewal", window), "", true, 1},
		"the issuer does not exist":            {w.with(t, nil), changed("issuer_used", text("gone")), "", true, 0},
		"the certificate in state is damaged":  {changed("certificate_pem", text("nonsense")), changed("wait_timeout", text("5m")), "", true, 1},
		"the framework has notes":              {w.with(t, nil), changed("wait_timeout", text("5m")), `{".import_before_read":"dHJ1ZQ=="}`, false, 0},
		"the key comes with the configuration": {changed("private_key_pem_wo_version", tftypes.NewValue(tftypes.Number, 1)), changed("private_key_pem_wo_version", tftypes.NewValue(tftypes.Number, 1)), "", false, 0},
		"the resource is destroyed":            {w.with(t, nil), &nothing, "", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			request := &tfprotov6.ApplyResourceChangeRequest{
				TypeName: renewalType, PriorState: test.prior, PlannedState: test.planned, PlannedPrivate: []byte(test.private),
				Config: encode(t, w.kind, map[string]tftypes.Value{"domains": w.state["domains"]}),
			}
			before := w.asked.applies
			got, err := w.ApplyResourceChange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if short := w.asked.applies == before; short != test.short {
				t.Fatalf("answered without the framework: %t, want %t", short, test.short)
			}
			if !test.short {
				return
			}
			want, err := w.asked.ApplyResourceChange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if !w.decode(t, got.NewState).Equal(w.decode(t, want.NewState)) || string(got.Private) != string(want.Private) {
				t.Errorf("the framework answers %v %s, the short way %v %s", w.decode(t, want.NewState), want.Private, w.decode(t, got.NewState), got.Private)
			}
			if len(got.Diagnostics) != test.diagnostics {
				t.Errorf("%d diagnostics, want %d: %v", len(got.Diagnostics), test.diagnostics, got.Diagnostics)
			}
			sameDiagnostics(t, got.Diagnostics, want.Diagnostics)
		})
	}
}

func TestServer_validatesWithoutTheFramework(t *testing.T) {
	t.Parallel()
	w := newShortWay(t)
	names := func(all ...string) tftypes.Value {
		values := make([]tftypes.Value, len(all))
		for n, name := range all {
			values[n] = text(name)
		}
		return tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, values)
	}
	ask := func(values map[string]tftypes.Value) (said int, short bool) {
		t.Helper()
		before := w.asked.validations
		response, err := w.ValidateResourceConfig(t.Context(), &tfprotov6.ValidateResourceConfigRequest{
			TypeName: renewalType, Config: encode(t, w.kind, values), ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(response.Diagnostics), w.asked.validations == before
	}
	key := map[string]tftypes.Value{"domains": names("own.example.test"), "private_key_pem_wo": text("nonsense"), "private_key_pem_wo_version": tftypes.NewValue(tftypes.Number, 1)}
	for _, step := range []struct {
		name   string
		values map[string]tftypes.Value
		said   int
		short  bool
	}{
		{"the first of a fleet", map[string]tftypes.Value{"domains": names("one.example.test")}, 0, false},
		{"the next one", map[string]tftypes.Value{"domains": names("two.example.test")}, 0, true},
		{"a bad name", map[string]tftypes.Value{"domains": names("not a name")}, 1, false},
		{"another setting", map[string]tftypes.Value{"domains": names("two.example.test"), "wait_timeout": text("5m")}, 0, false},
		{"the same setting", map[string]tftypes.Value{"domains": names("three.example.test"), "wait_timeout": text("5m")}, 0, true},
		{"a bad setting", map[string]tftypes.Value{"domains": names("two.example.test"), "wait_timeout": text("soon")}, 1, false},
		{"the bad setting again", map[string]tftypes.Value{"domains": names("three.example.test"), "wait_timeout": text("soon")}, 1, false},
		{"no names", nil, 1, false},
		{"a key of the user's own", key, 1, false},
		{"that key again", key, 1, false},
	} {
		said, short := ask(step.values)
		if said != step.said || short != step.short {
			t.Errorf("%s: %d diagnostics, answered without the framework: %t; want %d and %t", step.name, said, short, step.said, step.short)
		}
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

// BenchmarkShort is what a plan and an apply ask the provider for one certificate,
// and what the framework takes for it.
func BenchmarkShort(b *testing.B) {
	w := newShortWay(b)
	state, due := w.with(b, nil), w.with(b, map[string]tftypes.Value{"renew_reason": text("due")})
	config := encode(b, w.kind, map[string]tftypes.Value{"domains": w.state["domains"]})
	for name, server := range map[string]tfprotov6.ProviderServer{"short": w.server, "framework": w.asked} {
		b.Run("read="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.ReadResource(b.Context(), &tfprotov6.ReadResourceRequest{TypeName: renewalType, CurrentState: state}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("validate="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.ValidateResourceConfig(b.Context(), &tfprotov6.ValidateResourceConfigRequest{TypeName: renewalType, Config: config}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("renew="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.PlanResourceChange(b.Context(), &tfprotov6.PlanResourceChangeRequest{
					TypeName: renewalType, PriorState: due, ProposedNewState: due, Config: config,
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("apply="+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := server.ApplyResourceChange(b.Context(), &tfprotov6.ApplyResourceChangeRequest{
					TypeName: renewalType, PriorState: state, PlannedState: state, Config: config,
				}); err != nil {
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
