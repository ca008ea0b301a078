package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// New returns the constructor of the provider as Terraform's protocol sees it:
// the framework's server, with a short way for the three questions that most plans
// come down to. Each process serves one provider configuration.
func New(version string, options Options) func() tfprotov6.ProviderServer {
	options = options.withDefaults()
	return func() tfprotov6.ProviderServer {
		p := &certificateProvider{version: version, options: options}
		whole := providerserver.NewProtocol6(p)()
		if f, ok := whole.(framework); ok {
			return newServer(p, f)
		}
		return whole
	}
}

// server answers for certificates about which nothing has to be asked and
// nothing changes without the framework, which walks the whole schema once for
// each attribute (v1.19): that takes ten times as long, in every plan, for every
// certificate. It decides by the resource's own code and leaves every other
// answer to the framework; the tests hold the two against each other.
type server struct {
	framework
	provider *certificateProvider
	fields   []field // of a renewalModel
	kind     tftypes.Type
	version  int64
	identity tftypes.Type
}

// field is where an attribute of a state is found in its model.
type field struct {
	name string
	at   int
	kind attr.Type
}

// framework is all of the protocol that the framework's server speaks.
type framework interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
}

const renewalType = "certificate_renewal"

func newServer(p *certificateProvider, f framework) *server {
	ctx := context.Background()
	var response resource.SchemaResponse
	(&renewalResource{}).Schema(ctx, resource.SchemaRequest{}, &response)
	var identity resource.IdentitySchemaResponse
	(&renewalResource{}).IdentitySchema(ctx, resource.IdentitySchemaRequest{}, &identity)
	return &server{
		framework: f, provider: p,
		fields:   fieldsOf(reflect.TypeFor[renewalModel](), response.Schema.Attributes),
		kind:     response.Schema.Type().TerraformType(ctx),
		version:  response.Schema.Version,
		identity: identity.IdentitySchema.Type().TerraformType(ctx),
	}
}

// ReadResource implements tfprotov6.ProviderServer.
func (s *server) ReadResource(ctx context.Context, request *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	if request.TypeName == renewalType && s.provider.services != nil {
		if m, ok := s.model(ctx, request.CurrentState); ok && s.resource().quiet(ctx, m, request.Private) {
			identity, err := s.identityOf(m)
			return &tfprotov6.ReadResourceResponse{NewState: request.CurrentState, Private: request.Private, NewIdentity: identity}, err
		}
	}
	return s.framework.ReadResource(ctx, request)
}

// PlanResourceChange implements tfprotov6.ProviderServer.
func (s *server) PlanResourceChange(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	if request.TypeName == renewalType && same(request.PriorState, request.ProposedNewState) {
		if m, ok := s.model(ctx, request.PriorState); ok && s.resource().stays(ctx, m) {
			return &tfprotov6.PlanResourceChangeResponse{PlannedState: request.ProposedNewState, PlannedPrivate: request.PriorPrivate, PlannedIdentity: request.PriorIdentity}, nil
		}
	}
	return s.framework.PlanResourceChange(ctx, request)
}

// UpgradeResourceState implements tfprotov6.ProviderServer. A state of this
// version is only encoded otherwise.
func (s *server) UpgradeResourceState(ctx context.Context, request *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	if request.TypeName == renewalType && request.Version == s.version && request.RawState != nil {
		raw, err := request.RawState.UnmarshalWithOpts(s.kind, tfprotov6.UnmarshalOpts{
			ValueFromJSONOpts: tftypes.ValueFromJSONOpts{IgnoreUndefinedAttributes: true},
		})
		if err == nil {
			value, err := tfprotov6.NewDynamicValue(s.kind, raw)
			return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &value}, err
		}
	}
	return s.framework.UpgradeResourceState(ctx, request)
}

func (s *server) resource() *renewalResource { return &renewalResource{services: s.provider.services} }

// model reads the state of a certificate_renewal; false where there is none.
func (s *server) model(ctx context.Context, value *tfprotov6.DynamicValue) (m renewalModel, ok bool) {
	if value == nil {
		return m, false
	}
	raw, err := value.Unmarshal(s.kind)
	var values map[string]tftypes.Value
	if err != nil || raw.IsNull() || raw.As(&values) != nil {
		return m, false
	}
	into := reflect.ValueOf(&m).Elem()
	for _, f := range s.fields {
		v, err := f.kind.ValueFromTerraform(ctx, values[f.name])
		if err != nil {
			return m, false
		}
		into.Field(f.at).Set(reflect.ValueOf(v))
	}
	return m, true
}

// fieldsOf looks up once what the framework's State.Get finds out for each value.
func fieldsOf(model reflect.Type, attributes map[string]schema.Attribute) []field {
	fields := make([]field, 0, model.NumField())
	for at := range model.NumField() {
		name := model.Field(at).Tag.Get("tfsdk")
		fields = append(fields, field{name: name, at: at, kind: attributes[name].GetType()})
	}
	return fields
}

// identityOf is the identity of a certificate as the protocol carries it.
func (s *server) identityOf(m renewalModel) (*tfprotov6.ResourceIdentityData, error) {
	id := tftypes.NewValue(tftypes.String, m.ID.ValueString())
	value, err := tfprotov6.NewDynamicValue(s.identity, tftypes.NewValue(s.identity, map[string]tftypes.Value{"id": id}))
	return &tfprotov6.ResourceIdentityData{IdentityData: &value}, err
}

// same reports whether two values are encoded alike.
func same(a, b *tfprotov6.DynamicValue) bool {
	return a != nil && b != nil && len(a.MsgPack) > 0 && bytes.Equal(a.MsgPack, b.MsgPack)
}

// keptPrivate is what the framework keeps beside a state, as the protocol
// carries it. It is not written.
type keptPrivate map[string][]byte

func (k keptPrivate) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) {
	return k[key], nil
}

func (keptPrivate) SetKey(context.Context, string, []byte) diag.Diagnostics {
	return diag.Diagnostics{diag.NewErrorDiagnostic("Private state is not written here", "")}
}

// readPrivate reads what belongs to the provider; false where the framework has
// notes of its own in it, which it wants to see.
func readPrivate(text []byte) (keptPrivate, bool) {
	private := keptPrivate{}
	if len(text) > 0 && json.Unmarshal(text, &private) != nil {
		return nil, false
	}
	for key := range private {
		if key != suggestionKey {
			return nil, false
		}
	}
	return private, true
}
