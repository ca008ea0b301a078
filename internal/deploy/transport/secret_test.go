package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func assertHidden(t *testing.T, value any) {
	t.Helper()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("value", "value", value)
	encoded, err := json.Marshal(value)
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("marshalling says %v", err)
	}
	for _, text := range []string{
		fmt.Sprint(value), fmt.Sprintf("%v %+v %#v %s %q %x", value, value, value, value, value, value), log.String(), string(encoded),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("a secret shows in %q", text)
		}
	}
}
