package provider_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	framework "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	fwresource "github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// hostsProvider has one resource with a map of hosts, each reached by one of the
// family of transports. It proves that terraform and the framework let secrets
// pass that way, and what is left of them in state.
type hostsProvider struct{ built *[]string }

func (hostsProvider) Metadata(_ context.Context, _ framework.MetadataRequest, response *framework.MetadataResponse) {
	response.TypeName = "hosts"
}

func (hostsProvider) Schema(context.Context, framework.SchemaRequest, *framework.SchemaResponse) {}

func (hostsProvider) Configure(context.Context, framework.ConfigureRequest, *framework.ConfigureResponse) {
}

func (hostsProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p hostsProvider) Resources(context.Context) []func() fwresource.Resource {
	return []func() fwresource.Resource{func() fwresource.Resource { return hostsResource(p) }}
}

type hostsResource struct{ built *[]string }

type hostsModel struct {
	Hosts types.Map `tfsdk:"hosts"`
}

func kinds() []kind.Kind[transport.Transport, schema.Attribute] {
	return transport.Kinds(transport.Environment{Getenv: func(string) string { return "" }})
}

func (hostsResource) Metadata(_ context.Context, _ fwresource.MetadataRequest, response *fwresource.MetadataResponse) {
	response.TypeName = "hosts_probe"
}

func (hostsResource) Schema(_ context.Context, _ fwresource.SchemaRequest, response *fwresource.SchemaResponse) {
	ways := map[string]schema.Attribute{}
	for _, k := range kinds() {
		ways[k.Name] = schema.SingleNestedAttribute{Optional: true, Attributes: k.Attributes}
	}
	response.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"hosts": schema.MapNestedAttribute{Required: true, NestedObject: schema.NestedAttributeObject{
			Attributes: ways,
		}},
	}}
}

// Create builds the transports from the configuration, where write-only values
// are.
func (r hostsResource) Create(ctx context.Context, request fwresource.CreateRequest, response *fwresource.CreateResponse) {
	var m hostsModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	for name, value := range m.Hosts.Elements() {
		object, ok := value.(types.Object)
		if !ok {
			continue
		}
		way, _, diags := kind.New(ctx, kinds(), path.Root("hosts").AtMapKey(name), object)
		response.Diagnostics.Append(diags...)
		*r.built = append(*r.built, name+" "+way)
	}
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (hostsResource) Read(context.Context, fwresource.ReadRequest, *fwresource.ReadResponse) {}

func (hostsResource) Update(ctx context.Context, request fwresource.UpdateRequest, response *fwresource.UpdateResponse) {
	var m hostsModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &m)...)
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

func (hostsResource) Delete(context.Context, fwresource.DeleteRequest, *fwresource.DeleteResponse) {}

func TestAccHosts_secretsInAMapStayOutOfState(t *testing.T) {
	t.Parallel()
	var built []string
	const config = `
resource "hosts_probe" "all" {
  hosts = {
    here = { local = {} }
    web1 = {
      ssh = {
        address     = "10.0.0.1"
        user        = "deploy"
        host_key    = "SHA256:AAAA"
        password_wo = "hunter2-login"
        sudo        = { password_wo = "hunter2-sudo" }
        bastions = [
          { address = "10.0.0.2", user = "jump", host_key = "SHA256:BBBB", password_wo = "hunter2-first" },
          { address = "10.0.0.3", user = "jump", host_key = "SHA256:CCCC", password_wo = "hunter2-second" },
        ]
      }
    }
    web2 = { winrm = { address = "10.0.0.4", user = "Administrator", password_wo = "hunter2-winrm" } }
  }
}`
	folder := t.TempDir()
	server := providerserver.NewProtocol6WithError(hostsProvider{&built})
	resource.Test(t, resource.TestCase{
		IsUnitTest:               true,
		WorkingDir:               folder,
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"hosts": server},
		Steps: []resource.TestStep{
			{
				Config: config,
				Check: resource.ComposeTestCheckFunc(
					resource.TestCheckResourceAttr("hosts_probe.all", "hosts.web1.ssh.address", "10.0.0.1"),
					resource.TestCheckNoResourceAttr("hosts_probe.all", "hosts.web1.ssh.password_wo"),
					resource.TestCheckNoResourceAttr("hosts_probe.all", "hosts.web1.ssh.bastions.1.password_wo"),
					func(*terraform.State) error { return noneBelow(folder, "hunter2", ".tf") },
				),
			},
			{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
			{
				// Another secret alone changes nothing: it is no part of the deployment.
				Config:           strings.ReplaceAll(config, "hunter2", "hunter3"),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			},
		},
	})
	if got := len(built); got != 3 {
		t.Errorf("built %q, want the three hosts with their secrets", built)
	}
}

// noneBelow looks for words in all files of a folder but the configuration.
func noneBelow(folder, words, configuration string) error {
	files := 0
	err := filepath.WalkDir(folder, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) == configuration {
			return err
		}
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), words) {
			err = fmt.Errorf("%s is in %s", words, name)
		}
		files++
		return err
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("no state below %s", folder)
	}
	return err
}
