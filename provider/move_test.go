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
	server, schemas := configured(t, w)
	moved, err := server.MoveResourceState(t.Context(), &tfprotov6.MoveResourceStateRequest{
		SourceProviderAddress: from, SourceTypeName: "acme_certificate", SourceSchemaVersion: 5,
		SourceState: &tfprotov6.RawState{JSON: source}, TargetTypeName: "certificate_renewal",
	})
	if err != nil {
		t.Fatal(err)
	}
	report(t, moved.Diagnostics)
	if moved.TargetState == nil {
		t.FailNow()
	}
	read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{TypeName: "certificate_renewal", CurrentState: moved.TargetState})
	if err != nil {
		t.Fatal(err)
	}
	report(t, read.Diagnostics)
	return attributes(t, read.NewState, schemas.ResourceSchemas["certificate_renewal"].ValueType())
}
