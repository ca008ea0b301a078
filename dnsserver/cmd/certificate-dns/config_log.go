package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// logBlock is how the server writes its log.
type logBlock struct {
	Format string    `hcl:"format,optional"`
	Level  string    `hcl:"level,optional"`
	Range  hcl.Range `hcl:",def_range"`
}

// queryLogBlock is what the server remembers of queries.
type queryLogBlock struct {
	Entries   int       `hcl:"entries,optional"`
	Addresses string    `hcl:"addresses,optional"`
	Body      hcl.Body  `hcl:",body"`
	Range     hcl.Range `hcl:",def_range"`
}

func (b *queryLogBlock) conf() dnsserver.QueryLog {
	if b == nil {
		return dnsserver.QueryLog{}
	}
	return dnsserver.QueryLog{Entries: b.Entries, Addresses: b.Addresses}
}

// check finds settings of the log that there are not.
func (b *logBlock) check() []error {
	if b == nil {
		return nil
	}
	var errs []error
	switch b.Format {
	case "", "text", "json":
	default:
		errs = append(errs, fmt.Errorf(`%s: log: format: %q is none; write "text" or "json"`, linePlace(b.Range), b.Format))
	}
	if _, err := b.level(); err != nil {
		errs = append(errs, fmt.Errorf(`%s: log: level: %q is none; write "debug", "info", "warn" or "error"`, linePlace(b.Range), b.Level))
	}
	return errs
}

func (b *logBlock) format() string {
	if b == nil || b.Format == "" {
		return "text"
	}
	return b.Format
}

func (b *logBlock) level() (slog.Level, error) {
	var level slog.Level
	if b == nil || b.Level == "" {
		return level, nil
	}
	err := level.UnmarshalText([]byte(b.Level))
	return level, err
}

// newLogger writes to w, at a level that can be set later.
func newLogger(w io.Writer, b *logBlock) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	if l, err := b.level(); err == nil {
		level.Set(l)
	}
	options := &slog.HandlerOptions{Level: level}
	if b.format() == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}
