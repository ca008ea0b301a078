package provider

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const (
	custodyStorage = "storage"
	custodyState   = "state"

	defaultAlgorithm = pki.ECDSAP256
	defaultWait      = 10 * time.Minute
)

// renewalModel is the state of a certificate_renewal.
type renewalModel struct {
	ID types.String `tfsdk:"id"`

	Domains             types.Set    `tfsdk:"domains"`
	OriginalCertificate types.String `tfsdk:"original_certificate_pem"`
	Issuer              types.String `tfsdk:"issuer"`
	Issuers             types.List   `tfsdk:"issuers"`
	PrivateKey          types.Object `tfsdk:"private_key"`
	PrivateKeyWO        types.String `tfsdk:"private_key_pem_wo"`
	WOVersion           types.Int64  `tfsdk:"private_key_pem_wo_version"`
	CSR                 types.String `tfsdk:"csr_pem"`
	Renewal             types.Object `tfsdk:"renewal"`
	CarryOver           types.Bool   `tfsdk:"carry_over"`
	Profile             types.String `tfsdk:"profile"`
	PreferredChain      types.String `tfsdk:"preferred_chain"`
	MustStaple          types.Bool   `tfsdk:"must_staple"`
	KeepGenerations     types.Int64  `tfsdk:"keep_generations"`
	RevokeOnDestroy     types.Bool   `tfsdk:"revoke_on_destroy"`
	RevocationReason    types.String `tfsdk:"revocation_reason"`
	WaitTimeout         types.String `tfsdk:"wait_timeout"`
	Subject             types.Object `tfsdk:"subject"`
	Validity            types.Object `tfsdk:"validity"`
	Timeouts            types.Object `tfsdk:"timeouts"`
	Purchase            types.Object `tfsdk:"purchase"`

	Generation    types.Int64  `tfsdk:"generation"`
	Status        types.String `tfsdk:"status"`
	StatusReason  types.String `tfsdk:"status_reason"`
	Certificate   types.String `tfsdk:"certificate_pem"`
	Chain         types.String `tfsdk:"chain_pem"`
	Fullchain     types.String `tfsdk:"fullchain_pem"`
	PrivateKeyID  types.String `tfsdk:"private_key_id"`
	PrivateKeyPEM types.String `tfsdk:"private_key_pem"`
	SerialNumber  types.String `tfsdk:"serial_number"`
	Fingerprint   types.String `tfsdk:"fingerprint_sha256"`
	NotBefore     types.String `tfsdk:"not_before"`
	NotAfter      types.String `tfsdk:"not_after"`
	RenewAt       types.String `tfsdk:"renew_at"`
	RenewReason   types.String `tfsdk:"renew_reason"`
	WindowOpensAt types.String `tfsdk:"window_opens_at"`
	ReminderAt    types.String `tfsdk:"reminder_at"`
	IssuerUsed    types.String `tfsdk:"issuer_used"`
	Previous      types.Object `tfsdk:"previous"`

	CarriedOverDays   types.Int64  `tfsdk:"carried_over_days"`
	ExpectedBy        types.String `tfsdk:"expected_by"`
	Obligations       types.List   `tfsdk:"obligations"`
	ValidationRecords types.List   `tfsdk:"validation_records"`
	Purchased         types.Object `tfsdk:"purchased"`
}

func previousType() map[string]attr.Type {
	return map[string]attr.Type{"serial_number": types.StringType, "fingerprint_sha256": types.StringType, "not_after": types.StringType}
}

// wanted is a certificate_renewal's configuration in our own terms.
type wanted struct {
	names     []string // normalized
	request   []byte   // DER of csr_pem, nil without
	algorithm pki.Algorithm
	rotate    bool
	custody   string
	policy    lifecycle.Policy
	wait      time.Duration
	own       bool    // the key comes with the configuration, write-only
	key       pki.Key // that key; only in Create and Update
	token     string  // renewal.force_token
	options   order.Options
	term      lifecycle.Term
	bought    bool // options.Purchase is set
	supplies  order.Supplies
	resources []string // purchase.cloud_resources
	cancels   bool     // purchase.on_destroy
}

// wanted reads the configuration. It must be known in the parts that matter;
// complete says whether it is.
func (m *renewalModel) wanted(ctx context.Context) (w wanted, complete bool, err error) {
	if m.Domains.IsUnknown() || m.OriginalCertificate.IsUnknown() || m.CSR.IsUnknown() ||
		hasUnknown(m.PrivateKey) || hasUnknown(m.Renewal) || hasUnknown(m.Subject) || hasUnknown(m.Validity) || hasUnknown(m.Purchase) || m.WaitTimeout.IsUnknown() || m.WOVersion.IsUnknown() ||
		m.Profile.IsUnknown() || m.PreferredChain.IsUnknown() || m.MustStaple.IsUnknown() || m.CarryOver.IsUnknown() {
		return wanted{}, false, nil
	}
	for _, domain := range m.Domains.Elements() {
		if domain.IsUnknown() {
			return wanted{}, false, nil
		}
	}
	w = wanted{
		rotate: true, custody: custodyStorage, policy: lifecycle.Policy{UseSuggestion: true}, wait: defaultWait, algorithm: defaultAlgorithm,
		own:     !m.WOVersion.IsNull(),
		options: order.Options{Profile: m.Profile.ValueString(), PreferredChain: m.PreferredChain.ValueString(), MustStaple: m.MustStaple.ValueBool()},
	}
	if err := m.wantedNames(ctx, &w); err != nil {
		return wanted{}, true, err
	}
	if err := m.wantedKey(ctx, &w); err != nil {
		return wanted{}, true, err
	}
	if err := errors.Join(m.wantedSubject(ctx, &w), m.wantedTerm(ctx, &w)); err != nil {
		return wanted{}, true, err
	}
	if !m.Renewal.IsNull() {
		var renewal struct {
			WindowDays types.Int64  `tfsdk:"window_days"`
			UseARI     types.Bool   `tfsdk:"use_ari"`
			ForceToken types.String `tfsdk:"force_token"`
			TimeZone   types.String `tfsdk:"time_zone"`
		}
		if diags := m.Renewal.As(ctx, &renewal, basetypes.ObjectAsOptions{}); diags.HasError() {
			return wanted{}, true, diagError(diags)
		}
		w.policy.WindowDays = int(renewal.WindowDays.ValueInt64())
		w.policy.UseSuggestion = renewal.UseARI.IsNull() || renewal.UseARI.ValueBool()
		w.token = renewal.ForceToken.ValueString()
		if !renewal.TimeZone.IsNull() {
			if w.policy.Location, err = timeZone(renewal.TimeZone.ValueString()); err != nil {
				return wanted{}, true, fmt.Errorf("renewal.time_zone: %w", err)
			}
		}
	}
	if !m.WaitTimeout.IsNull() {
		if w.wait, err = time.ParseDuration(m.WaitTimeout.ValueString()); err != nil {
			return wanted{}, true, fmt.Errorf("wait_timeout: %w", err)
		}
	}
	if err := m.wantedPurchase(ctx, &w); err != nil {
		return wanted{}, true, err
	}
	w.follow(*m)
	if w.bought {
		w.followProduct(*m)
	}
	return w, true, nil
}

// wantedNames takes the names from domains, else from the signing request, else
// from the original certificate.
func (m *renewalModel) wantedNames(ctx context.Context, w *wanted) error {
	var names []string
	if !m.CSR.IsNull() {
		request, err := pki.ParseRequest([]byte(m.CSR.ValueString()))
		if err != nil {
			return fmt.Errorf("csr_pem: %w", err)
		}
		w.request, names = request.Raw, pki.RequestNames(request)
	}
	if !m.OriginalCertificate.IsNull() && len(names) == 0 {
		original, err := m.original()
		if err != nil {
			return err
		}
		names = pki.Names(original)
	}
	if !m.Domains.IsNull() {
		names = nil
		if diags := m.Domains.ElementsAs(ctx, &names, false); diags.HasError() {
			return diagError(diags)
		}
	}
	var err error
	w.names, err = pki.NormalizeNames(names)
	return err
}

func (m *renewalModel) original() (*x509.Certificate, error) {
	chain, err := pki.ParseCertificates([]byte(m.OriginalCertificate.ValueString()))
	if err != nil {
		return nil, fmt.Errorf("original_certificate_pem: %w", err)
	}
	return chain[0], nil
}

// wantedKey takes the key type from private_key, else from the original
// certificate.
func (m *renewalModel) wantedKey(ctx context.Context, w *wanted) error {
	if !m.OriginalCertificate.IsNull() {
		original, err := m.original()
		if err != nil {
			return err
		}
		if algorithm := pki.AlgorithmOf(original.PublicKey); algorithm != "" {
			w.algorithm = algorithm
		}
	}
	if !m.PrivateKey.IsNull() {
		var key struct {
			Algorithm types.String `tfsdk:"algorithm"`
			Rotate    types.Bool   `tfsdk:"rotate"`
			Custody   types.String `tfsdk:"custody"`
		}
		if diags := m.PrivateKey.As(ctx, &key, basetypes.ObjectAsOptions{}); diags.HasError() {
			return diagError(diags)
		}
		if !key.Algorithm.IsNull() {
			w.algorithm = pki.Algorithm(key.Algorithm.ValueString())
		}
		w.rotate = key.Rotate.IsNull() || key.Rotate.ValueBool()
		if !key.Custody.IsNull() {
			w.custody = key.Custody.ValueString()
		}
	}
	if w.request != nil || w.own {
		w.algorithm = ""
	}
	return nil
}

// leaf is the certificate in state, nil when there is none.
func (m *renewalModel) leaf() (*x509.Certificate, error) {
	if m.Certificate.IsNull() || m.Certificate.IsUnknown() || m.Certificate.ValueString() == "" {
		return nil, nil
	}
	chain, err := pki.ParseCertificates([]byte(m.Certificate.ValueString()))
	if err != nil {
		return nil, fmt.Errorf("the certificate in state: %w", err)
	}
	return chain[0], nil
}

// intent is the order that leads from the certificate in state, if any, to what
// is wanted.
func (w wanted) intent(issuerID string, current *x509.Certificate, currentKeyID string) order.Intent {
	intent := order.Intent{
		Issuer: issuerID, Names: pki.NameSet(w.names), Algorithm: w.algorithm, Request: w.request,
		PublicKey: w.key.Hash(), Token: w.token, Options: w.options,
	}
	if current == nil {
		return intent
	}
	intent.Replaces = pki.Fingerprint(current)
	if !w.rotate && w.request == nil && !w.own && currentKeyID != "" && pki.AlgorithmOf(current.PublicKey) == w.algorithm {
		intent.KeyID = currentKeyID
	}
	return intent
}

// newApplication is what changes of names and subject are to a CA.
const newApplication = "; a CA treats that as a new application"

// differs says how the certificate in force is not what is wanted; empty when
// it is.
func (w wanted) differs(current *x509.Certificate) string {
	if current == nil {
		return ""
	}
	if reason := namesDiffer(current, w); reason != "" {
		return reason + newApplication
	}
	if w.request != nil {
		if pki.CheckIssued(current, w.request) != nil {
			return "the signing request has another key"
		}
		return ""
	}
	return w.keyChanges(current)
}

// setIssued writes a certificate into the outputs, moving the one before into
// previous.
func (m *renewalModel) setIssued(chain []*x509.Certificate, keyID string) {
	leaf := chain[0]
	if before, err := m.leaf(); err == nil && before != nil && !before.Equal(leaf) {
		m.Previous = types.ObjectValueMust(previousType(), map[string]attr.Value{
			"serial_number":      types.StringValue(pki.Serial(before)),
			"fingerprint_sha256": types.StringValue(pki.Fingerprint(before)),
			"not_after":          timestamp(before.NotAfter),
		})
	}
	m.Certificate = types.StringValue(string(pki.EncodeCertificates(leaf)))
	m.Chain = types.StringValue(string(pki.EncodeCertificates(chain[1:]...)))
	m.Fullchain = types.StringValue(string(pki.EncodeCertificates(chain...)))
	m.PrivateKeyID = types.StringNull()
	if keyID != "" {
		m.PrivateKeyID = types.StringValue(keyID)
	}
	m.SerialNumber = types.StringValue(pki.Serial(leaf))
	m.Fingerprint = types.StringValue(pki.Fingerprint(leaf))
	m.NotBefore, m.NotAfter = timestamp(leaf.NotBefore), timestamp(leaf.NotAfter)
	m.Status, m.StatusReason = types.StringValue(string(order.StatusIssued)), types.StringNull()
	m.noOpenOrder()
}

// setDecision writes the one decision about the certificate in force.
func (m *renewalModel) setDecision(d lifecycle.Decision) {
	m.RenewAt, m.WindowOpensAt, m.ReminderAt = timestamp(d.RenewAt), timestamp(d.WindowOpensAt), timestamp(d.ReminderAt)
	if d.RenewAt.IsZero() {
		m.RenewAt = types.StringNull()
	}
	m.RenewReason = types.StringNull()
	if d.Due() {
		m.RenewReason = types.StringValue(d.Reason)
	}
}

// decidedAs reports whether another model has the same decision.
func (m *renewalModel) decidedAs(other renewalModel) bool {
	return m.RenewAt.Equal(other.RenewAt) && m.RenewReason.Equal(other.RenewReason) &&
		m.WindowOpensAt.Equal(other.WindowOpensAt) && m.ReminderAt.Equal(other.ReminderAt)
}

// copyOutputs takes the outputs of another model.
func (m *renewalModel) copyOutputs(from renewalModel) {
	m.ID, m.Generation = from.ID, from.Generation
	m.Status, m.StatusReason = from.Status, from.StatusReason
	m.Certificate, m.Chain, m.Fullchain = from.Certificate, from.Chain, from.Fullchain
	m.PrivateKeyID, m.PrivateKeyPEM = from.PrivateKeyID, from.PrivateKeyPEM
	m.SerialNumber, m.Fingerprint = from.SerialNumber, from.Fingerprint
	m.NotBefore, m.NotAfter = from.NotBefore, from.NotAfter
	m.RenewAt, m.RenewReason = from.RenewAt, from.RenewReason
	m.WindowOpensAt, m.ReminderAt = from.WindowOpensAt, from.ReminderAt
	m.IssuerUsed, m.Previous = from.IssuerUsed, from.Previous
	m.CarriedOverDays, m.ExpectedBy = from.CarriedOverDays, from.ExpectedBy
	m.Obligations, m.ValidationRecords = from.Obligations, from.ValidationRecords
	m.Purchased = from.Purchased
}

// noOutputs sets every output to null.
func (m *renewalModel) noOutputs() {
	m.copyOutputs(renewalModel{Previous: types.ObjectNull(previousType()), Purchased: types.ObjectNull(purchasedType())})
	m.noOpenOrder()
}

// unknownOutputs marks the outputs a new certificate changes; keepKey where the
// key is used again.
func (m *renewalModel) unknownOutputs(keepKey bool) {
	unknown := types.StringUnknown()
	m.Generation = types.Int64Unknown()
	m.Status, m.StatusReason = unknown, unknown
	m.Certificate, m.Chain, m.Fullchain = unknown, unknown, unknown
	if !keepKey {
		m.PrivateKeyID, m.PrivateKeyPEM = unknown, unknown
	}
	m.SerialNumber, m.Fingerprint = unknown, unknown
	m.NotBefore, m.NotAfter = unknown, unknown
	m.unknownDecision()
	m.IssuerUsed, m.Previous = unknown, types.ObjectUnknown(previousType())
	m.CarriedOverDays, m.ExpectedBy = types.Int64Unknown(), unknown
	m.Obligations, m.ValidationRecords = types.ListUnknown(obligationType()), types.ListUnknown(recordType())
	m.Purchased = types.ObjectUnknown(purchasedType())
}

func (m *renewalModel) unknownDecision() {
	unknown := types.StringUnknown()
	m.RenewAt, m.RenewReason, m.WindowOpensAt, m.ReminderAt = unknown, unknown, unknown, unknown
}

func timestamp(t time.Time) types.String { return types.StringValue(t.UTC().Format(time.RFC3339)) }

const defaultKeep = 3

// keepGenerations is how many generations' private keys stay in the storage.
func (m *renewalModel) keepGenerations() int {
	if m.KeepGenerations.IsNull() {
		return defaultKeep
	}
	return int(m.KeepGenerations.ValueInt64())
}
