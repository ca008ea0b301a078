package dnsserver

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A clock that is set back, as by somebody who corrects it, makes nothing go
// early, no serial go back and no signature good from later on only.
func TestClock_setBack(t *testing.T) {
	t.Parallel()
	config := signedConfig(t)
	s, err := New(config, NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeClock{}
	today := time.Now()
	f.unix.Store(today.Add(24 * time.Hour).Unix())
	s.clock = f.clock()
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	expiring := txtChange("e.signed.example.", "a day and an hour from now")
	expiring.Expires = today.Add(25 * time.Hour).Unix()
	change(t, s, expiring)
	before := serialIn(t, s, "signed.example.")
	if reply := exchangeDO(t, s, "e.signed.example.", dns.TypeTXT); len(reply.Answer) != 2 {
		t.Fatalf("%v, want a value with its signature", reply)
	}
	f.unix.Store(today.Unix()) // a day back
	put(t, s, "other.signed.example", "v")
	if after := serialIn(t, s, "signed.example."); !newerSerial(after, before) {
		t.Errorf("serial %d after %d", after, before)
	}
	reply := exchangeDO(t, s, "e.signed.example.", dns.TypeTXT)
	checkSigned(t, keysOf(t, s), reply.Answer) // valid now, and not from tomorrow on
	if len(reply.Answer) != 2 {
		t.Errorf("%v, want the value that is not due", reply)
	}
	f.unix.Store(today.Add(26 * time.Hour).Unix())
	for range 2 {
		put(t, s, "other.signed.example", f.clock().now().String())
	}
	if got, err := s.TXT("e.signed.example"); err != nil || len(got) != 0 {
		t.Errorf("after its time: %q, %v", got, err)
	}
}
