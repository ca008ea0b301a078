package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// functions are the provider's functions. They are pure, and need nothing of the
// provider's configuration.
func functions() []func() function.Function {
	list := []pureFunction{parseFunction(), challengeNameFunction(), orderChainFunction(), renewalWindowFunction(), manualFunction(), letterFunction()}
	made := make([]func() function.Function, len(list))
	for n, f := range list {
		made[n] = func() function.Function { return f }
	}
	return made
}

var _ function.Function = pureFunction{}

// pureFunction is a function whose result depends on its arguments alone.
type pureFunction struct {
	name       string
	definition function.Definition
	run        func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError
}

// Metadata implements function.Function.
func (f pureFunction) Metadata(_ context.Context, _ function.MetadataRequest, response *function.MetadataResponse) {
	response.Name = f.name
}

// Definition implements function.Function.
func (f pureFunction) Definition(_ context.Context, _ function.DefinitionRequest, response *function.DefinitionResponse) {
	response.Definition = f.definition
	response.Definition.MarkdownDescription += "\n\nNeeds nothing of the provider's configuration, and Terraform 1.8."
}

// Run implements function.Function.
func (f pureFunction) Run(ctx context.Context, request function.RunRequest, response *function.RunResponse) {
	response.Error = f.run(ctx, request.Arguments, &response.Result)
}

func pemParameter(description string) function.Parameter {
	return function.StringParameter{Name: "pem", MarkdownDescription: description}
}

func badArgument(position int64, err error, mend string) *function.FuncError {
	return function.NewArgumentFuncError(position, fmt.Sprintf("%s. %s", err, mend))
}

// parsed is the result of parse.
type parsed struct {
	IsCA        bool  `tfsdk:"is_ca"`
	ChainLength int64 `tfsdk:"chain_length"`

	certificateFacts
}

func parseFunction() pureFunction {
	return pureFunction{
		name: "parse",
		definition: function.Definition{
			Summary:             "What a certificate says",
			MarkdownDescription: "Reads the first certificate of a PEM text into an object:\n\n" + factList() + "\n\nBlocks that are no certificates, private keys for instance, are passed over and not shown.",
			Parameters:          []function.Parameter{pemParameter("A certificate in PEM; its chain may follow.")},
			Return: function.ObjectReturn{AttributeTypes: factTypes(map[string]attr.Type{
				"is_ca": types.BoolType, "chain_length": types.Int64Type,
			})},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var text string
			if err := arguments.Get(ctx, &text); err != nil {
				return err
			}
			chain, err := pki.ParseCertificates([]byte(text))
			if err != nil {
				return badArgument(0, err, certificatesCheck().mend)
			}
			return result.Set(ctx, parsed{chain[0].IsCA, int64(len(chain)), factsOf(chain[0])})
		},
	}
}

// factList describes the attributes of what parse returns.
func factList() string {
	texts, lists := textFacts(), listFacts()
	var lines []string
	for _, name := range []string{"names", "ip_addresses"} {
		lines = append(lines, fmt.Sprintf("- `%s` (list of strings): %s", name, lists[name]))
	}
	for _, name := range []string{"subject", "issuer", "serial_number", "fingerprint_sha256", "not_before", "not_after", "key_algorithm"} {
		lines = append(lines, fmt.Sprintf("- `%s` (string): %s", name, texts[name]))
	}
	lines = append(lines,
		"- `is_ca` (bool): Whether it may sign certificates.",
		"- `chain_length` (number): How many certificates the text holds.")
	return strings.Join(lines, "\n")
}

func challengeNameFunction() pureFunction {
	return pureFunction{
		name: "challenge_name",
		definition: function.Definition{
			Summary: "Where a CA looks for the validation record of a domain",
			MarkdownDescription: "Returns `_acme-challenge.` and the domain (RFC 8555 §8.4): lower case, IDNs as A-labels, without wildcard and trailing dot. " +
				"A name and its wildcard are validated at the same place.",
			Parameters: []function.Parameter{function.StringParameter{
				Name: "domain", MarkdownDescription: "A domain name as in `domains` of a `certificate_renewal`.",
			}},
			Return: function.StringReturn{},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var domain string
			if err := arguments.Get(ctx, &domain); err != nil {
				return err
			}
			name, err := pki.NormalizeName(domain)
			if err != nil {
				return badArgument(0, err, domainCheck().mend)
			}
			return result.Set(ctx, challenge.Name(strings.TrimPrefix(name, "*.")))
		},
	}
}

func orderChainFunction() pureFunction {
	return pureFunction{
		name: "order_chain",
		definition: function.Definition{
			Summary: "Certificates in the order a server sends them",
			MarkdownDescription: "Sorts the certificates of a PEM text: the leaf first, each next one having signed the one before it (RFC 8446 §4.4.2). Repeats are dropped, and so are blocks that are no certificates. " +
				"It fails when they do not form one chain from one leaf.",
			Parameters: []function.Parameter{pemParameter("Up to ten certificates in PEM, in any order.")},
			Return:     function.StringReturn{},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var text string
			if err := arguments.Get(ctx, &text); err != nil {
				return err
			}
			certificates, err := pki.ParseCertificates([]byte(text))
			if err != nil {
				return badArgument(0, err, certificatesCheck().mend)
			}
			chain, err := pki.OrderChain(certificates)
			if err != nil {
				return badArgument(0, err, "Give one leaf and the certificates that lead from it to a root, and no others.")
			}
			return result.Set(ctx, string(pki.EncodeCertificates(chain...)))
		},
	}
}

// renewalWindow is the result of renewal_window.
type renewalWindow struct {
	OpensAt    types.String `tfsdk:"opens_at"`
	RenewAt    types.String `tfsdk:"renew_at"`
	ReminderAt types.String `tfsdk:"reminder_at"`
}

func renewalWindowFunction() pureFunction {
	return pureFunction{
		name: "renewal_window",
		definition: function.Definition{
			Summary: "When a certificate is to be renewed",
			MarkdownDescription: "Returns the renewal window of a certificate as an object, by the rules of `certificate_renewal` without what its CA suggests (ARI). It reads no clock.\n\n" +
				"- `opens_at` (string): When the window opens (RFC 3339, UTC).\n" +
				"- `renew_at` (string): When the certificate becomes due (RFC 3339, UTC).\n" +
				"- `reminder_at` (string): The second calendar day (UTC) after the window opens, when a renewal that is still open should worry somebody (RFC 3339, UTC).",
			Parameters: []function.Parameter{
				pemParameter("A certificate in PEM; its chain may follow."),
				function.Int64Parameter{
					Name: "window_days", AllowNullValue: true,
					MarkdownDescription: "How many days before the expiry the window opens, 1 to 398; one that does not fit into the life becomes a third of the life. " +
						"`null`: 30 for lives of 90 days and more, a third of the life below, half of it below ten days.",
				},
			},
			Return: function.ObjectReturn{AttributeTypes: map[string]attr.Type{
				"opens_at": types.StringType, "renew_at": types.StringType, "reminder_at": types.StringType,
			}},
		},
		run: func(ctx context.Context, arguments function.ArgumentsData, result *function.ResultData) *function.FuncError {
			var text string
			var days *int64
			if err := arguments.Get(ctx, &text, &days); err != nil {
				return err
			}
			chain, err := pki.ParseCertificates([]byte(text))
			if err != nil {
				return badArgument(0, err, certificatesCheck().mend)
			}
			var policy lifecycle.Policy
			if days != nil {
				if *days < 1 || *days > 398 {
					return badArgument(1, fmt.Errorf("%d days are no window", *days), "Give 1 to 398 days, or null.")
				}
				policy.WindowDays = int(*days)
			}
			// The moment decides whether the certificate is due, which is not
			// the question.
			d := lifecycle.Decide(inForce(chain[0]), policy, chain[0].NotBefore)
			return result.Set(ctx, renewalWindow{timestamp(d.WindowOpensAt), timestamp(d.RenewAt), timestamp(d.ReminderAt)})
		},
	}
}
