package provider_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/challenge/bindtest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// newBINDWorld is a lab whose CA looks records up at a real BIND.
func newBINDWorld(t *testing.T) (*world, *bindtest.Server) {
	t.Helper()
	bind := bindtest.Run(t)
	w := newWorld(t, lab.Options{Resolver: bind.Address})
	delete(w.environment, "CERTIFICATE_RESPONDER_URL")
	w.environment["CERTIFICATE_RESOLVERS"] = bind.Address
	w.environment["CERTIFICATE_NAME_SERVER_PORT"] = strconv.Itoa(bind.Port)
	return w, bind
}

// The CA validates through the zone that BIND serves; what others published at
// the same name stays.
func TestAccValidation_dynamicUpdates(t *testing.T) {
	t.Parallel()
	for sentence, configure := range map[string]func(w *world, bind *bindtest.Server) string{
		"in the configuration": func(_ *world, bind *bindtest.Server) string {
			return fmt.Sprintf("rfc2136 = {\n server = %q\n zone = %q\n key_name = %q\n algorithm = %q\n secret = %q\n }",
				bind.Address, bindtest.Zone, bindtest.KeyName, bindtest.Algorithm, bind.Secret)
		},
		"in the environment": func(w *world, bind *bindtest.Server) string {
			w.environment["CERTIFICATE_RFC2136_SERVER"] = bind.Address
			w.environment["CERTIFICATE_RFC2136_KEY_NAME"] = bindtest.KeyName
			w.environment["CERTIFICATE_RFC2136_SECRET"] = bind.Secret
			return ""
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w, bind := newBINDWorld(t)
			const shared = "_acme-challenge.www." + bindtest.Zone
			bind.Add(t, shared, "somebody else's")
			names := []string{"www." + bindtest.Zone, "*.www." + bindtest.Zone, bindtest.Zone, "deep.below." + bindtest.Zone}
			config := validated(configure(w, bind), names...)
			w.test(t,
				resource.TestStep{Config: config, Check: coversExactly(names...)},
				resource.TestStep{Config: config, PlanOnly: true},
			)
			if got := bind.TXT(t, shared); !slices.Equal(got, []string{"somebody else's"}) {
				t.Errorf("%s has %q, want what was there before alone", shared, got)
			}
			if got := bind.TXT(t, "_acme-challenge."+bindtest.Zone); len(got) > 0 {
				t.Errorf("left in DNS: %q", got)
			}
			if got := w.CA.Issued(); got != 1 {
				t.Errorf("the CA issued %d certificates, want 1", got)
			}
		})
	}
}

// What BIND says against an update reaches the user; nothing is lost.
func TestAccValidation_dynamicUpdateThatIsRefused(t *testing.T) {
	t.Parallel()
	w, bind := newBINDWorld(t)
	block := func(key string) string {
		return validated(fmt.Sprintf("rfc2136 = {\n server = %q\n key_name = %q\n secret = %q\n }", bind.Address, key, bind.Secret), "www."+bindtest.Zone)
	}
	w.test(t,
		resource.TestStep{Config: block(bindtest.OtherKeyName), ExpectError: anywhere("answers REFUSED for the zone " + bindtest.Zone)},
		resource.TestStep{Config: block("nobody"), ExpectError: anywhere("BADKEY: it has no key nobody")},
		resource.TestStep{Config: block(bindtest.KeyName)},
	)
	if placed, issued := w.CA.Placed(), w.CA.Issued(); placed != 1 || issued != 1 {
		t.Errorf("%d orders and %d certificates, want 1 and 1", placed, issued)
	}
}

func TestAccValidation_dynamicUpdatesAreCheckedInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	block := func(attributes string) string { return validated("rfc2136 = {"+attributes+"}", "www.example.test") }
	for sentence, test := range map[string]struct{ config, want string }{
		"nothing":       {block(""), "set server, or CERTIFICATE_RFC2136_SERVER"},
		"no key":        {block(`server = "192.0.2.53"`), "set key_name, or CERTIFICATE_RFC2136_KEY_NAME"},
		"no secret":     {block("\nserver = \"192.0.2.53\"\nkey_name = \"k\"\n"), "set secret, or CERTIFICATE_RFC2136_SECRET"},
		"no algorithm":  {block("\nserver = \"192.0.2.53\"\nkey_name = \"k\"\nalgorithm = \"hmac-md5\"\n"), `"hmac-md5" is none of hmac-sha256`},
		"an IP address": {validated("rfc2136 = {\nserver = \"192.0.2.53\"\nkey_name = \"k\"\nsecret = \"c2VjcmV0\"\n}", "192.0.2.1"), "192.0.2.1 is an IP address"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}

// The secret is in no file that Terraform writes, and a killed run's records are
// withdrawn by the next one.
func TestCrash_withDynamicUpdatesTheNextApplyFinishes(t *testing.T) {
	t.Parallel()
	bind := bindtest.Run(t)
	tr := &trap{kind: "chalZ"}
	c := newCLI(t, lab.Options{Intercept: tr.intercept, Resolver: bind.Address}, crashConfig)
	c.extra = []string{
		"CERTIFICATE_RESPONDER_URL=", "CERTIFICATE_RESOLVERS=" + bind.Address, "CERTIFICATE_NAME_SERVER_PORT=" + strconv.Itoa(bind.Port),
		"CERTIFICATE_RFC2136_SERVER=" + bind.Address, "CERTIFICATE_RFC2136_KEY_NAME=" + bindtest.KeyName, "CERTIFICATE_RFC2136_SECRET=" + bind.Secret,
	}
	const name = "_acme-challenge.www." + bindtest.Zone
	tr.trigger = c.kill
	tr.armed.Store(true)
	if output, status := c.run("apply", "-auto-approve"); status == 0 || tr.armed.Load() {
		t.Fatalf("the provider was not killed:\n%s", output)
	}
	if got := bind.TXT(t, name); len(got) != 1 {
		t.Errorf("the killed run left %q in DNS, want its record", got)
	}
	c.must(0, "apply", "-auto-approve")
	if got := bind.TXT(t, name); len(got) > 0 {
		t.Errorf("left in DNS: %q", got)
	}
	if got := c.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want 1", got)
	}
	noneOf(t, c.folder, bind.Secret, strings.TrimRight(bind.Secret, "="))
}
