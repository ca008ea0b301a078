package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// reload reads the configuration file again and puts what changed into force.
// Queries and connections go on meanwhile. A file with mistakes changes
// nothing; each mistake is a line of the log.
func (s *service) reload(ctx context.Context) {
	next, err := readConfig(s.path)
	if err == nil {
		s.keepFixed(&next)
		err = s.server.Reload(ctx, next.server)
	} else {
		s.server.ReloadFailed()
	}
	if err != nil {
		for _, problem := range unjoin(err) {
			s.log.Error("the new configuration is not used, the old one stays in force", "error", problem)
		}
		return
	}
	if level, err := next.log.level(); err == nil {
		s.level.Set(level)
	}
	s.certificates.use(next)
	next.watch.Log = s.log
	s.watcher.Use(next.watch)
	s.conf = next
	s.log.Info("configuration reloaded", "zones", len(next.server.Zones), "tokens", len(next.server.Tokens))
}

// keepFixed puts back what only a restart can change, and says so.
func (s *service) keepFixed(next *config) {
	keep := func(what string, same bool, restore func()) {
		if !same {
			restore()
			s.log.Warn("this changes at the next restart only, the old value stays in force", "what", what)
		}
	}
	keep("listen", slices.Equal(s.conf.listen, next.listen), func() { next.listen = s.conf.listen })
	keep("tls.listen", slices.Equal(s.conf.tls.addresses(), next.tls.addresses()), func() { next.tls = s.conf.tls })
	keep("storage", s.conf.storage == next.storage, func() { next.storage = s.conf.storage })
	keep("log.format", s.conf.log.format() == next.log.format(), func() {})
	keep("api.listen", s.conf.api.address() == next.api.address(), func() { next.api = s.conf.api })
	keep("api.acme", s.conf.own.Equal(next.own), func() { next.own = s.conf.own })
	keep("query_log.entries", s.conf.server.QueryLog.Entries == next.server.QueryLog.Entries, func() {
		next.server.QueryLog.Entries = s.conf.server.QueryLog.Entries
	})
}

// address is what of the api block a restart is needed for.
func (a *apiBlock) address() string {
	if a == nil {
		return ""
	}
	return fmt.Sprint(a.Listen, " ", a.tls(), " ", a.ACME != nil)
}

// unjoin takes apart what errors.Join and several %w made.
func unjoin(err error) []error {
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) || strings.Count(err.Error(), "\n") == 0 {
		return []error{err}
	}
	var all []error
	for _, e := range several.Unwrap() {
		all = append(all, unjoin(e)...)
	}
	return all
}
