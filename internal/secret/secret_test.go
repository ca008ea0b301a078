package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func TestSecret_doesNotPrint(t *testing.T) {
	const hidden = "hunter2"
	hiding := secret.New(hidden)
	type exported struct{ Secret secret.Text }
	type unexported struct{ secret secret.Text }

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("stored", "secret", hiding, "all", exported{hiding}, "hidden", unexported{hiding})
	}
	marshalled, err := json.Marshal([]any{hiding, &hiding, exported{hiding}, unexported{hiding}, map[string]any{"k": hiding}})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(marshalled)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, value := range []any{hiding, &hiding, exported{hiding}, unexported{hiding}, []secret.Text{hiding}} {
			printed += fmt.Sprintf(verb, value)
		}
	}
	for _, leak := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden)} {
		if strings.Contains(printed, leak) {
			t.Errorf("%q is printed in\n%s", leak, printed)
		}
	}
	if got := hiding.Reveal(); got != hidden {
		t.Errorf("Reveal() = %q, want %q", got, hidden)
	}
}

func TestSecret_zeroIsEmpty(t *testing.T) {
	if got := (secret.Text{}).Reveal(); got != "" {
		t.Errorf("Reveal() = %q, want it empty", got)
	}
	if !(secret.Text{}).IsEmpty() || secret.New("x").IsEmpty() {
		t.Error("IsEmpty is wrong")
	}
}
