package custody_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
)

func TestSecret_doesNotPrint(t *testing.T) {
	const hidden = "hunter2"
	secret := custody.NewSecret(hidden)
	type exported struct{ Secret custody.Secret }
	type unexported struct{ secret custody.Secret }

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("stored", "secret", secret, "all", exported{secret}, "hidden", unexported{secret})
	}
	marshalled, err := json.Marshal([]any{secret, &secret, exported{secret}, unexported{secret}, map[string]any{"k": secret}})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(marshalled)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, value := range []any{secret, &secret, exported{secret}, unexported{secret}, []custody.Secret{secret}} {
			printed += fmt.Sprintf(verb, value)
		}
	}
	for _, leak := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden)} {
		if strings.Contains(printed, leak) {
			t.Errorf("%q is printed in\n%s", leak, printed)
		}
	}
	if got := secret.Reveal(); got != hidden {
		t.Errorf("Reveal() = %q, want %q", got, hidden)
	}
}

func TestSecret_zeroIsEmpty(t *testing.T) {
	if got := (custody.Secret{}).Reveal(); got != "" {
		t.Errorf("Reveal() = %q, want it empty", got)
	}
	if !(custody.Secret{}).IsEmpty() || custody.NewSecret("x").IsEmpty() {
		t.Error("IsEmpty is wrong")
	}
}
