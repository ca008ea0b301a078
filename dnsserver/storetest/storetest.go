// Package storetest is what every store of dnsserver must do, as a test that
// each of them runs. It serves no other purpose.
//
// Its invariant: it knows a store by its interface only, so that a store that
// passes may take the place of any other.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// Contents are all that is in a store, one line each, sorted: what its batches
// make up in their order.
func Contents(tb testing.TB, s dnsserver.Store) []string {
	tb.Helper()
	all := map[string]string{}
	err := s.Load(tb.Context(), func(b dnsserver.Batch) error {
		for _, c := range b.Changes {
			key := fmt.Sprintf("%s %s %q", c.Name, dns.Type(c.Type), c.Data)
			if all[key] = fmt.Sprintf(" %d %d", c.TTL, c.Expires); c.Op == dnsserver.DeleteRecord {
				delete(all, key)
			}
		}
		for _, d := range b.Documents {
			if all[d.Key] = fmt.Sprintf(" %q", d.Value); d.Delete {
				delete(all, d.Key)
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for key, value := range all {
		lines = append(lines, key+value)
	}
	slices.Sort(lines)
	return lines
}

// suite is one run of the tests.
type suite struct {
	t      *testing.T
	store  dnsserver.Store
	reopen func(dnsserver.Store) dnsserver.Store
}

// Run tests an empty store. reopen returns the same store as a new process
// would see it.
func Run(t *testing.T, s dnsserver.Store, reopen func(dnsserver.Store) dnsserver.Store) {
	t.Helper()
	all := &suite{t, s, reopen}
	all.records()
	all.recordsOfTypes()
	all.documents()
	all.ends()
}

func (s *suite) apply(b dnsserver.Batch) {
	s.t.Helper()
	if err := s.store.Apply(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) changes(changes ...dnsserver.Change) {
	s.t.Helper()
	s.apply(dnsserver.Batch{Changes: changes})
}

// check compares the contents before and after reopening.
func (s *suite) check(title string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	if got := Contents(s.t, s.store); !slices.Equal(got, want) {
		s.t.Errorf("%s: holds %.200q, want %.200q", title, got, want)
	}
	s.store = s.reopen(s.store)
	if got := Contents(s.t, s.store); !slices.Equal(got, want) {
		s.t.Errorf("%s, reopened: holds %.200q, want %.200q", title, got, want)
	}
}

func put(name, data string) dnsserver.Change {
	return dnsserver.Change{Name: name, Type: dns.TypeTXT, TTL: 5, Data: data}
}

// without is the change that takes back what c puts.
func without(c dnsserver.Change) dnsserver.Change {
	c.Op = dnsserver.DeleteRecord
	return c
}

func long() string { return strings.Repeat("long", 15000) }

func (s *suite) records() {
	s.check("a new store")
	s.changes()
	s.check("after no change")
	s.changes(put("a.", "1"), put("a.", "2"), put("b.", "1"))
	s.check("records are kept apart by name and data", `a. TXT "1" 5 0`, `a. TXT "2" 5 0`, `b. TXT "1" 5 0`)
	s.changes(put("a.", "1"))
	s.check("a record put twice is there once", `a. TXT "1" 5 0`, `a. TXT "2" 5 0`, `b. TXT "1" 5 0`)
	s.changes(without(put("a.", "2")), without(put("c.", "9")))
	s.check("a delete takes one, or none", `a. TXT "1" 5 0`, `b. TXT "1" 5 0`)
	s.changes(put("d.", "1"), without(put("d.", "1")), without(put("b.", "1")), put("b.", "1"))
	s.check("changes count in their order", `a. TXT "1" 5 0`, `b. TXT "1" 5 0`)
	s.changes(without(put("a.", "1")), without(put("b.", "1")), put("e.", long()), put("f.", "\x00\xff"), put(`\000.`, ""))
	s.check("data are any bytes of any length", fmt.Sprintf("e. TXT %q 5 0", long()), `f. TXT "\x00\xff" 5 0`, `\000. TXT "" 5 0`)
	s.changes(without(put("e.", long())), without(put("f.", "\x00\xff")), without(put(`\000.`, "")))
	s.check("and are known by all their bytes")
}

func (s *suite) recordsOfTypes() {
	s.changes(dnsserver.Change{Name: "g.", Type: dns.TypeA, TTL: 1<<31 - 1, Data: "abcd"},
		dnsserver.Change{Name: "g.", Type: 65280, Data: "abcd", Expires: 1 << 40})
	s.check("types are kept apart, with TTL and expiry", `g. A "abcd" 2147483647 0`, `g. TYPE65280 "abcd" 0 1099511627776`)
	s.changes(dnsserver.Change{Name: "g.", Type: dns.TypeA, TTL: 7, Data: "abcd"},
		dnsserver.Change{Name: "g.", Type: 65280, Data: "abcd", Expires: 9, Op: dnsserver.Extend})
	s.check("TTL and expiry can change", `g. A "abcd" 7 0`, `g. TYPE65280 "abcd" 0 9`)
}

func (s *suite) documents() {
	s.apply(dnsserver.Batch{
		Changes: []dnsserver.Change{without(dnsserver.Change{Name: "g.", Type: 65280, Data: "abcd"}), put("h.", "1")},
		Documents: []dnsserver.Document{
			{Key: "account/1", Value: []byte("\x00one")}, {Key: "account/2", Value: []byte(long())}, {Key: "key/1"},
		},
	})
	s.check("documents are kept beside records", `g. A "abcd" 7 0`, `h. TXT "1" 5 0`,
		`account/1 "\x00one"`, fmt.Sprintf("account/2 %q", long()), `key/1 ""`)
	s.apply(dnsserver.Batch{Documents: []dnsserver.Document{
		{Key: "account/2", Delete: true},
		{Key: "account/9", Delete: true},
		{Key: "key/1", Value: []byte("2")},
		{Key: "key/1", Value: []byte("3")},
	}})
	s.check("and replaced and deleted", `g. A "abcd" 7 0`, `h. TXT "1" 5 0`, `account/1 "\x00one"`, `key/1 "3"`)
}

// ends stops loading halfway.
func (s *suite) ends() {
	stop := errors.New("stop")
	calls := 0
	err := s.store.Load(s.t.Context(), func(dnsserver.Batch) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		s.t.Errorf("Load after an error: %v, %d calls; want %v, 1", err, calls, stop)
	}
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	if err := s.store.Load(ended, func(dnsserver.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		s.t.Errorf("Load with an ended context: %v", err)
	}
}
