package custody

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that does not print: every way of formatting, logging or
// marshalling it gives "[redacted]". The zero value is empty.
type Secret struct {
	// A pointer, because fmt does not call the methods of a Secret in an
	// unexported field but prints what it finds there: an address then.
	value *string
}

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{value: &s} }

// Reveal returns the hidden string.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsEmpty says whether nothing is hidden.
func (s Secret) IsEmpty() bool { return s.Reveal() == "" }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder; JSON and most other encoders use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
