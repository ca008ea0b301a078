package provider

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// manualFunction writes instructions for a person. A function keeps nothing in
// state and changes no plan, and what it says is always of the deployment as it
// is configured.
func manualFunction() pureFunction {
	return pureFunction{
		name: "manual_instructions",
		definition: function.Definition{
			Summary: "A deployment as instructions for a person",
			MarkdownDescription: "Writes in Markdown how a person does by hand what a `certificate_deployment` describes: the files, where they go, the commands of its target on its system, how to look at what is served, and the way back. " +
				"The certificate is in the text, or that it has not been issued yet; private keys and passwords never are. Terraform takes what is made from a resource with write-only arguments for sensitive; `nonsensitive` may be written around it.",
			Parameters: []function.Parameter{
				function.DynamicParameter{
					Name:                "deployment",
					MarkdownDescription: "A `certificate_deployment`, as in `certificate_deployment.web`, or an object with the arguments of one, where nothing is to be deployed by Terraform. Paths of Windows make it instructions for Windows.",
				},
				function.StringParameter{Name: "language", MarkdownDescription: "`en` for English or `zh` for Chinese."},
			},
			Return: function.StringReturn{},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var given types.Dynamic
			var language string
			if err := arguments.Get(ctx, &given, &language); err != nil {
				return err
			}
			text, known, err := manualText(ctx, given.UnderlyingValue(), language)
			switch {
			case err != nil:
				return badArgument(0, err, "Give a certificate_deployment, or an object with its arguments, and the language en or zh.")
			case !known:
				return result.Set(ctx, types.StringUnknown())
			}
			return result.Set(ctx, text)
		},
	}
}

// manualText is known once all that it is made of is.
func manualText(ctx context.Context, given attr.Value, language string) (text string, known bool, err error) {
	value, err := given.ToTerraformValue(ctx)
	if err != nil {
		return "", false, err
	}
	full := deploymentSchema(ctx)
	whole, err := conform(value, full.Type().TerraformType(ctx))
	if err != nil {
		return "", false, err
	}
	config := tfsdk.Config{Raw: whole, Schema: full}
	var m deploymentModel
	if diags := config.Get(ctx, &m); diags.HasError() {
		return "", false, diagError(diags)
	}
	for _, block := range m.blocks() {
		if hasUnknown(block) {
			return "", false, nil
		}
	}
	if m.Certificate.IsUnknown() || m.Chain.IsUnknown() || m.PrivateKeyID.IsUnknown() || m.EncryptionFullchain.IsUnknown() || m.EncryptionKeyID.IsUnknown() || m.Hosts.IsUnknown() || hasUnknown(m.Verify) {
		return "", false, nil
	}
	manual, err := m.manual(ctx)
	if err != nil {
		return "", false, err
	}
	text, err = manual.Markdown(ctx, language)
	return text, err == nil, err
}

// manual is the deployment of a model as instructions are made from it.
func (m *deploymentModel) manual(ctx context.Context) (deploy.Manual, error) {
	target, err := m.target(ctx)
	if err != nil || m.Certificate.ValueString() == "" { // not issued yet
		return deploy.Manual{Target: target}, err
	}
	material, err := deploy.ParseMaterial([]byte(m.Certificate.ValueString()), []byte(m.Chain.ValueString()), pki.Key{})
	if err != nil {
		return deploy.Manual{}, err
	}
	if target, err = m.paired(ctx, target, material, deploy.Proof{}, nil); err != nil {
		return deploy.Manual{}, err
	}
	manual := deploy.Manual{
		Target: target, Material: material, KeyID: m.PrivateKeyID.ValueString(), PairID: m.EncryptionKeyID.ValueString(), Windows: target.Name() == "iis",
		KeyGiven: !m.PrivateKeyWO.IsNull() || !m.WOVersion.IsNull() || !fileOfItsOwn(target),
	}
	if manual.Options, err = plainObject(ctx, m.blocks()[target.Name()]); err != nil {
		return manual, err
	}
	at := host{address: defaultAddress, local: true}
	for _, name := range slices.Sorted(maps.Keys(m.Hosts.Elements())) {
		object, ok := m.Hosts.Elements()[name].(types.Object)
		if !ok || hasUnknown(object) {
			continue
		}
		words, windows := hostInWords(name, object)
		manual.Hosts, manual.Windows = append(manual.Hosts, words), manual.Windows || windows
	}
	if len(manual.Hosts) > 0 {
		at.address = ""
	}
	proof, err := m.proof(ctx, material, at)
	manual.Proof = proof.Endpoint
	return manual, err
}

// fileOfItsOwn reports whether a target's key can live on the host without the
// provider: services take it together with the certificate.
func fileOfItsOwn(target deploy.Target) bool {
	_, ok := target.(deploy.FileTarget)
	return ok
}

// hostInWords names a host and how it is reached, without secrets.
func hostInWords(name string, object types.Object) (words string, windows bool) {
	for _, way := range []string{"ssh", "winrm"} {
		block, ok := object.Attributes()[way].(types.Object)
		if !ok || block.IsNull() {
			continue
		}
		user, _ := block.Attributes()["user"].(types.String)
		address, _ := block.Attributes()["address"].(types.String)
		named, _ := block.Attributes()["windows"].(types.Bool)
		return fmt.Sprintf("%s: %s@%s", name, user.ValueString(), address.ValueString()), way == "winrm" || named.ValueBool()
	}
	return name, false
}

// plainObject is a block as plain values, without its secrets.
func plainObject(ctx context.Context, block types.Object) (map[string]any, error) {
	value, err := block.ToTerraformValue(ctx)
	if err != nil {
		return nil, err
	}
	plain, _ := plainValue(value).(map[string]any)
	return plain, nil
}

func plainValue(value tftypes.Value) any {
	if value.IsNull() || !value.IsKnown() {
		return nil
	}
	var object map[string]tftypes.Value
	var list []tftypes.Value
	var text string
	var number big.Float
	var truth bool
	switch {
	case value.Type().Is(tftypes.Object{}) && value.As(&object) == nil:
		plain := map[string]any{}
		for name, inner := range object {
			if one := plainValue(inner); one != nil && !strings.HasSuffix(name, "_wo") {
				plain[name] = one
			}
		}
		return plain
	case value.Type().Is(tftypes.String) && value.As(&text) == nil:
		return text
	case value.Type().Is(tftypes.Number) && value.As(&number) == nil:
		return number.Text('f', -1)
	case value.Type().Is(tftypes.Bool) && value.As(&truth) == nil:
		return truth
	case value.As(&list) == nil:
		var plain []any
		for _, one := range list {
			plain = append(plain, plainValue(one))
		}
		return plain
	}
	return nil
}
