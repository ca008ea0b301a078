package provider_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// redeployment is the configuration of the action for an nginx.
func redeployment(t *testing.T, w *world, n *deploytest.Nginx, state map[string]string) map[string]tftypes.Value {
	t.Helper()
	_, schemas := configured(t, w)
	whole := schemas.ActionSchemas["certificate_redeploy"].Schema.ValueType().(tftypes.Object).AttributeTypes
	block := func(name string, values map[string]tftypes.Value) tftypes.Value {
		kind := whole[name].(tftypes.Object)
		all := map[string]tftypes.Value{}
		for attribute, of := range kind.AttributeTypes {
			all[attribute] = tftypes.NewValue(of, nil)
		}
		maps.Copy(all, values)
		return tftypes.NewValue(kind, all)
	}
	return map[string]tftypes.Value{
		"certificate_pem": str(state["certificate_pem"]), "chain_pem": str(state["chain_pem"]), "private_key_id": str(state["private_key_id"]),
		"nginx": block("nginx", map[string]tftypes.Value{
			"fullchain_path": str(n.FullchainPath), "private_key_path": str(n.PrivateKeyPath), "prefix": str(n.Prefix), "config_path": str(n.Config),
		}),
		"verify": block("verify", map[string]tftypes.Value{"address": str(n.Address), "server_name": str("www.example.test")}),
	}
}

func TestRedeploy_asAnAction(t *testing.T) {
	t.Parallel()
	needOpenSSL(t)
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	kept := map[string]string{}
	w.test(t, resource.TestStep{Config: nginxConfig(n), Check: grab(kept, www, "certificate_pem", "chain_pem", "private_key_id", "fingerprint_sha256")})
	written := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(n.PrivateKeyPath)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	for sentence, change := range map[string]func(map[string]tftypes.Value){
		"with the key of the storage":  func(map[string]tftypes.Value) {},
		"with the key the server has":  func(c map[string]tftypes.Value) { delete(c, "private_key_id") },
		"to the hosts of a deployment": nil,
	} {
		t.Run(sentence, func(t *testing.T) {
			config := redeployment(t, w, n, kept)
			if change != nil {
				change(config)
			} else {
				config["hosts"] = localHosts(t, w)
			}
			before := written()
			progress, diagnostics := invoke(t, w, "certificate_redeploy", config)
			report(t, diagnostics)
			if said := strings.Join(progress, "\n"); !strings.HasPrefix(said, "deploying to ") || !strings.HasSuffix(said, kept["fingerprint_sha256"]+", proven by handshakes") {
				t.Errorf("it says %q", said)
			}
			if os.SameFile(before, written()) {
				t.Error("nothing was written")
			}
			if got := served(t, n.Address); got != kept["fingerprint_sha256"] {
				t.Errorf("nginx serves %s, want %s", got, kept["fingerprint_sha256"])
			}
		})
	}
	t.Run("a server that refuses", func(t *testing.T) {
		n.WriteConfig(t, "no_such_directive on;")
		files := read(t, n)
		_, diagnostics := invoke(t, w, "certificate_redeploy", redeployment(t, w, n, kept))
		if len(diagnostics) != 1 || !strings.Contains(diagnostics[0].Detail, "no_such_directive") || !strings.Contains(diagnostics[0].Detail, "the files are as they were") {
			report(t, diagnostics)
			t.Error("it does not have nginx' words and what was kept")
		}
		if got := read(t, n); string(got[0]) != string(files[0]) || string(got[1]) != string(files[1]) {
			t.Error("the files were not put back")
		}
	})
}

// localHosts is a map with this machine as its only host.
func localHosts(t *testing.T, w *world) tftypes.Value {
	t.Helper()
	_, schemas := configured(t, w)
	kind := schemas.ActionSchemas["certificate_redeploy"].Schema.ValueType().(tftypes.Object).AttributeTypes["hosts"].(tftypes.Map)
	host := map[string]tftypes.Value{}
	for name, of := range kind.ElementType.(tftypes.Object).AttributeTypes {
		host[name] = tftypes.NewValue(of, nil)
		if name == "local" {
			host[name] = tftypes.NewValue(of, map[string]tftypes.Value{})
		}
	}
	return tftypes.NewValue(kind, map[string]tftypes.Value{"web": tftypes.NewValue(kind.ElementType, host)})
}

// The action takes all that a deployment is configured by, but for the key.
func TestRedeploy_takesWhatADeploymentTakes(t *testing.T) {
	t.Parallel()
	_, schemas := configured(t, newWorld(t, lab.Options{}))
	var want, got []string
	for _, a := range schemas.ResourceSchemas["certificate_deployment"].Block.Attributes {
		if (a.Required || a.Optional) && !strings.HasPrefix(a.Name, "private_key_pem_wo") {
			want = append(want, paths(a)...)
		}
	}
	for _, a := range schemas.ActionSchemas["certificate_redeploy"].Schema.Block.Attributes {
		got = append(got, paths(a)...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("it takes %q, want %q", got, want)
	}
}

// paths are an attribute and those in it.
func paths(a *tfprotov6.SchemaAttribute) []string {
	all := []string{a.Name}
	if a.NestedType != nil {
		for _, inner := range a.NestedType.Attributes {
			for _, path := range paths(inner) {
				all = append(all, a.Name+"."+path)
			}
		}
	}
	return all
}

func TestRedeploy_refusesBadInput(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	leaf := issue(t)
	server, schemas := configured(t, w)
	for sentence, test := range map[string]struct{ certificate, want string }{
		"no certificate": {"nonsense", "Not a certificate"},
		"no target":      {string(pki.EncodeCertificates(leaf.Chain...)), "No target"},
	} {
		t.Run(sentence, func(t *testing.T) {
			config := redeployment(t, w, n, map[string]string{"certificate_pem": test.certificate})
			delete(config, "chain_pem")
			delete(config, "private_key_id")
			if test.want == "No target" {
				delete(config, "nginx")
			}
			answer, err := server.ValidateActionConfig(t.Context(), &tfprotov6.ValidateActionConfigRequest{
				ActionType: "certificate_redeploy", Config: object(t, schemas.ActionSchemas["certificate_redeploy"].Schema.ValueType(), config),
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Diagnostics) != 1 || answer.Diagnostics[0].Summary != test.want {
				t.Errorf("got %v, want %q", answer.Diagnostics, test.want)
			}
		})
	}
}
