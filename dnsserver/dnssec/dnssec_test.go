package dnssec

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = "signed.example."

func newKey(t *testing.T) *Key {
	t.Helper()
	k, err := NewKey(zone, 300)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t *testing.T, lines ...string) []dns.RR {
	t.Helper()
	var all []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return all
}

func TestKey_isKeptInFilesOfBIND(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "keys")
	k := newKey(t)
	if err := k.Save(folder); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(k.file(folder) + ".private"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	if err := k.Save(folder); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second time: %v, want %v", err, os.ErrExist)
	}
	found, err := Find(folder, zone)
	if err != nil || len(found) != 1 || !found[0].Signs() || found[0].Public.PublicKey != k.Public.PublicKey {
		t.Errorf("found %+v, %v", found, err)
	}
	if others, err := Find(folder, "other.example."); err != nil || len(others) != 0 {
		t.Errorf("of another zone: %v, %v", others, err)
	}
	if _, err := Load(t.TempDir(), k.Public); !errors.Is(err, ErrMissing) {
		t.Errorf("elsewhere: %v, want %v", err, ErrMissing)
	}
	stranger := newKey(t)
	if err := os.WriteFile(stranger.file(folder)+".private", []byte("Private-key-format: v1.3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(folder, stranger.Public); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a torn file: %v", err)
	}
	program, err := exec.LookPath("dnssec-dsfromkey")
	if err != nil {
		t.Skip("dnssec-dsfromkey is not installed: apt-get install -y --no-install-recommends bind9-utils")
	}
	output, err := exec.CommandContext(t.Context(), program, "-2", k.file(folder)+".key").CombinedOutput()
	if err != nil || !strings.Contains(strings.ToUpper(strings.ReplaceAll(string(output), " ", "")), strings.ToUpper(k.DS().Digest)) {
		t.Errorf("BIND's DS is %s (%v), ours %s", output, err, k.DS())
	}
}

func TestSigner_signaturesVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	s := NewSigner(zone, k, []*Key{k})
	now := time.Now()
	for _, records := range [][]dns.RR{
		set(t, "A.Signed.EXAMPLE. 60 IN TXT \"Case\" \"kept\"", "A.Signed.EXAMPLE. 60 IN TXT other"),
		set(t, "signed.example. 300 IN SOA ns.Example. h.example. 1 2 3 4 5"),
		set(t, "x.signed.example. 5 IN NSEC \\000.x.signed.example. RRSIG NSEC TYPE128"),
		{k.Public},
	} {
		signatures, err := s.Sign(records, now)
		if err != nil || len(signatures) != 1 {
			t.Fatalf("%v, %v", signatures, err)
		}
		signature := signatures[0].(*dns.RRSIG)
		if err := signature.Verify(k.Public, records); err != nil || !signature.ValidityPeriod(now) || signature.Hdr.Name != records[0].Header().Name {
			t.Errorf("%v: %v", signature, err)
		}
		again, err := s.Sign(records, now.Add(time.Hour))
		if err != nil || again[0].(*dns.RRSIG).Signature != signature.Signature {
			t.Errorf("an hour later there is another signature (%v)", err)
		}
		later, err := s.Sign(records, now.Add(5*24*time.Hour))
		if err != nil || later[0].(*dns.RRSIG).Signature == signature.Signature || !later[0].(*dns.RRSIG).ValidityPeriod(now.Add(5*24*time.Hour)) {
			t.Errorf("near its end the signature is not made anew (%v)", err)
		}
		records[0].Header().Ttl++
		if other, err := s.Sign(records, now); err != nil || other[0].(*dns.RRSIG).OrigTtl == signature.OrigTtl {
			t.Errorf("another TTL has the same signature (%v)", err)
		}
	}
}

func TestSigner_memoryIsBounded(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	s := NewSigner(zone, k, []*Key{k})
	for id := range uint64(3 * cacheSize) {
		s.keep(id, &dns.RRSIG{})
	}
	if n := len(s.fresh) + len(s.stale); n > 2*cacheSize {
		t.Errorf("%d signatures are kept, want at most %d", n, 2*cacheSize)
	}
}

// From one key to the next, step by step, and never sooner than others can have
// forgotten.
func TestRing_rollsOver(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	times := Times{Keys: time.Hour, Zone: 2 * time.Hour, Parent: 24 * time.Hour}
	first, second := newKey(t), newKey(t)
	ring := NewRing(first, start)
	if _, err := ring.Begin(second, start); err != nil {
		t.Fatal(err)
	}
	ring, err := ring.Begin(second, start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Begin(newKey(t), start); !errors.Is(err, ErrRolling) {
		t.Errorf("a third key: %v, want %v", err, ErrRolling)
	}
	states := func() string {
		var all []string
		for _, e := range ring.Entries {
			all = append(all, string(e.State))
		}
		return strings.Join(all, " ")
	}
	parent := false
	var changes []string
	for at := start; at.Before(start.Add(80 * time.Hour)); at = at.Add(time.Minute) {
		parent = parent || at.Sub(start) >= 30*time.Hour // somebody changes the DS
		next, changed := ring.Step(at, times, func(*dns.DNSKEY) bool { return parent })
		ring = next
		if changed {
			changes = append(changes, at.Sub(start).String()+" "+states())
		}
		ds := ring.DS()
		if want := second.Public.PublicKey; len(ds) != 1 || (ds[0].PublicKey == want) != (at.Sub(start) >= time.Hour+margin) {
			t.Fatalf("after %s CDS has %v in the states %s", at.Sub(start), ds, states())
		}
	}
	want := []string{
		"1h5m0s active waiting", "30h0m0s active seen", "54h5m0s retired active", "56h10m0s active",
	}
	if !slices.Equal(changes, want) {
		t.Errorf("changes\n%s\nwant\n%s", strings.Join(changes, "\n"), strings.Join(want, "\n"))
	}
}

func TestRing_keysThatAreNotHere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, second := newKey(t), newKey(t)
	if err := first.Save(folder); err != nil {
		t.Fatal(err)
	}
	ring, err := NewRing(first, time.Now()).Begin(second, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	all, signs, err := ring.Keys(folder)
	if len(all) != 2 || signs == nil || signs.Tag() != first.Tag() || !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), second.file(folder)) {
		t.Errorf("%d keys, %v signs, %v", len(all), signs, err)
	}
	s := NewSigner(zone, signs, all)
	if signatures, err := s.Sign([]dns.RR{first.Public, second.Public}, time.Now()); err != nil || len(signatures) != 1 {
		t.Errorf("the keys' rrset has %d signatures (%v), want one of the key that is here", len(signatures), err)
	}
}
