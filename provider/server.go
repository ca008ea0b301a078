package provider

import (
	"context"
	"errors"
	"reflect"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// New returns the constructor of the provider as Terraform's protocol sees it:
// the framework's server, with a short way for what most plans and applies come
// down to. Each process serves one provider configuration.
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

// server answers for certificates without the framework, which walks the whole
// schema once for each attribute (v1.19): that takes ten times as long, in every
// plan, for every certificate. It decides by the resource's own code and leaves to
// the framework what that code does not see, and every refusal that has an
// attribute to name; the tests hold the two against each other.
type server struct {
	framework
	provider *certificateProvider
	fields   []field // of a renewalModel
	kind     tftypes.Type
	version  int64
	identity tftypes.Type
	good     sync.Map // settings that the framework found nothing to say of
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
	m, ok := renewalModel{}, request.TypeName == renewalType && s.provider.services != nil
	if ok {
		m, ok = s.model(ctx, request.CurrentState)
	}
	private, readable := readPrivate(request.Private)
	if !ok || !readable {
		return s.framework.ReadResource(ctx, request)
	}
	response := &tfprotov6.ReadResourceResponse{NewState: request.CurrentState}
	seen, diags := s.resource().read(ctx, m, private)
	response.Diagnostics = protocolDiagnostics(diags)
	var err, privateErr, identityErr error
	if seen != nil {
		response.NewState, err = s.encode(ctx, *seen)
	}
	response.Private, privateErr = private.encode()
	response.NewIdentity, identityErr = s.identityOf(m)
	return response, errors.Join(err, privateErr, identityErr)
}

// ValidateResourceConfig implements tfprotov6.ProviderServer. Certificates of one
// fleet mostly differ in their names alone: what else there is to a configuration
// the framework has to find good once.
func (s *server) ValidateResourceConfig(ctx context.Context, request *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	if request.TypeName != renewalType {
		return s.framework.ValidateResourceConfig(ctx, request)
	}
	m, ok := s.model(ctx, request.Config)
	rest, encoded := s.settingsOf(ctx, m)
	if !ok || !encoded || !m.PrivateKeyWO.IsNull() {
		return s.framework.ValidateResourceConfig(ctx, request)
	}
	if _, good := s.good.Load(rest); good && len(m.validate()) == 0 {
		return &tfprotov6.ValidateResourceConfigResponse{}, nil
	}
	response, err := s.framework.ValidateResourceConfig(ctx, request)
	if err == nil && len(response.Diagnostics) == 0 {
		s.good.Store(rest, true)
	}
	return response, err
}

// PlanResourceChange implements tfprotov6.ProviderServer.
func (s *server) PlanResourceChange(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	if request.TypeName == renewalType {
		if response, ok := s.plan(ctx, request); ok {
			return response, nil
		}
	}
	return s.framework.PlanResourceChange(ctx, request)
}

func (s *server) plan(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, bool) {
	m, ok := s.model(ctx, request.ProposedNewState)
	if !ok {
		return nil, false
	}
	response := &tfprotov6.PlanResourceChangeResponse{PlannedState: request.ProposedNewState, PlannedPrivate: request.PriorPrivate, PlannedIdentity: request.PriorIdentity}
	if same(request.PriorState, request.ProposedNewState) && s.resource().stays(ctx, m) {
		return response, true
	}
	prior, ok := s.before(ctx, request.PriorState)
	if !ok {
		return nil, false
	}
	m.PrivateKeyWO = types.StringNull()
	planned, diags := s.resource().plan(ctx, prior, m)
	if diags.HasError() {
		return nil, false
	}
	var err error
	response.Diagnostics = protocolDiagnostics(diags)
	response.PlannedState, err = s.encode(ctx, planned)
	return response, err == nil
}

// ApplyResourceChange implements tfprotov6.ProviderServer.
func (s *server) ApplyResourceChange(ctx context.Context, request *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	if request.TypeName != renewalType || s.provider.services == nil {
		return s.framework.ApplyResourceChange(ctx, request)
	}
	planned, ok := s.model(ctx, request.PlannedState)
	prior, known := s.before(ctx, request.PriorState)
	private, readable := readPrivate(request.PlannedPrivate)
	if !ok || !known || !readable || !planned.WOVersion.IsNull() {
		return s.framework.ApplyResourceChange(ctx, request)
	}
	var made renewalModel
	var diags diag.Diagnostics
	if prior == nil {
		made, diags = s.resource().create(ctx, planned, types.StringNull(), private)
	} else {
		made, diags = s.resource().update(ctx, *prior, planned, types.StringNull(), private)
	}
	response := &tfprotov6.ApplyResourceChangeResponse{
		NewState: request.PriorState, NewIdentity: request.PlannedIdentity, Private: request.PlannedPrivate, Diagnostics: protocolDiagnostics(diags),
	}
	if diags.HasError() {
		return response, nil
	}
	var err, identityErr, privateErr error
	response.NewState, err = s.encode(ctx, made)
	response.NewIdentity, identityErr = s.identityOf(made)
	response.Private, privateErr = private.encode()
	return response, errors.Join(err, identityErr, privateErr)
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
