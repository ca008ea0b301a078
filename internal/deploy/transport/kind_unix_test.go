//go:build unix

package transport_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// block is an object of a kind's attributes, null but for those given.
func block(t *testing.T, attributes map[string]schema.Attribute, given map[string]any) types.Object {
	t.Helper()
	kinds, values := map[string]attr.Type{}, map[string]attr.Value{}
	for name, attribute := range attributes {
		kinds[name] = attribute.GetType()
		value, err := kinds[name].ValueFromTerraform(t.Context(), tftypes.NewValue(kinds[name].TerraformType(t.Context()), nil))
		if err != nil {
			t.Fatal(err)
		}
		switch one := given[name].(type) {
		case nil:
		case string:
			value = types.StringValue(one)
		case bool:
			value = types.BoolValue(one)
		case map[string]any:
			value = block(t, attribute.(schema.SingleNestedAttribute).Attributes, one)
		case []map[string]any:
			var objects []attr.Value
			nested := attribute.(schema.ListNestedAttribute).NestedObject.Attributes
			for _, each := range one {
				objects = append(objects, block(t, nested, each))
			}
			value = types.ListValueMust(kinds[name].(types.ListType).ElemType, objects)
		}
		values[name] = value
	}
	return types.ObjectValueMust(kinds, values)
}

func environment(values map[string]string) transport.Environment {
	return transport.Environment{Getenv: func(name string) string { return values[name] }}
}

func TestSSHKind(t *testing.T) {
	s := transporttest.StartSSHD(t)
	authority := transporttest.Ed25519Key(t)
	s.Configure(t, "TrustedUserCAKeys "+s.Write(t, "user_ca.pub", []byte(transporttest.AuthorizedKey(publicOf(t, authority)))))
	home := t.TempDir()
	keyFile := filepath.Join(home, "key")
	if err := os.WriteFile(keyFile, s.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	locked, lockedPublic := transporttest.LoginKey(t, "open sesame")
	with := func(more map[string]any) map[string]any {
		given := map[string]any{"address": s.Address, "user": s.User, "known_hosts": s.KnownHosts()}
		for name, value := range more {
			if given[name] = value; value == nil {
				delete(given, name)
			}
		}
		return given
	}
	key := map[string]any{"private_key_wo": string(s.Key)}
	for sentence, test := range map[string]struct {
		given    map[string]any
		fallback transport.Credentials
		want     string // empty: it works
	}{
		"a private key":               {given: with(key)},
		"a private key in a file":     {given: with(map[string]any{"private_key_path": keyFile})},
		"a private key at home":       {given: with(map[string]any{"private_key_path": "~/key"})},
		"a certificate":               {given: with(map[string]any{"private_key_wo": string(locked), "private_key_passphrase_wo": "open sesame", "certificate": transporttest.SignUser(t, authority, lockedPublic, s.User)})},
		"a host key":                  {given: with(map[string]any{"private_key_wo": string(s.Key), "known_hosts": nil, "host_key": transporttest.AuthorizedKey(s.HostKey)})},
		"a bastion":                   {given: with(map[string]any{"private_key_wo": string(s.Key), "bastions": []map[string]any{with(key)}})},
		"durations":                   {given: with(map[string]any{"private_key_wo": string(s.Key), "connect_timeout": "10s", "command_timeout": "1m", "keepalive": "5s"})},
		"what is for hosts without":   {given: with(nil), fallback: transport.Credentials{PrivateKey: secret.New(string(s.Key))}},
		"no trust":                    {given: with(map[string]any{"private_key_wo": string(s.Key), "known_hosts": nil}), want: "neither known_hosts nor host_key"},
		"nothing to log in with":      {given: with(nil), want: "nothing to log in with"},
		"two private keys":            {given: with(map[string]any{"private_key_wo": string(s.Key), "private_key_path": keyFile}), want: "both private_key_path and private_key_wo"},
		"a file that is missing":      {given: with(map[string]any{"private_key_path": keyFile + ".gone"}), want: "read private_key_path"},
		"an agent that is missing":    {given: with(map[string]any{"agent": true}), want: "SSH_AUTH_SOCK is not set"},
		"no duration":                 {given: with(map[string]any{"private_key_wo": string(s.Key), "keepalive": "soon"}), want: "no duration"},
		"a bastion without trust":     {given: with(map[string]any{"private_key_wo": string(s.Key), "bastions": []map[string]any{{"address": "b", "user": "u", "password_wo": "hunter2"}}}), want: "bastion 1: neither known_hosts"},
		"sudo on a Windows":           {given: with(map[string]any{"private_key_wo": string(s.Key), "windows": true, "sudo": map[string]any{}}), want: "no sudo on Windows"},
		"a password sudo cannot read": {given: with(map[string]any{"private_key_wo": string(s.Key), "sudo": map[string]any{"password_wo": "hunter2\n"}}), want: "line break"},
	} {
		t.Run(sentence, func(t *testing.T) {
			e := environment(map[string]string{"HOME": home})
			e.Fallback = test.fallback
			k := transport.SSHKind(e)
			machine, diags := k.New(t.Context(), path.Root("hosts").AtMapKey("web1").AtName("ssh"), block(t, k.Attributes, test.given))
			if test.want != "" {
				if said := fmt.Sprint(diags); !diags.HasError() || !strings.Contains(said, test.want) || strings.Contains(said, "hunter2") {
					t.Errorf("diagnostics = %s, want one with %q", said, test.want)
				}
				return
			}
			if diags.HasError() {
				t.Fatal(diags)
			}
			if err := machine.Check(t.Context(), filepath.Join(home, "file")); err != nil {
				t.Error(err)
			}
			if err := machine.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWinRMKind(t *testing.T) {
	w := transporttest.StartWinRM(t, true)
	k := transport.WinRMKind()
	given := map[string]any{"address": w.Address, "user": w.User, "password_wo": w.Password, "ca_bundle_pem": string(w.CABundle), "server_name": "example.com"}
	machine, diags := k.New(t.Context(), path.Root("winrm"), block(t, k.Attributes, given))
	if diags.HasError() {
		t.Fatal(diags)
	}
	if _, err := machine.List(t.Context(), `C:\`); err != nil {
		t.Error(err)
	}
	if err := machine.Close(); err != nil {
		t.Error(err)
	}
	delete(given, "password_wo")
	if _, diags := k.New(t.Context(), path.Root("winrm"), block(t, k.Attributes, given)); !diags.HasError() || !strings.Contains(fmt.Sprint(diags), "password is empty") {
		t.Errorf("diagnostics = %v, want one about the password", diags)
	}
}

func TestKinds(t *testing.T) {
	if got := strings.Join(kind.Names(transport.Kinds(environment(nil))), " "); got != "local ssh winrm" {
		t.Errorf("kinds = %s", got)
	}
	machine, diags := transport.LocalKind().New(t.Context(), path.Root("local"), types.ObjectNull(nil))
	if _, ok := machine.(transport.Local); !ok || diags.HasError() {
		t.Errorf("local is %T, %v", machine, diags)
	}
}
