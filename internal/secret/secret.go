// Package secret holds passwords, tokens and keys of the configuration so that
// they show nowhere by accident.
//
// It stores nothing and encrypts nothing. Its invariant: only Reveal gives the
// text away.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a string that does not show itself, however it is formatted, logged or
// marshalled. The zero value is empty.
type Text struct {
	// reveal is a function because fmt calls no method of a Text in an unexported
	// field: it looks into it, but not into a function.
	reveal func() string
}

// New hides s.
func New(s string) Text { return Text{func() string { return s }} }

// Reveal returns the hidden string.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsEmpty says whether nothing is hidden.
func (t Text) IsEmpty() bool { return t.Reveal() == "" }

// String implements fmt.Stringer with a placeholder.
func (Text) String() string { return redacted }

// GoString implements fmt.GoStringer with a placeholder.
func (Text) GoString() string { return redacted }

// Format implements fmt.Formatter with a placeholder, whatever the verb.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer with a placeholder.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a placeholder; JSON and most other encoders use it.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
