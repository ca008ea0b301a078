package dnsserver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// What is over the limits is refused over each way in, what is there stays, and
// there is room again when something goes.
func TestLimits_refuseWhatIsTooMuch(t *testing.T) {
	config := transferConfig()
	config.Tokens = testConfig().Tokens
	config.Accounts = Accounts{AcmeDNS: true, Register: true, Zone: "example.com"}
	config.Limits = Limits{MaxNames: 3}
	s := startServer(t, config, NewMemoryStore())
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		put(t, s, name, "v")
	}
	if err := s.PutTXT(t.Context(), "d.example.com", "v"); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "limits.max_names") {
		t.Errorf("a fourth name: %v, want %v", err, ErrFull)
	}
	if w := call(t, s, "PUT", "/v1/txt/d.example.com", "all-token", `{"value":"v"}`); w.Code != http.StatusInsufficientStorage {
		t.Errorf("over HTTP: %d %s, want 507", w.Code, w.Body)
	}
	update := new(dns.Msg).SetUpdate("example.com.")
	update.Insert(parseRecords(t, "d.example.com. 5 TXT v"))
	if reply := sendUpdate(t, s, "udp", signer(t, "all"), update); reply.Rcode != dns.RcodeRefused {
		t.Errorf("a dynamic update: %v, want REFUSED", reply)
	}
	put(t, s, "a.example.com", "more at a name that is there")
	if err := s.DeleteTXT(t.Context(), "b.example.com", "v"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "d.example.com", "v")
	if got, err := s.TXT("c.example.com"); err != nil || len(got) != 1 {
		t.Errorf("what was there: %q, %v", got, err)
	}
}

func TestLimits_ofBytes(t *testing.T) {
	config, store := testConfig(), NewMemoryStore()
	config.Limits = Limits{MaxBytes: 20000}
	s := startServer(t, config, store)
	stored := 0
	for ; stored < 100; stored++ {
		if err := s.PutTXT(t.Context(), "a.example.com", fmt.Sprintf("%04d%s", stored, strings.Repeat("x", 1000))); err != nil {
			if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "limits.max_bytes") {
				t.Errorf("%v, want %v", err, ErrFull)
			}
			break
		}
	}
	if stored < 15 || stored > 20 {
		t.Errorf("%d values of a kilobyte fit into 20,000 bytes", stored)
	}
	if _, _, err := s.register(t.Context(), newAccount{zone: "example.com.", subdomain: strings.Repeat("n", 60)}); stored < 19 && err == nil {
		for err == nil { // accounts count too
			_, _, err = s.register(t.Context(), newAccount{zone: "example.com."})
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("accounts: %v, want %v", err, ErrFull)
		}
	}
	before := s.view.Load().bytes()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	config.Limits.MaxBytes = 1000 // less than there is
	again := startServer(t, config, store)
	if got := again.view.Load().bytes(); got != before {
		t.Errorf("after a start there are %d bytes, before %d", got, before)
	}
	if got, err := again.TXT("a.example.com"); err != nil || len(got) != stored {
		t.Errorf("a start with a lower limit shows %d values, %v; want all %d", len(got), err, stored)
	}
	if problems := (Config{Zones: testConfig().Zones, Limits: Limits{MaxNames: -1, MaxBytes: -1}}).Problems(); len(problems) != 2 {
		t.Errorf("limits below nothing: %v", problems)
	}
}
