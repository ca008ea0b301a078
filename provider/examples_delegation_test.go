package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	providerschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// recordProvider stands in for a DNS provider: its source and the schema of its
// record resource are those of the real one, by its documentation and sources
// (aws 6, cloudflare 5, azurerm 4, google 7), as far as a CNAME needs them. It
// validates and plans, and has no more.
type recordProvider struct {
	source     string
	provider   providerschema.Schema
	record     string
	attributes map[string]schema.Attribute
}

func (p recordProvider) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName = p.source
}

func (p recordProvider) Schema(_ context.Context, _ provider.SchemaRequest, response *provider.SchemaResponse) {
	response.Schema = p.provider
}

func (recordProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (recordProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p recordProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return recordResource{p} }}
}

type recordResource struct{ recordProvider }

func (r recordResource) Metadata(_ context.Context, _ resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = r.record
}

func (r recordResource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = schema.Schema{Attributes: r.attributes}
	response.Schema.Attributes["id"] = schema.StringAttribute{Computed: true}
}

func (recordResource) Create(_ context.Context, _ resource.CreateRequest, response *resource.CreateResponse) {
	response.Diagnostics.AddError("This provider creates nothing", "It stands in for a real one.")
}

func (recordResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (recordResource) Update(context.Context, resource.UpdateRequest, *resource.UpdateResponse) {}

func (recordResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// serve starts the provider for terraforms that are told where it is.
func (p recordProvider) serve(t *testing.T) *plugin.ReattachConfig {
	t.Helper()
	address, closed := make(chan *plugin.ReattachConfig), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); <-closed })
	factory := func() tfprotov6.ProviderServer { return providerserver.NewProtocol6(p)() }
	go func() {
		_ = tf6server.Serve(p.source, factory, tf6server.WithDebug(ctx, address, closed), tf6server.WithoutLogStderrOverride()) // ends when ctx does
	}()
	return <-address
}

func recordProviders() map[string]recordProvider {
	needed, optional := schema.StringAttribute{Required: true}, schema.StringAttribute{Optional: true}
	word := func(names ...string) providerschema.Schema {
		s := providerschema.Schema{Attributes: map[string]providerschema.Attribute{}}
		for _, name := range names {
			s.Attributes[name] = providerschema.StringAttribute{Optional: true}
		}
		return s
	}
	azure := word("subscription_id")
	azure.Blocks = map[string]providerschema.Block{"features": providerschema.ListNestedBlock{}}
	return map[string]recordProvider{
		"route53": {"hashicorp/aws", word("region"), "aws_route53_record", map[string]schema.Attribute{
			"zone_id": needed, "name": needed, "type": needed, "ttl": schema.Int64Attribute{Optional: true},
			"records": schema.SetAttribute{Optional: true, ElementType: types.StringType},
			"fqdn":    schema.StringAttribute{Computed: true},
		}},
		"cloudflare": {"cloudflare/cloudflare", word("api_token"), "cloudflare_dns_record", map[string]schema.Attribute{
			"zone_id": needed, "name": needed, "type": needed, "ttl": schema.Float64Attribute{Required: true},
			"content": optional, "proxied": schema.BoolAttribute{Optional: true, Computed: true},
		}},
		"azure": {"hashicorp/azurerm", azure, "azurerm_dns_cname_record", map[string]schema.Attribute{
			"resource_group_name": needed, "zone_name": needed, "name": needed, "ttl": schema.Int64Attribute{Required: true},
			"record": optional, "target_resource_id": optional, "fqdn": schema.StringAttribute{Computed: true},
		}},
		"google": {"hashicorp/google", word("project", "region"), "google_dns_record_set", map[string]schema.Attribute{
			"managed_zone": needed, "name": needed, "type": needed, "ttl": schema.Int64Attribute{Optional: true},
			"rrdatas": schema.ListAttribute{Optional: true, ElementType: types.StringType},
		}},
	}
}

// The records of a delegation fit the record resources of four DNS providers:
// the examples are valid and planned, with names as each provider wants them.
func TestExamples_delegationByOtherProviders(t *testing.T) {
	t.Parallel()
	planned := map[string]map[string]any{
		"route53":    {"name": "_acme-challenge.www.example.com", "type": "CNAME", "ttl": 300.0, "zone_id": "x"},
		"cloudflare": {"name": "_acme-challenge.www.example.com", "type": "CNAME", "ttl": 300.0, "zone_id": "x", "proxied": false},
		"azure":      {"name": "_acme-challenge.www", "zone_name": "example.com", "ttl": 300.0, "resource_group_name": "x"},
		"google":     {"name": "_acme-challenge.www.example.com.", "type": "CNAME", "ttl": 300.0, "managed_zone": "x"},
	}
	variable := map[string]string{"route53": "zone_id", "cloudflare": "zone_id", "azure": "resource_group", "google": "managed_zone"}
	for name, p := range recordProviders() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("../examples/delegation", name, "main.tf"))
			if err != nil {
				t.Fatal(err)
			}
			server := p.serve(t)
			where, err := json.Marshal(map[string]any{"registry.terraform.io/" + p.source: map[string]any{
				"Protocol": server.Protocol, "ProtocolVersion": server.ProtocolVersion, "Pid": server.Pid, "Test": true,
				"Addr": map[string]string{"Network": server.Addr.Network(), "String": server.Addr.String()},
			}})
			if err != nil {
				t.Fatal(err)
			}
			c := newCLI(t, lab.Options{}, "")
			if err := os.WriteFile(filepath.Join(c.folder, "main.tf"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			c.extra = append(c.extra, "TF_REATTACH_PROVIDERS="+string(where))
			c.must(0, "init")
			c.must(0, "validate")
			c.must(0, "plan", "-out=x.plan", "-var="+variable[name]+"=x", "-var=responder_token=x")
			var plan struct {
				Changes []struct {
					Address string
					Change  struct{ After map[string]any }
				} `json:"resource_changes"`
			}
			if err := json.Unmarshal(c.planJSON("x.plan"), &plan); err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, change := range plan.Changes {
				if change.Address != p.record+`.validation["www.example.com"]` {
					continue
				}
				found++
				for attribute, want := range planned[name] {
					if got := change.Change.After[attribute]; got != want {
						t.Errorf("%s = %v, want %v", attribute, got, want)
					}
				}
				value := fmt.Sprint(change.Change.After["records"], change.Change.After["content"], change.Change.After["record"], change.Change.After["rrdatas"])
				if dotted := strings.Contains(value, ".auth.example.net."); !strings.Contains(value, ".auth.example.net") || dotted != (name == "google") {
					t.Errorf("the record leads to %s", value)
				}
			}
			if found != 1 {
				t.Errorf("%d such records are planned in %+v", found, plan)
			}
		})
	}
}
