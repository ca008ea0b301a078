package provider

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const day = 24 * time.Hour

func validityAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How long the certificate should be valid, for CAs that let themselves be asked; public ones mostly do not. A CA that refuses the dates issues its usual life, and a warning says so. " +
			"What exceeds the longest life allowed on the day is refused in the plan, but for private CAs. Changing it orders a new certificate in place. Default: the CA's choice.",
		Attributes: map[string]schema.Attribute{
			"days": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 36500)},
				MarkdownDescription: "Life of each certificate in days. Default: the CA's.",
			},
			"not_before": schema.StringAttribute{
				Optional: true, Validators: []validator.String{dateCheck()},
				MarkdownDescription: "Earliest start of the validity (RFC 3339), asked for while it lies in the future. Default: none.",
			},
			"not_after": schema.StringAttribute{
				Optional: true, Validators: []validator.String{dateCheck()},
				MarkdownDescription: "When the need for the certificate ends (RFC 3339): no certificate is asked to be valid longer, and one that is valid until then is not renewed. Default: none.",
			},
		},
	}
}

func subjectAttribute() schema.Attribute {
	part := func(description string, most int) schema.Attribute {
		return schema.StringAttribute{
			Optional: true, MarkdownDescription: description,
			Validators: []validator.String{stringvalidator.LengthBetween(1, most)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "What the certificate should say of its owner, for CAs that check organizations; CAs that validate domains only leave it out. " +
			"Default: that of `original_certificate_pem`, else nothing. Changing it is a new application to the CA, which the plan says, and orders a new certificate in place.",
		Attributes: map[string]schema.Attribute{
			"organization":        part("Legal name.", 64),
			"organizational_unit": part("Department; public CAs no longer take it.", 64),
			"locality":            part("City.", 128),
			"province":            part("State or province.", 128),
			"country": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Two letters, ISO 3166, such as `CN`.",
				Validators: []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^[A-Z]{2}$`), "must be two letters as in ISO 3166, such as CN or DE")},
			},
		},
	}
}

// wantedTerm reads validity and carry_over.
func (m *renewalModel) wantedTerm(ctx context.Context, w *wanted) error {
	w.term.CarryOver = m.CarryOver.ValueBool()
	if m.Validity.IsNull() {
		return nil
	}
	var validity struct {
		Days      types.Int64  `tfsdk:"days"`
		NotBefore types.String `tfsdk:"not_before"`
		NotAfter  types.String `tfsdk:"not_after"`
	}
	if diags := m.Validity.As(ctx, &validity, basetypes.ObjectAsOptions{}); diags.HasError() {
		return diagError(diags)
	}
	w.term.Life = time.Duration(validity.Days.ValueInt64()) * day
	var errBefore, errAfter error
	w.term.NotBefore, errBefore = date(validity.NotBefore)
	w.term.NotAfter, errAfter = date(validity.NotAfter)
	w.policy.LastEnd = w.term.NotAfter
	w.options.Validity = fmt.Sprintf("%d/%s/%s", validity.Days.ValueInt64(), validity.NotBefore.ValueString(), validity.NotAfter.ValueString())
	return errors.Join(errBefore, errAfter)
}

func date(text types.String) (time.Time, error) {
	if text.IsNull() {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, text.ValueString())
}

// wantedSubject takes the subject from subject, else from the original
// certificate. A signing request brings its own.
func (m *renewalModel) wantedSubject(ctx context.Context, w *wanted) error {
	switch {
	case w.request != nil:
		return nil
	case m.Subject.IsNull() && m.OriginalCertificate.IsNull():
		return nil
	case m.Subject.IsNull():
		original, err := m.original()
		if err != nil {
			return err
		}
		w.options.Subject = pki.SubjectOf(original.Subject)
		return nil
	}
	var err error
	w.options.Subject, err = subjectOf(ctx, m.Subject)
	return err
}

// subjectOf reads a subject block.
func subjectOf(ctx context.Context, block types.Object) (pki.Subject, error) {
	var subject struct {
		Organization       types.String `tfsdk:"organization"`
		OrganizationalUnit types.String `tfsdk:"organizational_unit"`
		Locality           types.String `tfsdk:"locality"`
		Province           types.String `tfsdk:"province"`
		Country            types.String `tfsdk:"country"`
	}
	if diags := block.As(ctx, &subject, basetypes.ObjectAsOptions{}); diags.HasError() {
		return pki.Subject{}, diagError(diags)
	}
	return pki.Subject{
		Organization: subject.Organization.ValueString(), OrganizationalUnit: subject.OrganizationalUnit.ValueString(),
		Locality: subject.Locality.ValueString(), Province: subject.Province.ValueString(), Country: subject.Country.ValueString(),
	}, nil
}

// checkTerm refuses a life that no CA may grant on this day.
func (r *renewalResource) checkTerm(ctx context.Context, m renewalModel, w wanted, diags *diag.Diagnostics) {
	if r.services == nil {
		return
	}
	now := r.services.now()
	rule := lifecycle.CapAt(now)
	at := path.Root("validity")
	switch {
	case !w.term.NotAfter.IsZero() && !w.term.NotAfter.After(now):
		diags.AddAttributeError(at.AtName("not_after"), "The end has passed",
			fmt.Sprintf("No certificate can be valid until %s. Write a later date, or remove the resource.", w.term.NotAfter.Format(time.RFC3339)))
	case !w.term.NotAfter.IsZero() && !w.term.NotAfter.After(w.term.NotBefore):
		diags.AddAttributeError(at.AtName("not_after"), "The end comes before the start",
			"validity.not_after has to be later than validity.not_before.")
	case w.term.Life > time.Duration(rule.Days)*day && r.public(ctx, m):
		diags.AddAttributeError(at.AtName("days"), "Longer than a public certificate may live",
			fmt.Sprintf("%d days are asked for; certificates issued from %s on live at most %d days (%s). Write a smaller number. For a private CA, set publicly_trusted = false for its issuer.",
				int(w.term.Life/day), rule.From.Format(time.DateOnly), rule.Days, rule.Source))
	}
}

// public reports whether any of the CAs that may be asked is a publicly trusted
// one.
func (r *renewalResource) public(ctx context.Context, m renewalModel) bool {
	names, err := r.candidates(ctx, m)
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return r.services.issuers[name].PubliclyTrusted() })
}

// overridesOriginal says in what the application differs from the original
// certificate; empty where it is a renewal of it.
func (m *renewalModel) overridesOriginal(w wanted) string {
	if m.OriginalCertificate.IsNull() {
		return ""
	}
	original, err := m.original()
	if err != nil {
		return ""
	}
	differences := []string{namesDiffer(original, w), subjectDiffers(pki.SubjectOf(original.Subject), w.options.Subject, w)}
	return strings.Join(slices.DeleteFunc(differences, func(text string) bool { return text == "" }), " and ")
}

func namesDiffer(certificate *x509.Certificate, w wanted) string {
	got, want := pki.NameSet(pki.Names(certificate)), pki.NameSet(w.names)
	if quoted(got) == quoted(want) {
		return ""
	}
	return fmt.Sprintf("the names change from %s to %s", quoted(got), quoted(want))
}

func subjectDiffers(before, after pki.Subject, w wanted) string {
	if w.request != nil || before == after {
		return ""
	}
	return fmt.Sprintf("the subject changes from %s to %s", before, after)
}
