package provider

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

type purchaseModel struct {
	Product       types.String `tfsdk:"product"`
	Source        types.String `tfsdk:"source"`
	AcceptCharges types.Bool   `tfsdk:"accept_charges"`
	Years         types.Int64  `tfsdk:"term_years"`
	Original      types.String `tfsdk:"original_certificate_id"`
	Order         types.String `tfsdk:"order_id"`
	Key           types.String `tfsdk:"key"`
	Company       types.String `tfsdk:"company_id"`
	Manager       types.String `tfsdk:"manager_id"`
	Packages      types.List   `tfsdk:"package_ids"`
	Contact       types.Map    `tfsdk:"contact"`
	Letter        types.String `tfsdk:"confirmation_letter_base64"`
	AutoRenew     types.Bool   `tfsdk:"auto_renew"`
	Tags          types.Map    `tfsdk:"tags"`
	Resources     types.List   `tfsdk:"cloud_resources"`
	OnDestroy     types.String `tfsdk:"on_destroy"`
}

// paidWait is how long an apply waits for an order of a commercial CA: those
// that are validated by records alone take ten minutes and more. People are not
// waited for.
const paidWait = 30 * time.Minute

// wantedPurchase reads what to buy.
func (m *renewalModel) wantedPurchase(ctx context.Context, w *wanted) error {
	if m.Purchase.IsNull() {
		return nil
	}
	var p purchaseModel
	if diags := m.Purchase.As(ctx, &p, basetypes.ObjectAsOptions{}); diags.HasError() {
		return diagError(diags)
	}
	wish := order.Purchase{
		Product: p.Product.ValueString(), Source: "points", Years: 1, Original: p.Original.ValueString(), Order: p.Order.ValueString(),
		Company: p.Company.ValueString(), Manager: p.Manager.ValueString(),
	}
	if !p.Source.IsNull() {
		wish.Source = p.Source.ValueString()
	}
	if !p.Years.IsNull() {
		wish.Years = p.Years.ValueInt64()
	}
	wish.KeyAtCA = p.Key.ValueString() == "ca" || p.Key.IsNull() && m.CSR.IsNull() && (wish.Source == "free" || wish.Source == "adopt" || wish.Years > 1)
	supplies := order.Supplies{AcceptCharges: p.AcceptCharges.ValueBool(), AutoRenew: p.AutoRenew.ValueBool(), Contact: map[string]string{}, Tags: map[string]string{}}
	var err error
	if supplies.Letter, err = base64.StdEncoding.DecodeString(p.Letter.ValueString()); err != nil {
		return errors.New("purchase.confirmation_letter_base64 is no base64: write filebase64(\"letter.pdf\")")
	}
	for name, value := range p.Contact.Elements() {
		if text, ok := value.(types.String); ok && !text.IsNull() {
			supplies.Contact[name] = text.ValueString()
		}
	}
	for name, value := range p.Tags.Elements() {
		if text, ok := value.(types.String); ok {
			supplies.Tags[name] = text.ValueString()
		}
	}
	supplies.Packages, w.resources = texts(p.Packages), texts(p.Resources)
	w.options.Purchase, w.supplies, w.bought = wish, supplies, true
	w.cancels = p.OnDestroy.ValueString() == "cancel"
	w.term.CarryOver = w.term.CarryOver || m.CarryOver.IsNull() // reported, whoever grants it
	if m.WaitTimeout.IsNull() {
		w.wait = paidWait
	}
	if wish.KeyAtCA {
		w.rotate = true
	}
	return nil
}

func texts(list types.List) []string {
	var all []string
	for _, element := range list.Elements() {
		if text, ok := element.(types.String); ok {
			all = append(all, text.ValueString())
		}
	}
	return all
}

// follow completes what a purchase says with what is known of the certificate
// before: its number at the CA. While a service of several years goes on, the next
// certificate is paid for, and the CA makes it by itself.
func (w *wanted) follow(m renewalModel) {
	if !w.bought || m.Certificate.IsNull() || m.Certificate.IsUnknown() {
		return
	}
	if id, ok := m.Purchased.Attributes()["certificate_id"].(types.String); ok && id.ValueString() != "" {
		w.options.Purchase.Original, w.options.Purchase.Order = id.ValueString(), ""
	}
	w.options.Purchase.Service = false
	current, err := m.leaf()
	end, ok := m.Purchased.Attributes()["service_end"].(types.String)
	if err != nil || !ok {
		return
	}
	if until, err := time.Parse(time.RFC3339, end.ValueString()); err == nil && until.After(current.NotAfter.Add(day)) {
		w.options.Purchase.Service, w.rotate = true, true
		w.options.Purchase.KeyAtCA = w.request == nil
	}
}

// setPurchased writes what is only known of bought certificates.
func (m *renewalModel) setPurchased(j order.Journal) {
	if j.Intent.Options.Purchase == (order.Purchase{}) {
		m.Purchased = types.ObjectNull(purchasedType())
		return
	}
	end := types.StringNull()
	if !j.ServiceEnd.IsZero() {
		end = timestamp(j.ServiceEnd)
	}
	m.Purchased = types.ObjectValueMust(purchasedType(), map[string]attr.Value{
		"certificate_id": textOrNull(j.OrderID), "order_id": openOrderOf(j), "service_end": end,
		"encryption_fullchain_pem": textOrNull(string(j.Encryption)), "encryption_private_key_id": textOrNull(j.EncryptionKeyID),
	})
}

// openOrderOf is the CA's number of an order that is not finished.
func openOrderOf(j order.Journal) types.String {
	if j.OrderID == "" || j.Status == order.StatusIssued {
		return types.StringNull()
	}
	return types.StringValue(j.OrderID)
}

// setOpenOrder writes the number of the order for the certificate after the one
// in the model, whose own stays.
func (m *renewalModel) setOpenOrder(j order.Journal) {
	attributes := m.Purchased.Attributes()
	if j.Intent.Options.Purchase == (order.Purchase{}) || len(attributes) == 0 {
		return
	}
	attributes["order_id"] = openOrderOf(j)
	m.Purchased = types.ObjectValueMust(purchasedType(), attributes)
}

// openOrder is the CA's number of the unfinished order; empty for none.
func (m *renewalModel) openOrder() string {
	number, ok := m.Purchased.Attributes()["order_id"].(types.String)
	if !ok {
		return ""
	}
	return number.ValueString()
}

// checkPurchase refuses in the plan what the CA would refuse, or what would be
// bought by mistake.
func (r *renewalResource) checkPurchase(m renewalModel, w wanted, names []string, diags *diag.Diagnostics) {
	r.checkSM2(m, w, names, diags)
	at := path.Root("purchase")
	for _, name := range names {
		seller, sells := r.services.issuers[name].(issuer.Seller)
		switch {
		case sells && !w.bought:
			diags.AddAttributeError(at, "Nothing to buy", fmt.Sprintf("Issuer %q sells certificates: say in purchase what to buy.", name))
		case !sells && w.bought:
			diags.AddAttributeError(at, "The issuer sells nothing", fmt.Sprintf("Issuer %q is of a kind that takes no money. Remove purchase, or choose an issuer of the kind tencentcloud.", name))
		case sells:
			for _, problem := range seller.CheckPurchase(w.names, w.options.Purchase, w.supplies) {
				diags.AddAttributeError(at.AtName(problem.Attribute), "The purchase cannot be made", fmt.Sprintf("%s: %s.", strings.Join(w.names, ", "), problem.Text))
			}
		}
	}
	if w.bought && w.own {
		diags.AddAttributeError(path.Root("private_key_pem_wo"), "The key may be wanted on several days",
			"An order that takes days needs its key in each apply; use csr_pem, or leave the key to the provider.")
	}
	if w.bought && w.request != nil && w.options.Purchase.KeyAtCA {
		diags.AddAttributeError(at.AtName("key"), "Two makers of the key", "csr_pem brings a signing request, and key = \"ca\" has the CA make one. Keep one of them.")
	}
	if current, err := m.leaf(); err == nil && current != nil && w.bought {
		r.checkPaidRenewal(current, w, diags)
	}
}

// paidWindow is how long before the end the CA renews.
const paidWindow = 30 * day

// checkPaidRenewal refuses what the CA would refuse of the renewal of a
// certificate that is known.
func (r *renewalResource) checkPaidRenewal(current *x509.Certificate, w wanted, diags *diag.Diagnostics) {
	linked := (w.options.Purchase.Source == "points" || w.options.Purchase.Source == "free") && !w.options.Purchase.Service
	if opens := current.NotAfter.Add(-paidWindow); linked && r.services.now().Before(opens) {
		diags.AddAttributeError(path.Root("purchase").AtName("source"), "Too early for a renewal",
			fmt.Sprintf("%s: the CA renews from 30 days before the end on, which is %s. Wait until then, or order a new certificate with source = \"balance\".",
				strings.Join(w.names, ", "), opens.UTC().Format(time.RFC3339)))
	}
	if w.request != nil && pki.CheckIssued(current, w.request) == nil {
		diags.AddAttributeError(path.Root("csr_pem"), "The signing request was used already",
			"The CA takes a signing request once, and the certificate in force came from this one. Make a new key and request.")
	}
}

// keepsOrder refuses changes that a live order cannot follow.
func keepsOrder(ctx context.Context, prior renewalModel, w wanted, diags *diag.Diagnostics) {
	before, complete, err := prior.wanted(ctx)
	if err != nil || !complete || !before.bought || !open(prior) || w.token != before.token {
		return
	}
	at := path.Root("purchase")
	id := "the order"
	if number := prior.openOrder(); number != "" {
		id = "the order " + number
	}
	refuse := func(at path.Path, what string) {
		diags.AddAttributeError(at, "The order is on its way",
			fmt.Sprintf("%s changes, and %s is live (%s). Change it back; to give that order up, cancel it in the console and change renewal.force_token.", what, id, prior.Status.ValueString()))
	}
	a, b := before.options.Purchase, w.options.Purchase
	for _, option := range []struct {
		name    string
		changed bool
	}{
		{"product", a.Product != b.Product},
		{"source", a.Source != b.Source},
		{"term_years", a.Years != b.Years},
		{"key", a.KeyAtCA != b.KeyAtCA},
		{"company_id", a.Company != b.Company},
		{"manager_id", a.Manager != b.Manager},
		{"original_certificate_id", a.Original != b.Original},
		{"order_id", a.Order != b.Order && a.Order != ""},
	} {
		if option.changed {
			refuse(at.AtName(option.name), "purchase."+option.name)
		}
	}
	if !slices.Equal(pki.NameSet(before.names), pki.NameSet(w.names)) {
		refuse(path.Root("domains"), "The set of names")
	}
	if !slices.Equal(before.request, w.request) {
		refuse(path.Root("csr_pem"), "csr_pem")
	}
}

// open reports whether a model has an order that is not finished.
func open(m renewalModel) bool {
	return !m.Status.IsNull() && !m.Status.IsUnknown() && m.Status.ValueString() != string(order.StatusIssued)
}

// pending says why an unfinished order of a CA that sells needs an apply; empty
// while only others can do something.
func (m renewalModel) pending(prior renewalModel) string {
	if !m.Purchase.Equal(prior.Purchase) {
		return "purchase changes, and the order goes on with it"
	}
	return prior.RenewReason.ValueString()
}

// look asks the CA where the unfinished order of a model is, and writes that
// down. A CA that cannot be asked is no error of a plan.
func (r *renewalResource) look(ctx context.Context, m *renewalModel, w wanted, diags *diag.Diagnostics) {
	names, err := r.candidates(ctx, *m)
	if err != nil {
		return // the plan says so
	}
	for _, name := range names {
		opened, err := r.services.issuer(name)
		follower, ok := opened.(issuer.Follower)
		if err != nil || !ok {
			continue
		}
		current, err := m.leaf()
		if err != nil {
			return
		}
		j, err := order.Load(ctx, r.services.store, w.intent(opened.ID(), current, m.PrivateKeyID.ValueString()))
		if errors.Is(err, order.ErrNoJournal) {
			continue
		}
		var act bool
		if err == nil {
			j.Supplies = w.supplies
			j, act, err = follower.Look(ctx, j)
		}
		if err != nil {
			diags.AddAttributeWarning(path.Root("status"), "The CA did not say where the order is",
				fmt.Sprintf("%s: %s. What was known before stays.", strings.Join(w.names, ", "), err))
			return
		}
		m.setOpen(j)
		m.RenewReason = types.StringNull()
		if act {
			m.RenewReason = types.StringValue(strings.TrimSpace("the order "+j.OrderID) + " can go on")
			m.Status = types.StringValue(string(lastKnown(j)))
		}
		return
	}
	diags.AddAttributeWarning(path.Root("status"), "The storage does not know the order",
		fmt.Sprintf("%s: its journal is gone, and nothing was done. %s.", strings.Join(w.names, ", "), withoutJournal))
}

// lastKnown is the status of an order as outputs have it: the certificate is
// issued when it was fetched.
func lastKnown(j order.Journal) order.Status {
	if j.Status == order.StatusIssued {
		return order.StatusIssuing
	}
	return j.Status
}

// replaceInCloud swaps the certificate before for the new one in cloud
// resources, where that is wished for. The certificate is issued and stays.
func (r *renewalResource) replaceInCloud(ctx context.Context, opened issuer.Issuer, w wanted, j order.Journal, diags *diag.Diagnostics) {
	replacer, ok := opened.(issuer.Replacer)
	if !ok || len(w.resources) == 0 || j.Intent.Options.Purchase.Original == "" {
		return
	}
	if err := replacer.Replace(ctx, j.Intent.Options.Purchase.Original, j.OrderID, w.resources); err != nil {
		diags.AddAttributeWarning(path.Root("purchase").AtName("cloud_resources"), "Cloud resources keep the certificate before",
			fmt.Sprintf("%s: %s. The new certificate %s is issued; replace it in the console.", strings.Join(w.names, ", "), err, j.OrderID))
	}
}

// textOrNull is a text, null where it is empty.
func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}
