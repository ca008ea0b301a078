package acme

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Nothing that holds a key of the account shows it, however it is printed; only
// the JSON for the storage does.
func TestSecrets_showNowhereButInTheStorage(t *testing.T) {
	t.Parallel()
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	secrets := append(strings.Split(strings.TrimSpace(string(text)), "\n")[1:3], hmac)
	file := accountFile{URL: "https://ca.example/1", Key: storedKey{key}}
	config := Config{ExternalKeyID: "kid", ExternalHMAC: secret.New(hmac), AccountKey: key}
	for name, value := range map[string]any{
		"account": account{url: "https://ca.example/1", key: key}, "stored account": file, "stored key": file.Key,
		"configuration": config, "HMAC key": config.ExternalHMAC,
		"issuer": &Issuer{config: config, registered: account{key: key}},
	} {
		var shown bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			_, _ = fmt.Fprintf(&shown, verb+"\n", value)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "value", value)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "value", value)
		for _, secret := range secrets {
			if strings.Contains(shown.String(), secret) || strings.Contains(shown.String(), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s shows a secret: %s", name, &shown)
			}
		}
	}
	stored, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	var read accountFile
	if err := json.Unmarshal(stored, &read); err != nil || read.Key.Hash() != key.Hash() || read.URL != file.URL {
		t.Errorf("read back %+v, %v, want the same account", read, err)
	}
}
