package tsig

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A signature is verified on every update: what a MAC is made of is used again.
func TestVerify_makesNoMAC(t *testing.T) {
	k, err := NewKey("a.", "", NewSecret(base64.StdEncoding.EncodeToString(make([]byte, 32))))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := new(dns.Msg).SetUpdate("example.com.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	signed, _ := k.Sign(msg, nil, now)
	s, err := Find(signed)
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(1000, func() {
		if err := k.Verify(signed, s, nil, now); err != nil {
			t.Fatal(err)
		}
	})
	if got > 6 {
		t.Errorf("a verification takes %v allocations, want at most 6", got)
	}
}
