package provider

import (
	"crypto/x509"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// certificateFacts are what a certificate says of itself, wherever the provider
// shows one.
type certificateFacts struct {
	Names        types.List   `tfsdk:"names"`
	IPAddresses  types.List   `tfsdk:"ip_addresses"`
	Subject      types.String `tfsdk:"subject"`
	Issuer       types.String `tfsdk:"issuer"`
	SerialNumber types.String `tfsdk:"serial_number"`
	Fingerprint  types.String `tfsdk:"fingerprint_sha256"`
	NotBefore    types.String `tfsdk:"not_before"`
	NotAfter     types.String `tfsdk:"not_after"`
	KeyAlgorithm types.String `tfsdk:"key_algorithm"`
}

// textFacts describes the facts that are one text each.
func textFacts() map[string]string {
	return map[string]string{
		"subject":            "Subject, as `CN=www.example.com,O=Example` (RFC 2253).",
		"issuer":             "Issuer, as `CN=R11,O=Let's Encrypt,C=US` (RFC 2253).",
		"serial_number":      "Serial number in hex.",
		"fingerprint_sha256": "SHA-256 fingerprint in hex.",
		"not_before":         "Start of the validity (RFC 3339, UTC).",
		"not_after":          "End of the validity (RFC 3339, UTC).",
		"key_algorithm":      "Type and size of the key, as `private_key.algorithm` of a `certificate_renewal` has it.",
	}
}

// listFacts describes the facts that are lists of texts.
func listFacts() map[string]string {
	return map[string]string{
		"names":        "DNS names: the subject alternative names, or the common name of a certificate that has none.",
		"ip_addresses": "IP addresses among the subject alternative names.",
	}
}

func factTypes(more map[string]attr.Type) map[string]attr.Type {
	kinds := maps.Clone(more)
	for name := range textFacts() {
		kinds[name] = types.StringType
	}
	for name := range listFacts() {
		kinds[name] = types.ListType{ElemType: types.StringType}
	}
	return kinds
}

// factsOf describes a certificate; nil has none.
func factsOf(c *x509.Certificate) certificateFacts {
	if c == nil {
		return certificateFacts{Names: types.ListNull(types.StringType), IPAddresses: types.ListNull(types.StringType)}
	}
	addresses := make([]string, 0, len(c.IPAddresses))
	for _, address := range c.IPAddresses {
		addresses = append(addresses, address.String())
	}
	algorithm := string(pki.AlgorithmOf(c.PublicKey))
	if algorithm == "" {
		algorithm = c.PublicKeyAlgorithm.String()
	}
	return certificateFacts{
		Names: textList(pki.DNSNames(c)), IPAddresses: textList(addresses),
		Subject: types.StringValue(c.Subject.String()), Issuer: types.StringValue(c.Issuer.String()),
		SerialNumber: types.StringValue(pki.Serial(c)), Fingerprint: types.StringValue(pki.Fingerprint(c)),
		NotBefore: timestamp(c.NotBefore), NotAfter: timestamp(c.NotAfter),
		KeyAlgorithm: types.StringValue(algorithm),
	}
}

func textList(texts []string) types.List {
	values := make([]attr.Value, len(texts))
	for n, text := range texts {
		values[n] = types.StringValue(text)
	}
	return types.ListValueMust(types.StringType, values)
}
