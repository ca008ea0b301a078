package challenge_test

import (
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
)

// The labels are in people's DNS: these may never change.
func TestDelegate(t *testing.T) {
	for sentence, test := range map[string]struct{ domain, name, target string }{
		"a host":                  {"www.example.com", "_acme-challenge.www.example.com", "www-example-com-qd6a7ojgnw.auth.example.net"},
		"an apex":                 {"example.com", "_acme-challenge.example.com", "example-com-un42n5xov6.auth.example.net"},
		"a wildcard":              {"*.example.com", "_acme-challenge.example.com", "example-com-un42n5xov6.auth.example.net"},
		"an IDN is no fake label": {"xn--bcher-kva.example", "_acme-challenge.xn--bcher-kva.example", "xn-bcher-kva-example-s4gknnz6v4.auth.example.net"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := challenge.Delegate(test.domain, "auth.example.net")
			if err != nil {
				t.Fatal(err)
			}
			want := challenge.Delegation{Domain: strings.TrimPrefix(test.domain, "*."), Name: test.name, Target: test.target}
			if got != want {
				t.Errorf("Delegate = %+v, want %+v", got, want)
			}
		})
	}
}

func TestDelegationLabel(t *testing.T) {
	long := strings.Repeat("a", 53) + ".example.com"
	labels := map[string]string{}
	for _, domain := range []string{"a.b-c.example", "a-b.c.example", "a.b.c.example", "a--b.c.example", long, "x." + long, strings.Repeat("a", 53) + ".example.org"} {
		label := challenge.DelegationLabel(domain)
		if len(label) > 63 || strings.Contains(label, "--") || strings.Contains(label, ".") {
			t.Errorf("%s: %q is no label to use", domain, label)
		}
		if other, taken := labels[label]; taken {
			t.Errorf("%s and %s share the label %s", domain, other, label)
		}
		labels[label] = domain
		if again := challenge.DelegationLabel(domain); again != label {
			t.Errorf("%s: %q, asked again %q", domain, label, again)
		}
	}
}

func TestDelegate_refusesAZoneWithALongName(t *testing.T) {
	zone := strings.Repeat("a234567890.", 22) + "example"
	if got, err := challenge.Delegate("www.example.com", zone); err == nil {
		t.Errorf("Delegate = %+v, want an error", got)
	}
}
