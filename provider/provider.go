package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

var (
	_ provider.Provider                       = (*certificateProvider)(nil)
	_ provider.ProviderWithFunctions          = (*certificateProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*certificateProvider)(nil)
	_ provider.ProviderWithActions            = (*certificateProvider)(nil)
	_ provider.ProviderWithListResources      = (*certificateProvider)(nil)
)

type certificateProvider struct {
	version string
	options Options
	// services is nil until the provider is configured.
	services *services
}

// The families of alternatives. A new issuer, validation method or storage is
// one file and one line here.
func (p *certificateProvider) issuerKinds() []kind.Kind[issuer.Config, schema.Attribute] {
	return []kind.Kind[issuer.Config, schema.Attribute]{acme.Kind(p.options.Getenv), tencentcloud.Kind(p.options.Getenv)}
}

func (p *certificateProvider) validationKinds() []kind.Kind[challenge.Config, schema.Attribute] {
	return []kind.Kind[challenge.Config, schema.Attribute]{
		challenge.ResponderKind(p.options.Getenv), challenge.UpdateKind(p.options.Getenv),
		challenge.HTTPKind(p.options.Getenv), challenge.TLSKind(p.options.Getenv),
	}
}

func (p *certificateProvider) storageKinds() []kind.Kind[custody.Store, schema.Attribute] {
	return []kind.Kind[custody.Store, schema.Attribute]{
		custody.DirectoryKind(p.options.Getenv), custody.PostgresKind(p.options.Getenv),
	}
}

// blocks makes the nested attributes of a family.
func blocks[T any](family []kind.Kind[T, schema.Attribute]) map[string]schema.Attribute {
	attributes := make(map[string]schema.Attribute, len(family))
	for _, k := range family {
		attributes[k.Name] = schema.SingleNestedAttribute{Optional: true, MarkdownDescription: k.Summary, Attributes: k.Attributes}
	}
	return attributes
}

func (p *certificateProvider) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName, response.Version = "certificate", p.version
}

func (p *certificateProvider) Schema(_ context.Context, _ provider.SchemaRequest, response *provider.SchemaResponse) {
	issuers, validation, storage := p.issuerKinds(), p.validationKinds(), p.storageKinds()
	validationBlocks := blocks(validation)
	validationBlocks["resolvers"] = schema.ListAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: "Recursive DNS resolvers, as `host` or `host:port`, to find zones and CNAMEs with. Environment: `" + envResolvers + "` (comma-separated). Default: those of the system.",
	}
	storageBlocks := blocks(storage)
	storageBlocks["encryption"] = schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Encrypt everything that is stored.",
		Attributes: map[string]schema.Attribute{
			"age_identity": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "age identity (`AGE-SECRET-KEY-1…`, from `age-keygen`) to encrypt to and decrypt with. Of several, one a line, the first encrypts and all decrypt. " +
					"To replace an identity, put the new one first and keep the old one below it: what is stored is encrypted anew only when it is next written, a private key with its next renewal. " +
					"Environment: `" + envAgeIdentity + "`. Default: nothing is encrypted.",
			},
			"age_recipients": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Public parts (`age1…`) of other identities that can read what is stored too: those of other machines, or one kept for emergencies. " +
					"A change holds for what is written from then on. Needs `age_identity`. Default: none.",
			},
		},
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "Keeps certificates valid and installs them on servers.",
		Attributes: map[string]schema.Attribute{
			"issuers": schema.MapNestedAttribute{
				Optional:            true,
				MarkdownDescription: "The CAs to order from, by a name of your choice that `certificate_renewal.issuer` refers to. Default: one `acme` issuer called `default`, for Let's Encrypt or what the environment says.",
				NestedObject: schema.NestedAttributeObject{
					Attributes: blocks(issuers),
					Validators: []validator.Object{kind.ExactlyOne(kind.Names(issuers))},
				},
			},
			"validation": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "How control over the names is proved to the CAs, for all renewals: one of `" + strings.Join(kind.Names(validation), "`, `") + "`. Default: the one that the environment says something of.",
				Attributes:          validationBlocks,
				Validators:          []validator.Object{kind.AtMostOne(kind.Names(validation))},
			},
			"storage": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Where account keys, private keys, order journals and locks are kept, outside of Terraform's state. Default: `directory`.",
				Attributes:          storageBlocks,
				Validators:          []validator.Object{kind.AtMostOne(kind.Names(storage))},
			},
		},
	}
}

type providerModel struct {
	Issuers    types.Map    `tfsdk:"issuers"`
	Validation types.Object `tfsdk:"validation"`
	Storage    types.Object `tfsdk:"storage"`
}

func (p *certificateProvider) Configure(ctx context.Context, request provider.ConfigureRequest, response *provider.ConfigureResponse) {
	var model providerModel
	response.Diagnostics.Append(request.Config.Get(ctx, &model)...)
	if response.Diagnostics.HasError() {
		return
	}
	s := &services{
		logger: newLogger(), opened: map[string]issuer.Issuer{}, clocked: map[string]bool{},
		transports: transport.Kinds(transport.Environment{Getenv: p.options.Getenv}),
		incomplete: model.Issuers.IsUnknown() || hasUnknown(model.Storage) || hasUnknown(model.Validation),
	}
	s.issuers = p.configureIssuers(ctx, model.Issuers, &response.Diagnostics)
	s.store = p.configureStorage(ctx, model.Storage, &response.Diagnostics)
	s.solver = p.configureValidation(ctx, model.Validation, s, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	endpoints := make([]string, 0, len(s.issuers))
	for _, config := range s.issuers {
		endpoints = append(endpoints, config.Endpoint())
	}
	var err error
	if s.now, s.shifted, err = p.options.clock(endpoints); err != nil {
		response.Diagnostics.AddError("The provider's clock cannot be moved", err.Error()+".")
		return
	}
	p.services = s
	response.ResourceData, response.DataSourceData, response.EphemeralResourceData = s, s, s
	response.ActionData, response.ListResourceData = s, s
}

func (p *certificateProvider) configureIssuers(ctx context.Context, configured types.Map, diags *diag.Diagnostics) map[string]issuer.Config {
	if configured.IsNull() {
		return map[string]issuer.Config{"default": acme.FromEnvironment(p.options.Getenv)}
	}
	issuers := map[string]issuer.Config{}
	for name, element := range configured.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsUnknown() || hasUnknown(object) {
			continue // known at apply; renewals that name it say so
		}
		at := path.Root("issuers").AtMapKey(name)
		_, config, more := kind.New(ctx, p.issuerKinds(), at, object)
		diags.Append(more...)
		if config != nil {
			issuers[name] = config
		}
	}
	checkSiblings(issuers, diags)
	return issuers
}

// checkSiblings refuses issuers that cannot stand beside each other.
func checkSiblings(issuers map[string]issuer.Config, diags *diag.Diagnostics) {
	names := slices.Sorted(maps.Keys(issuers))
	for n, name := range names {
		sibling, ok := issuers[name].(issuer.Sibling)
		for _, other := range names[n+1:] {
			if !ok {
				break
			}
			if err := sibling.Beside(issuers[other]); err != nil {
				diags.AddAttributeError(path.Root("issuers").AtMapKey(other), "Issuers that cannot be told apart", fmt.Sprintf("%q and %q: %s.", name, other, err))
			}
		}
	}
}

// configureStorage opens the storage. Without a usable default place it is
// absent, which a plan with nothing due does not mind.
func (p *certificateProvider) configureStorage(ctx context.Context, configured types.Object, diags *diag.Diagnostics) custody.Store {
	if hasUnknown(configured) {
		return noStore{errStoreUnknown}
	}
	at := path.Root("storage")
	name, store, more := kind.New(ctx, p.storageKinds(), at, configured)
	diags.Append(more...)
	if more.HasError() {
		return noStore{diagError(more)}
	}
	switch {
	case name == "":
		store = p.defaultStorage(at, diags)
	case store == nil:
		return noStore{custody.ErrNoPostgresURL}
	}
	identity := p.options.Getenv(envAgeIdentity)
	if encryption, ok := configured.Attributes()["encryption"].(types.Object); ok && !encryption.IsNull() {
		if own, ok := encryption.Attributes()["age_identity"].(types.String); ok && !own.IsNull() {
			identity = own.ValueString()
		}
	}
	sealed, err := custody.Seal(store, secret.New(identity), ageRecipients(configured)...)
	if errors.Is(err, custody.ErrRecipient) {
		diags.AddAttributeError(at.AtName("encryption").AtName("age_recipients"), "No usable age recipients", err.Error()+".")
		return noStore{err}
	}
	if err != nil && !errors.Is(err, custody.ErrNoIdentity) { // a plan with nothing due needs no secret
		diags.AddAttributeError(at.AtName("encryption").AtName("age_identity"), "No usable age identity", err.Error()+".")
	}
	if absent, ok := store.(noStore); ok {
		return absent
	}
	if err != nil {
		return noStore{err}
	}
	return sealed
}

// ageRecipients are those of the configuration.
func ageRecipients(configured types.Object) []string {
	encryption, _ := configured.Attributes()["encryption"].(types.Object)
	list, _ := encryption.Attributes()["age_recipients"].(types.List)
	var recipients []string
	for _, element := range list.Elements() {
		if text, ok := element.(types.String); ok {
			recipients = append(recipients, text.ValueString())
		}
	}
	return recipients
}

// defaultStorage is the storage when none is configured.
func (p *certificateProvider) defaultStorage(at path.Path, diags *diag.Diagnostics) custody.Store {
	if shared, err := custody.PostgresFromEnvironment(p.options.Getenv); err != nil {
		return noStore{err}
	} else if shared != nil {
		return shared
	}
	directory, err := custody.DirectoryFromEnvironment(p.options.Getenv)
	if err != nil {
		return noStore{err}
	}
	store, err := custody.OpenDirectory(directory)
	if err != nil {
		return noStore{fmt.Errorf("%w; set storage.directory.path", err)}
	}
	if system, ok := custody.Ephemeral(p.options.Getenv); ok && p.options.Getenv(custody.EnvDirectory) == "" {
		diags.AddAttributeWarning(at, "The storage may not survive this run",
			"This seems to be a runner of "+system+", and storage is not configured: account keys, private keys and unfinished orders are kept in "+directory+
				". Configure a directory that lasts; otherwise the next run has to order anew.")
	}
	return store
}

// configureValidation prepares the solver; nothing is opened or asked before the
// first challenge.
func (p *certificateProvider) configureValidation(ctx context.Context, configured types.Object, s *services, diags *diag.Diagnostics) issuer.Solver {
	if hasUnknown(configured) {
		return noSolver{errSolverUnknown}
	}
	at := path.Root("validation")
	name, config, more := kind.New(ctx, p.validationKinds(), at, configured)
	diags.Append(more...)
	if name == "" {
		var err error
		if config, err = challenge.FromEnvironment(p.options.Getenv); err != nil {
			return noSolver{err}
		}
	}
	if config == nil {
		return noSolver{errNoSolver}
	}
	solver, err := config.Open(func() (*challenge.Resolver, error) { return p.resolver(ctx, configured) }, s.logger)
	if err != nil {
		diags.AddAttributeError(at.AtName("resolvers"), "No usable DNS resolvers", err.Error()+".")
		return noSolver{err}
	}
	return solver
}

// resolver asks the configured resolvers. In the lab, where those are on this
// machine, the authoritative servers may be at another port than 53.
func (p *certificateProvider) resolver(ctx context.Context, configured types.Object) (*challenge.Resolver, error) {
	var servers []string
	if list, ok := configured.Attributes()["resolvers"].(types.List); ok && !list.IsNull() {
		if diags := list.ElementsAs(ctx, &servers, false); diags.HasError() {
			return nil, diagError(diags)
		}
	} else if text := p.options.Getenv(envResolvers); text != "" {
		servers = strings.Split(text, ",")
	}
	if len(servers) == 0 {
		return challenge.SystemResolver()
	}
	resolver, local := &challenge.Resolver{AuthoritativePort: 53}, true
	for _, server := range servers {
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
		resolver.Servers = append(resolver.Servers, server)
		local = local && isLoopback("dns://"+server)
	}
	if text := p.options.Getenv(envNameServerPort); text != "" && local {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, invalidPort(text)
		}
		resolver.AuthoritativePort = int(port)
	}
	return resolver, nil
}

func (p *certificateProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newRenewalResource, newDeploymentResource, newHostKeyResource}
}

func (p *certificateProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newEndpointDataSource, newStatusDataSource, newValidationRecordsDataSource}
}

func (p *certificateProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newPrivateKeyEphemeral}
}

// Actions and list resources need Terraform 1.14; nothing depends on them.
func (p *certificateProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newRevokeAction, newRedeployAction}
}

func (p *certificateProvider) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{newRenewalList}
}

func (p *certificateProvider) Functions(context.Context) []func() function.Function {
	return functions()
}
