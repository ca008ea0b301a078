package transport

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a password or private key to log in with that does not show itself,
// however it is formatted, logged or marshalled. The zero value is empty.
type Secret struct {
	// reveal is a function because fmt calls no method of a Secret in an
	// unexported field: it looks into it, but not into a function.
	reveal func() string
}

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the hidden string.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
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
