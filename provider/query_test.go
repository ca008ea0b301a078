package provider_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// newer is the protocol that Terraform speaks from 1.14 on.
type newer interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
}

// configured is a provider of the world, as a Terraform that is newer than the
// one of the tests would use it, and its schemas.
func configured(t *testing.T, w *world) (newer, *tfprotov6.GetProviderSchemaResponse) {
	t.Helper()
	server, ok := w.provider().(newer)
	if !ok {
		t.Fatal("the provider does not speak of actions and lists")
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: object(t, schemas.Provider.ValueType(), nil)})
	if err != nil {
		t.Fatal(err)
	}
	report(t, answer.Diagnostics)
	return server, schemas
}

// object is an object with the values, and null for the rest.
func object(t *testing.T, kind tftypes.Type, values map[string]tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	all := map[string]tftypes.Value{}
	for name, attribute := range kind.(tftypes.Object).AttributeTypes {
		all[name] = tftypes.NewValue(attribute, nil)
	}
	maps.Copy(all, values)
	encoded, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, all))
	if err != nil {
		t.Fatal(err)
	}
	return &encoded
}

func str(value string) tftypes.Value { return tftypes.NewValue(tftypes.String, value) }

func report(t *testing.T, diagnostics []*tfprotov6.Diagnostic) {
	t.Helper()
	for _, d := range diagnostics {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
}

// attributes of an object.
func attributes(t *testing.T, value *tfprotov6.DynamicValue, kind tftypes.Type) map[string]tftypes.Value {
	t.Helper()
	decoded, err := value.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]tftypes.Value{}
	if err := decoded.As(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func identityType() tftypes.Type {
	return tftypes.Object{AttributeTypes: map[string]tftypes.Type{"id": tftypes.String}}
}

// listed runs a query and returns what it found: identity to display name.
func listed(t *testing.T, w *world, config map[string]tftypes.Value) map[string]string {
	t.Helper()
	server, schemas := configured(t, w)
	stream, err := server.ListResource(t.Context(), &tfprotov6.ListResourceRequest{
		TypeName: "certificate_renewal", IncludeResource: true, Limit: 100,
		Config: object(t, schemas.ListResourceSchemas["certificate_renewal"].ValueType(), config),
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for result := range stream.Results {
		report(t, result.Diagnostics)
		id := attributes(t, result.Identity.IdentityData, identityType())["id"].String()
		state := attributes(t, result.Resource, schemas.ResourceSchemas["certificate_renewal"].ValueType())
		if state["id"].String() != id || state["certificate_pem"].IsNull() {
			t.Errorf("the listed resource is %v, want that of %s", state["id"], id)
		}
		found[id] = result.DisplayName
	}
	return found
}

func TestList_showsWhatTheStorageHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	kept := map[string]string{}
	both := `
resource "certificate_renewal" "www" { domains = ["www.example.test"] }
resource "certificate_renewal" "api" { domains = ["api.example.test", "*.api.example.test"] }
`
	w.test(t,
		resource.TestStep{Config: both, Check: grab(kept, "certificate_renewal.api", "id")},
		resource.TestStep{Config: wwwOnly, Check: func(*terraform.State) error {
			if found := listed(t, w, nil); len(found) != 1 {
				return fmt.Errorf("found %q, want the one that was not destroyed", found)
			}
			return nil
		}},
	)
	// Terraform has destroyed the other one too.
	for name, test := range map[string]struct {
		config map[string]tftypes.Value
		want   []string
	}{
		"nothing is in use":       {nil, nil},
		"what was destroyed too":  {map[string]tftypes.Value{"released": tftypes.NewValue(tftypes.Bool, true)}, []string{"www.example.test", "*.api.example.test, api.example.test"}},
		"one domain":              {map[string]tftypes.Value{"released": tftypes.NewValue(tftypes.Bool, true), "domain": str("API.example.test.")}, []string{"*.api.example.test, api.example.test"}},
		"a domain that has none":  {map[string]tftypes.Value{"released": tftypes.NewValue(tftypes.Bool, true), "domain": str("other.example.test")}, nil},
		"a domain, none released": {map[string]tftypes.Value{"domain": str("www.example.test")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found := listed(t, w, test.config)
			if len(found) != len(test.want) {
				t.Fatalf("found %q, want %q", found, test.want)
			}
			for _, names := range test.want {
				there := false
				for _, display := range found {
					there = there || strings.HasPrefix(display, names+" until 20")
				}
				if !there {
					t.Errorf("found %q, want %q among them", found, names)
				}
			}
		})
	}
	if _, ok := listed(t, w, map[string]tftypes.Value{"released": tftypes.NewValue(tftypes.Bool, true)})[str(kept["id"]).String()]; !ok {
		t.Errorf("%s is not listed", kept["id"])
	}
}

// An import block of Terraform 1.12 names the identity.
func TestIdentity_importsFromTheStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	kept := map[string]string{}
	w.test(t, resource.TestStep{Config: wwwOnly, Check: grab(kept, www, "id", "fingerprint_sha256")})
	server, schemas := configured(t, w)
	imported, err := server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{
		TypeName: "certificate_renewal",
		Identity: &tfprotov6.ResourceIdentityData{IdentityData: object(t, identityType(), map[string]tftypes.Value{"id": str(kept["id"])})},
	})
	if err != nil {
		t.Fatal(err)
	}
	report(t, imported.Diagnostics)
	if len(imported.ImportedResources) != 1 {
		t.Fatalf("%d resources, want 1", len(imported.ImportedResources))
	}
	got := imported.ImportedResources[0]
	state := attributes(t, got.State, schemas.ResourceSchemas["certificate_renewal"].ValueType())
	if fingerprint := state["fingerprint_sha256"]; !fingerprint.Equal(str(kept["fingerprint_sha256"])) {
		t.Errorf("imported %s, want %s", fingerprint, kept["fingerprint_sha256"])
	}
	if id := attributes(t, got.Identity.IdentityData, identityType())["id"]; !id.Equal(str(kept["id"])) {
		t.Errorf("its identity is %s, want %s", id, kept["id"])
	}
}

// invoke runs an action and returns what it says.
func invoke(t *testing.T, w *world, name string, config map[string]tftypes.Value) (progress []string, diagnostics []*tfprotov6.Diagnostic) {
	t.Helper()
	server, schemas := configured(t, w)
	stream, err := server.InvokeAction(t.Context(), &tfprotov6.InvokeActionRequest{
		ActionType: name,
		Config:     object(t, schemas.ActionSchemas[name].Schema.ValueType(), config),
	})
	if err != nil {
		t.Fatal(err)
	}
	for event := range stream.Events {
		switch e := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			progress = append(progress, e.Message)
		case tfprotov6.CompletedInvokeActionEventType:
			diagnostics = e.Diagnostics
		}
	}
	return progress, diagnostics
}

func TestRevoke_asAnAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	kept := map[string]string{}
	w.test(t, resource.TestStep{Config: wwwOnly, Check: grab(kept, www, "certificate_pem", "serial_number")})
	for range 2 { // one that is revoked already is a success
		progress, diagnostics := invoke(t, w, "certificate_revoke", map[string]tftypes.Value{"certificate_pem": str(kept["certificate_pem"]), "reason": str("superseded")})
		report(t, diagnostics)
		if said := strings.Join(progress, "\n"); !strings.Contains(said, kept["serial_number"]) || !strings.HasSuffix(said, "revoked") {
			t.Errorf("it says %q", said)
		}
	}
	if got := w.CA.Count("revoke-cert"); got < 2 { // more where it did not accept a nonce
		t.Errorf("%d requests to revoke, want 2", got)
	}
	for name, test := range map[string]struct {
		config map[string]tftypes.Value
		want   string
	}{
		"an issuer that is not there": {map[string]tftypes.Value{"certificate_pem": str(kept["certificate_pem"]), "issuer": str("nobody")}, "No such issuer"},
		"no certificate":              {map[string]tftypes.Value{"certificate_pem": str("nonsense")}, "Not a certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, diagnostics := invoke(t, w, "certificate_revoke", test.config)
			if len(diagnostics) != 1 || diagnostics[0].Summary != test.want {
				t.Errorf("got %v, want %q", diagnostics, test.want)
			}
		})
	}
}
