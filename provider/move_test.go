package provider_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// A moved block from acme_certificate keeps the certificate, takes its key out
// of state into the storage, and orders nothing. Terraform sends what the old
// provider had in state; its plugin itself is not needed for that.
func TestMove_fromAcmeCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	chain, key := deploytest.NewAuthority(t, time.Now()).Issue(t, time.Now(), []string{"www.example.test", "example.test"})
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	source, err := json.Marshal(map[string]any{
		"id": "https://ca.example/cert/1", "account_key_pem": "…", "common_name": "www.example.test", "dns_challenge": []any{},
		"certificate_pem": string(pki.EncodeCertificates(chain[0])), "issuer_pem": string(pki.EncodeCertificates(chain[1:]...)),
		"private_key_pem": string(text), "min_days_remaining": 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	moved := moveState(t, w, "registry.terraform.io/vancluever/acme", source)
	for name, want := range map[string]string{
		"certificate_pem": string(pki.EncodeCertificates(chain[0])), "chain_pem": string(pki.EncodeCertificates(chain[1:]...)),
		"status": "issued",
	} {
		var got string
		if err := moved[name].As(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	if !moved["private_key_pem"].IsNull() {
		t.Error("the private key is still in state")
	}
	stored, err := filepath.Glob(filepath.Join(w.StorageDirectory(), "keys", "*"))
	if err != nil || len(stored) != 1 {
		t.Errorf("stored keys %v (%v), want the one that was in state", stored, err)
	}
	if requests, _ := w.CA.Requests(); requests != 0 {
		t.Errorf("%d requests to the CA, want none", requests)
	}
}

// moveState does what Terraform does for a moved block: move, then refresh.
func moveState(t *testing.T, w *world, from string, source []byte) map[string]tftypes.Value {
	t.Helper()
	server := w.provider()
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	configType := schemas.Provider.ValueType()
	empty := map[string]tftypes.Value{}
	for name, kind := range configType.(tftypes.Object).AttributeTypes {
		empty[name] = tftypes.NewValue(kind, nil)
	}
	config, err := tfprotov6.NewDynamicValue(configType, tftypes.NewValue(configType, empty))
	if err != nil {
		t.Fatal(err)
	}
	configured, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: &config})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := server.MoveResourceState(t.Context(), &tfprotov6.MoveResourceStateRequest{
		SourceProviderAddress: from, SourceTypeName: "acme_certificate", SourceSchemaVersion: 5,
		SourceState: &tfprotov6.RawState{JSON: source}, TargetTypeName: "certificate_renewal",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(configured.Diagnostics, moved.Diagnostics...) {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	if moved.TargetState == nil {
		t.FailNow()
	}
	read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{TypeName: "certificate_renewal", CurrentState: moved.TargetState})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range read.Diagnostics {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	kind := schemas.ResourceSchemas["certificate_renewal"].ValueType()
	value, err := read.NewState.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]tftypes.Value{}
	if err := value.As(&attributes); err != nil {
		t.Fatal(err)
	}
	return attributes
}
