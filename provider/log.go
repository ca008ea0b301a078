package provider

import (
	"context"
	"log/slog"

	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// newLogger bridges the packages that log with slog to Terraform's log.
func newLogger() *slog.Logger { return slog.New(tflogHandler{}) }

// tflogHandler writes records to the tflog logger of the record's context.
type tflogHandler struct{ attributes []slog.Attr }

func (tflogHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h tflogHandler) Handle(ctx context.Context, record slog.Record) error {
	fields := make(map[string]any, record.NumAttrs()+len(h.attributes))
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve().Any()
		if err, ok := value.(error); ok {
			value = err.Error()
		}
		fields[a.Key] = value
		return true
	}
	for _, a := range h.attributes {
		add(a)
	}
	record.Attrs(add)
	write := tflog.Debug
	switch {
	case record.Level >= slog.LevelError:
		write = tflog.Error
	case record.Level >= slog.LevelWarn:
		write = tflog.Warn
	case record.Level >= slog.LevelInfo:
		write = tflog.Info
	}
	write(ctx, record.Message, fields)
	return nil
}

// WithAttrs implements slog.Handler.
func (h tflogHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return tflogHandler{append(h.attributes[:len(h.attributes):len(h.attributes)], attributes...)}
}

// WithGroup implements slog.Handler; Terraform's log has no groups.
func (h tflogHandler) WithGroup(string) slog.Handler { return h }
