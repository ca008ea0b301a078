//go:build unix

package challenge

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/challenge/bindtest"
	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// newUpdater publishes at a server; settings change what is configured.
func newUpdater(t testing.TB, server *bindtest.Server, settings ...func(*updateBlock)) *UpdatePublisher {
	t.Helper()
	b := updateBlock{
		Server: types.StringValue(server.Address), KeyName: types.StringValue(bindtest.KeyName), Secret: types.StringValue(server.Secret),
	}
	for _, set := range settings {
		set(&b)
	}
	p, attribute, err := b.publisher(func(string) string { return "" })
	if err != nil {
		t.Fatal(attribute, err)
	}
	return p
}

func wantTXT(t testing.TB, server *bindtest.Server, name string, want ...string) {
	t.Helper()
	got := server.TXT(t, name)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", name, got, want)
	}
}

func TestUpdate_leavesOtherValuesAlone(t *testing.T) {
	t.Parallel()
	server := bindtest.Run(t)
	const name = "_acme-challenge.www.example.test"
	for sentence, set := range map[string]func(*updateBlock){
		"the zone is found": func(*updateBlock) {},
		"the zone is given": func(b *updateBlock) { b.Zone = types.StringValue("Example.test") },
	} {
		t.Run(sentence, func(t *testing.T) {
			p := newUpdater(t, server, set)
			for range 2 { // again is no error
				for _, value := range []string{"one", "two", `three "quoted" \ backslash`} {
					if err := p.Publish(t.Context(), name, value); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := len(server.TXT(t, name)); got != 3 {
				t.Errorf("%d values, want 3", got)
			}
			for range 2 {
				for _, value := range []string{"two", `three "quoted" \ backslash`, "never there"} {
					if err := p.Withdraw(t.Context(), name, value); err != nil {
						t.Fatal(err)
					}
				}
			}
			wantTXT(t, server, name, "one")
			if err := p.Withdraw(t.Context(), name, "one"); err != nil {
				t.Fatal(err)
			}
			wantTXT(t, server, name)
		})
	}
}

func TestUpdate_manyNamesAtOnce(t *testing.T) {
	t.Parallel()
	server := bindtest.Run(t)
	p := newUpdater(t, server)
	s := newSolver(&Resolver{Servers: []string{server.Address}, AuthoritativePort: server.Port}, p, 20*time.Second)
	var records []Record
	for n := range 40 {
		records = append(records, record(fmt.Sprintf("n%d.example.test", n/2), fmt.Sprint(n)))
	}
	located, err := s.Locate(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Present(t.Context(), located); err != nil {
		t.Fatal(err)
	}
	wantTXT(t, server, Name("n3.example.test"), "6", "7")
	if err := s.Withdraw(t.Context(), located); err != nil {
		t.Fatal(err)
	}
	wantTXT(t, server, Name("n3.example.test"))
}

// What a server says against an update comes with what to do about it.
func TestUpdate_errorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	server := bindtest.Run(t)
	wrong := base64.StdEncoding.EncodeToString([]byte("another secret"))
	for sentence, test := range map[string]struct {
		set  func(*updateBlock)
		ago  time.Duration
		name string
		says []string
	}{
		"the key may not":                {func(b *updateBlock) { b.KeyName = types.StringValue(bindtest.OtherKeyName) }, 0, "a.example.test", []string{"REFUSED", "zone example.test", "allow the key other", "update-policy"}},
		"the server does not have zone":  {func(b *updateBlock) { b.Zone = types.StringValue("example.org") }, 0, "a.example.org", []string{"NOTAUTH", "example.org", "validation.rfc2136.server or zone"}},
		"no zone of the name is there":   {nil, 0, "a.example.org", []string{"find the zone of a.example.org", "REFUSED", "validation.rfc2136.server"}},
		"the name is outside the zone":   {func(b *updateBlock) { b.Zone = types.StringValue(bindtest.Zone) }, 0, "a.example.org", []string{"NOTZONE", "validation.rfc2136.zone"}},
		"the key is unknown":             {func(b *updateBlock) { b.KeyName = types.StringValue("nobody") }, 0, "a.example.test", []string{"BADKEY", "no key nobody for hmac-sha256", "validation.rfc2136.key_name"}},
		"the key has another algorithm":  {func(b *updateBlock) { b.Algorithm = types.StringValue("hmac-sha512") }, 0, "a.example.test", []string{"BADKEY", "hmac-sha512", "algorithm"}},
		"the secret is another":          {func(b *updateBlock) { b.Secret = types.StringValue(wrong) }, 0, "a.example.test", []string{"BADSIG", "validation.rfc2136.secret"}},
		"this machine's clock is behind": {nil, time.Hour, "a.example.test", []string{"BADTIME", "clock", time.Now().UTC().Format("2006-01-02T")}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if test.set == nil {
				test.set = func(*updateBlock) {}
			}
			p := newUpdater(t, server, test.set)
			p.now = func() time.Time { return time.Now().Add(-test.ago) }
			for what, err := range map[string]error{
				"publish": p.Publish(t.Context(), test.name, "value"), "withdraw": p.Withdraw(t.Context(), test.name, "value"),
			} {
				wantParts(t, err, append(test.says, what, test.name, server.Address)...)
				for _, secret := range []string{server.Secret, wrong} {
					if strings.Contains(fmt.Sprintf("%v %+v %#v %+v %#v", err, err, err, p, p.key), secret) {
						t.Errorf("error %q or what it came from shows the secret", err)
					}
				}
			}
		})
	}
	wantTXT(t, server, "a.example.test")
}

// fakeUpdates is a server that answers as told, which BIND would not.
func fakeUpdates(t *testing.T, reply func(q *dns.Msg) *dns.Msg) *UpdatePublisher {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, &dns.Server{
		Listener: listener, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if answer := reply(q); answer != nil {
				_ = w.WriteMsg(answer)
			}
		}),
	})
	secret := base64.StdEncoding.EncodeToString([]byte("secret"))
	return newUpdater(t, &bindtest.Server{Address: listener.Addr().String(), Secret: secret}, func(b *updateBlock) { b.Zone = types.StringValue("example.test") })
}

// Anybody on the way could send an answer that is not signed.
func TestUpdate_doesNotBelieveAnUnsignedSuccess(t *testing.T) {
	t.Parallel()
	p := fakeUpdates(t, func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetReply(q) })
	wantParts(t, p.Publish(t.Context(), "a.example.test", "value"), "not signed", p.server)
}

func TestUpdate_serversThatFail(t *testing.T) {
	t.Parallel()
	for code, advice := range map[int]string{
		dns.RcodeServerFailure:  "its log says why",
		dns.RcodeNotImplemented: "takes no dynamic updates",
		dns.RcodeFormatError:    "its log may say why",
	} {
		p := fakeUpdates(t, func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, code) })
		wantParts(t, p.Publish(t.Context(), "a.example.test", "value"), dns.RcodeToString[code], advice, p.server)
	}
	p := fakeUpdates(t, func(*dns.Msg) *dns.Msg { return nil })
	p.server = port.Address(t)
	wantParts(t, p.Publish(t.Context(), "a.example.test", "value"), p.server, "refused", "check validation.rfc2136.server")
}

func TestUpdate_endsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	p := fakeUpdates(t, func(*dns.Msg) *dns.Msg { arrived <- struct{}{}; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Publish(ctx, "a.example.test", "value") }()
	<-arrived
	cancel()
	wantCanceled(t, done)
}

// Two answers on one connection would confuse the library's signatures.
func TestUpdate_concurrentAndRepeated(t *testing.T) {
	t.Parallel()
	server := bindtest.Run(t)
	p := newUpdater(t, server)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for round := range 10 {
				value := fmt.Sprintf("%d-%d", n, round)
				if err := p.Publish(t.Context(), "_acme-challenge.example.test", value); err != nil {
					t.Error(err)
				}
				if err := p.Withdraw(t.Context(), "_acme-challenge.example.test", value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantTXT(t, server, "_acme-challenge.example.test")
}

func TestUpdateBlock_refusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := map[string]string{EnvUpdateServer: "ns1.example.test", EnvUpdateKeyName: "Key.", EnvUpdateSecret: "c2VjcmV0"}
	for sentence, test := range map[string]struct{ variable, value, attribute string }{
		"no server":            {EnvUpdateServer, "", "server"},
		"a URL":                {EnvUpdateServer, "https://ns1.example.test", "server"},
		"a port that is none":  {EnvUpdateServer, "ns1.example.test:domain", "server"},
		"no key":               {EnvUpdateKeyName, "", "key_name"},
		"a key with a space":   {EnvUpdateKeyName, "a key", "key_name"},
		"no secret":            {EnvUpdateSecret, "", "secret"},
		"a secret in hex":      {EnvUpdateSecret, "s3cr3t!", "secret"},
		"a zone that is none":  {EnvUpdateZone, "a b", "zone"},
		"an algorithm of old":  {EnvUpdateAlgorithm, "hmac-md5", "algorithm"},
		"a mistyped algorithm": {EnvUpdateAlgorithm, "sha256", "algorithm"},
	} {
		_, attribute, err := updateBlock{}.publisher(func(name string) string {
			if name == test.variable {
				return test.value
			}
			return good[name]
		})
		if err == nil || attribute != test.attribute {
			t.Errorf("%s: attribute %q, %v, want an error of %q", sentence, attribute, err, test.attribute)
		}
		if err != nil && test.attribute == "secret" && test.value != "" && strings.Contains(err.Error(), test.value) {
			t.Errorf("%s: error %q shows it", sentence, err)
		}
	}
	for text, want := range map[string]string{
		"ns1.example.test": "ns1.example.test:53", "ns1.example.test:5353": "ns1.example.test:5353",
		"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353",
		"2001:db8::53": "[2001:db8::53]:53", "[2001:db8::53]": "[2001:db8::53]:53", "[2001:db8::53]:5353": "[2001:db8::53]:5353",
	} {
		if got, err := serverAddress(text); got != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", text, got, err, want)
		}
	}
	p, _, err := updateBlock{}.publisher(func(name string) string { return good[name] })
	if err != nil || p.key.name != "key." || p.key.algorithm != dns.HmacSHA256 || p.server != "ns1.example.test:53" {
		t.Errorf("%+v, %v", p, err)
	}
}
