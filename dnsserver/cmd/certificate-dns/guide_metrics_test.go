package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
	"github.com/certiform/terraform-provider-certificate/dnsserver/watch"
)

// sharedStore passes for one that another server shares.
type sharedStore struct{ *dnsserver.MemoryStore }

// Turn implements dnsserver.Shared.
func (s sharedStore) Turn(ctx context.Context, _ func(dnsserver.Stored), change func() dnsserver.Batch) error {
	return s.Apply(ctx, change())
}

// Catch implements dnsserver.Shared.
func (sharedStore) Catch(context.Context, func(dnsserver.Stored)) error { return nil }

// Wake implements dnsserver.Shared.
func (sharedStore) Wake() <-chan struct{} { return nil }

// Await implements dnsserver.Shared.
func (sharedStore) Await(context.Context, uint64) ([]dnsserver.Peer, error) { return nil, nil }

// Condition implements dnsserver.Shared.
func (sharedStore) Condition() dnsserver.Condition {
	return dnsserver.Condition{Peers: []dnsserver.Peer{{Name: "ns1", Here: true, Seen: time.Now()}}}
}

// exposition is all that /metrics may show, of a server with everything.
func exposition(t *testing.T) string {
	t.Helper()
	conf, err := readConfig(policyConfig(t, `
api {
  listen = "127.0.0.1:0"
  acme {
    names          = ["api.auth.example.com"]
    agree_to_terms = true
    folder         = "`+t.TempDir()+`"
  }
}
watch {
  endpoint "www" {
    address = "127.0.0.1:1"
  }
}
`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnsserver.New(conf.server, sharedStore{dnsserver.NewMemoryStore()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
	if _, err := dns.Exchange(new(dns.Msg).SetQuestion("auth.example.com.", dns.TypeSOA), s.Addr().String()); err != nil {
		t.Fatal(err)
	}
	keeper, err := identity.Open(conf.own, s)
	if err != nil {
		t.Fatal(err)
	}
	var m metric.Writer
	s.WriteMetrics(&m)
	watch.New(conf.watch, s).WriteMetrics(&m)
	keeper.WriteMetrics(&m)
	var out strings.Builder
	if _, err := m.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The guide's table has each metric, with its kind and the words of its HELP,
// and none that there is not.
func TestGuides_metricsAreThoseThereAre(t *testing.T) {
	there := map[string]string{}
	shown := exposition(t)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(shown, -1) {
		help := regexp.MustCompile(`(?m)^# HELP ` + m[1] + ` (.*)$`).FindStringSubmatch(shown)
		there[m[1]] = fmt.Sprintf("%s | %s", m[2], help[1])
	}
	text, err := os.ReadFile("../../../templates/guides/responder-metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`(?: by [^|]*)? \\| (\\w+ \\| .*) \\|$").FindAllStringSubmatch(string(text), -1) {
		described[m[1]] = m[2]
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if described[name] != there[name] {
			t.Errorf("the guide has\n\t%q, and there is\n\t| `%s` | %s |", described[name], name, there[name])
		}
	}
	for name := range described {
		if there[name] == "" {
			t.Errorf("the guide has %s, which there is not", name)
		}
	}
	// Of what has samples, the labels are told too.
	for _, m := range regexp.MustCompile(`(?m)^(certificate_dns_\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}`).FindAllStringSubmatch(shown, -1) {
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if label[1] != "le" && !regexp.MustCompile("(?m)^\\| `"+m[1]+"` by [^|]*`"+label[1]+"`").Match(text) {
				t.Errorf("the guide does not say that %s is by %s", m[1], label[1])
			}
		}
	}
}
