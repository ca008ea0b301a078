package provider

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// What certificate_status says where there is no certificate to assess.
const (
	statusUnreachable lifecycle.Status = "unreachable"
	statusMissing     lifecycle.Status = "missing"
)

// statusModel is a certificate_status.
type statusModel struct {
	CertificatesPEM types.Map    `tfsdk:"certificates_pem"`
	Endpoints       types.Map    `tfsdk:"endpoints"`
	Issuer          types.String `tfsdk:"issuer"`
	Timeout         types.String `tfsdk:"timeout"`
	WindowDays      types.Int64  `tfsdk:"window_days"`
	WithinDays      types.Int64  `tfsdk:"within_days"`
	TimeZone        types.String `tfsdk:"time_zone"`

	OK           types.Bool                   `tfsdk:"ok"`
	Due          []string                     `tfsdk:"due"`
	Reminding    []string                     `tfsdk:"reminding"`
	Expiring     []string                     `tfsdk:"expiring"`
	Expired      []string                     `tfsdk:"expired"`
	Unreachable  []string                     `tfsdk:"unreachable"`
	Missing      []string                     `tfsdk:"missing"`
	Certificates map[string]certificateStatus `tfsdk:"certificates"`
	Account      []accountStatus              `tfsdk:"account"`
}

// certificateStatus is one certificate in a certificate_status.
type certificateStatus struct {
	Status     types.String `tfsdk:"status"`
	Reason     types.String `tfsdk:"reason"`
	NotAfter   types.String `tfsdk:"not_after"`
	RenewAt    types.String `tfsdk:"renew_at"`
	ReminderAt types.String `tfsdk:"reminder_at"`
	DaysLeft   types.Int64  `tfsdk:"days_left"`
}

// subject is a certificate to look at, or a server to ask for one.
type subject struct {
	leaf     *x509.Certificate // nil where there is none (yet)
	endpoint *deploy.Endpoint  // nil for a certificate that was given
	problem  error             // why the server could not be asked
}

// subjects reads what is to be looked at.
func (m *statusModel) subjects(ctx context.Context) (map[string]*subject, error) {
	subjects := map[string]*subject{}
	texts := map[string]types.String{}
	if diags := m.CertificatesPEM.ElementsAs(ctx, &texts, false); diags.HasError() {
		return nil, diagError(diags)
	}
	for name, text := range texts {
		subjects[name] = &subject{}
		if text.IsNull() {
			continue
		}
		chain, err := pki.ParseCertificates([]byte(text.ValueString()))
		if err != nil {
			return nil, fmt.Errorf("certificates_pem[%q]: %w", name, err)
		}
		subjects[name].leaf = chain[0]
	}
	servers := map[string]struct {
		Address    types.String `tfsdk:"address"`
		ServerName types.String `tfsdk:"server_name"`
	}{}
	if diags := m.Endpoints.ElementsAs(ctx, &servers, false); diags.HasError() {
		return nil, diagError(diags)
	}
	for name, server := range servers {
		endpoint, err := endpointAt(server.Address.ValueString(), server.ServerName.ValueString())
		if err != nil {
			return nil, fmt.Errorf("endpoints[%q]: %w", name, err)
		}
		subjects[name] = &subject{endpoint: &endpoint}
	}
	return subjects, nil
}

// assess writes the outputs for one moment.
func (m *statusModel) assess(subjects map[string]*subject, now time.Time) error {
	policy := lifecycle.Policy{WindowDays: int(m.WindowDays.ValueInt64())}
	if !m.TimeZone.IsNull() {
		var err error
		if policy.Location, err = timeZone(m.TimeZone.ValueString()); err != nil {
			return fmt.Errorf("time_zone: %w", err)
		}
	}
	within := -1
	if !m.WithinDays.IsNull() {
		within = int(m.WithinDays.ValueInt64())
	}
	m.OK = types.BoolValue(true)
	m.Due, m.Reminding, m.Expiring, m.Expired = []string{}, []string{}, []string{}, []string{}
	m.Unreachable, m.Missing = []string{}, []string{}
	m.Certificates = make(map[string]certificateStatus, len(subjects))
	for name, s := range subjects {
		var a lifecycle.Assessment
		if s.leaf != nil {
			a = lifecycle.Assess(inForce(s.leaf), policy, within, now)
		} else {
			a = s.absent()
		}
		m.add(name, a)
		m.Certificates[name] = newCertificateStatus(s.leaf, a)
	}
	return nil
}

// absent says why there is no certificate to assess.
func (s *subject) absent() lifecycle.Assessment {
	if s.problem != nil {
		return lifecycle.Assessment{Status: statusUnreachable, Reason: s.problem.Error()}
	}
	return lifecycle.Assessment{Status: statusMissing, Reason: "the certificate is not issued yet"}
}

// add puts a name into the sets it belongs to.
func (m *statusModel) add(name string, a lifecycle.Assessment) {
	if a.Status != lifecycle.StatusOK {
		m.OK = types.BoolValue(false)
	}
	for _, set := range []struct {
		names *[]string
		in    bool
	}{
		{&m.Due, a.Decision.Due()},
		{&m.Reminding, a.Reminding},
		{&m.Expiring, a.Status == lifecycle.StatusExpiring},
		{&m.Expired, a.Status == lifecycle.StatusExpired},
		{&m.Unreachable, a.Status == statusUnreachable},
		{&m.Missing, a.Status == statusMissing},
	} {
		if set.in {
			*set.names = append(*set.names, name)
		}
	}
}

func newCertificateStatus(leaf *x509.Certificate, a lifecycle.Assessment) certificateStatus {
	status := certificateStatus{Status: types.StringValue(string(a.Status))}
	if a.Reason != "" {
		status.Reason = types.StringValue(a.Reason)
	}
	if leaf != nil {
		status.NotAfter, status.RenewAt = timestamp(leaf.NotAfter), timestamp(a.Decision.RenewAt)
		status.ReminderAt = timestamp(a.Decision.ReminderAt)
		status.DaysLeft = types.Int64Value(int64(a.DaysLeft))
	}
	return status
}

// inForce is what a decision needs to know of a certificate whose CA is not
// asked.
func inForce(c *x509.Certificate) lifecycle.Certificate {
	return lifecycle.Certificate{NotBefore: c.NotBefore, NotAfter: c.NotAfter, Fingerprint: pki.Fingerprint(c)}
}
