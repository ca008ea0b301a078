package provider

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// endpointModel is a certificate_endpoint.
type endpointModel struct {
	Address          types.String `tfsdk:"address"`
	ServerName       types.String `tfsdk:"server_name"`
	Timeout          types.String `tfsdk:"timeout"`
	StartTLS         types.String `tfsdk:"starttls"`
	CABundle         types.String `tfsdk:"ca_bundle_pem"`
	AllowUnreachable types.Bool   `tfsdk:"allow_unreachable"`

	Reachable         types.Bool   `tfsdk:"reachable"`
	UnreachableReason types.String `tfsdk:"unreachable_reason"`
	Verified          types.Bool   `tfsdk:"verified"`
	VerificationError types.String `tfsdk:"verification_error"`
	Certificate       types.String `tfsdk:"certificate_pem"`
	Chain             types.String `tfsdk:"chain_pem"`
	Fullchain         types.String `tfsdk:"fullchain_pem"`
	Protocol          types.String `tfsdk:"protocol"`
	DaysLeft          types.Int64  `tfsdk:"days_left"`

	certificateFacts
}

// setServed writes what a handshake showed, and why a client would not trust it.
func (m *endpointModel) setServed(served deploy.Served, now time.Time, untrusted error) {
	leaf := served.Chain[0]
	m.Reachable = types.BoolValue(true)
	m.Verified = types.BoolValue(untrusted == nil)
	if untrusted != nil {
		m.VerificationError = types.StringValue(untrusted.Error())
	}
	m.Certificate = types.StringValue(string(pki.EncodeCertificates(leaf)))
	m.Chain = types.StringValue(string(pki.EncodeCertificates(served.Chain[1:]...)))
	m.Fullchain = types.StringValue(string(pki.EncodeCertificates(served.Chain...)))
	m.Protocol = types.StringValue(served.Version)
	m.DaysLeft = types.Int64Value(int64(lifecycle.DaysLeft(leaf.NotAfter, now)))
	m.certificateFacts = factsOf(leaf)
}

func (m *endpointModel) setUnreachable(why error) {
	m.Reachable, m.UnreachableReason = types.BoolValue(false), types.StringValue(why.Error())
	m.certificateFacts = factsOf(nil)
}

// verify tells why a client with the system's roots, and those of a bundle,
// would not trust what is served; nil when it would.
func verify(served deploy.Served, name, bundle string, now time.Time) error {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return fmt.Errorf("load the roots of the system: %w", err)
	}
	if bundle != "" {
		own, err := pki.ParseCertificates([]byte(bundle))
		if err != nil {
			return fmt.Errorf("ca_bundle_pem: %w", err)
		}
		for _, root := range own {
			roots.AddCert(root)
		}
	}
	return pki.Verify(served.Chain, roots, name, now)
}
