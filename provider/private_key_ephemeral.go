package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

var (
	_ ephemeral.EphemeralResource              = (*privateKeyEphemeral)(nil)
	_ ephemeral.EphemeralResourceWithConfigure = (*privateKeyEphemeral)(nil)
)

// privateKeyEphemeral is the ephemeral certificate_private_key. It fetches and
// never generates: Open runs in plan and again in apply, and both have to see
// the same key.
type privateKeyEphemeral struct{ services *services }

func newPrivateKeyEphemeral() ephemeral.EphemeralResource { return &privateKeyEphemeral{} }

func (e *privateKeyEphemeral) Metadata(_ context.Context, request ephemeral.MetadataRequest, response *ephemeral.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_private_key"
}

func (e *privateKeyEphemeral) Configure(_ context.Context, request ephemeral.ConfigureRequest, _ *ephemeral.ConfigureResponse) {
	if s, ok := request.ProviderData.(*services); ok {
		e.services = s
	}
}

func (e *privateKeyEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, response *ephemeral.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "A private key from the provider's storage, for write-only arguments of any provider; it is written to neither state nor plan.\n\n" +
			"It never generates a key. Terraform fetches it in plans too, so that whoever plans needs the storage. " +
			"A `certificate_deployment` does not need it: `private_key_id` has it fetch the key itself. Needs Terraform 1.10, write-only arguments 1.11.",
		Attributes: map[string]schema.Attribute{
			"private_key_id": schema.StringAttribute{
				Required: true, Validators: []validator.String{keyIDCheck()},
				MarkdownDescription: "`private_key_id` of a `certificate_renewal`, or `purchased.encryption_private_key_id` of an SM2 pair.",
			},
			"certificate_pem": schema.StringAttribute{
				Optional: true, Validators: []validator.String{certificatesCheck()},
				MarkdownDescription: "A certificate (PEM) that the key has to belong to; otherwise it is an error, before anybody uses the key. Default: the key is not compared.",
			},
			"private_key_pem": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "The private key, PEM (PKCS#8).",
			},
			"algorithm": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Type and size of the key, as `private_key.algorithm` of a `certificate_renewal` has it.",
			},
		},
	}
}

type privateKeyModel struct {
	PrivateKeyID  types.String `tfsdk:"private_key_id"`
	Certificate   types.String `tfsdk:"certificate_pem"`
	PrivateKeyPEM types.String `tfsdk:"private_key_pem"`
	Algorithm     types.String `tfsdk:"algorithm"`
}

// Open fetches the key.
func (e *privateKeyEphemeral) Open(ctx context.Context, request ephemeral.OpenRequest, response *ephemeral.OpenResponse) {
	var m privateKeyModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	key, err := storedKey(ctx, e.services.store, m.PrivateKeyID.ValueString())
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("private_key_id"), "The private key is not available", err.Error()+". No key was generated instead.")
		return
	}
	if !m.Certificate.IsNull() {
		if err := belongs(key, m.Certificate.ValueString()); err != nil {
			response.Diagnostics.AddAttributeError(path.Root("certificate_pem"), "The private key does not fit",
				fmt.Sprintf("private_key_id and certificate_pem: %s. The key was given to nobody. Take both from the same certificate_renewal.", err))
			return
		}
	}
	text, err := key.PEM()
	if err != nil {
		response.Diagnostics.AddAttributeError(path.Root("private_key_id"), "The private key is not available", err.Error()+".")
		return
	}
	m.PrivateKeyPEM, m.Algorithm = types.StringValue(string(text)), types.StringValue(string(key.Algorithm()))
	response.Diagnostics.Append(response.Result.Set(ctx, &m)...)
}

// belongs tells whether a key is that of the first certificate in a PEM text.
func belongs(key pki.Key, text string) error {
	chain, err := pki.ParseCertificates([]byte(text))
	if err != nil {
		return err
	}
	return key.Matches(chain[0])
}

// storedKey fetches a key from the storage and says what to do about one that is
// not there.
func storedKey(ctx context.Context, keeper order.Keeper, id string) (pki.Key, error) {
	key, err := order.LoadKey(ctx, keeper, id)
	if errors.Is(err, fs.ErrNotExist) {
		return pki.Key{}, fmt.Errorf("%w; configure the storage of the machine that ordered the certificate, or order a new one with terraform apply -replace of its certificate_renewal", err)
	}
	return key, err
}
