package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// unfinished finds the order of a model that is open: its journal and its issuer;
// order.ErrNoJournal when there is none.
func (r *renewalResource) unfinished(ctx context.Context, m renewalModel) (order.Journal, issuer.Issuer, error) {
	w, _, err := m.wanted(ctx)
	if err != nil {
		return order.Journal{}, nil, err
	}
	names, err := r.candidates(ctx, m)
	if err != nil {
		return order.Journal{}, nil, err
	}
	current, err := m.leaf()
	if err != nil {
		return order.Journal{}, nil, err
	}
	for _, name := range names {
		opened, err := r.services.issuer(name)
		if err != nil {
			return order.Journal{}, nil, err
		}
		j, err := order.Load(ctx, r.services.store, w.intent(opened.ID(), current, m.PrivateKeyID.ValueString()))
		if !errors.Is(err, order.ErrNoJournal) {
			return j, opened, err
		}
	}
	return order.Journal{}, nil, order.ErrNoJournal
}

// remembers refuses to go on with a paid order that only the state knows: without
// its journal it would be placed again, where the CA does not show it.
func (r *renewalResource) remembers(ctx context.Context, prior renewalModel, w wanted) error {
	if !w.bought || !open(prior) || w.token != priorToken(prior) {
		return nil
	}
	if _, _, err := r.unfinished(ctx, prior); errors.Is(err, order.ErrNoJournal) {
		return fmt.Errorf("the storage does not know the order that is open (%s): %w, and nothing is bought without it. %s", prior.StatusReason.ValueString(), err, withoutJournal)
	}
	return nil
}

// withoutJournal is what to do about a storage that was lost.
const withoutJournal = `Restore the storage from a backup, or take the order with purchase.source = "adopt" and order_id and another renewal.force_token`

// abandon withdraws the records of the order that is open.
func (r *renewalResource) abandon(ctx context.Context, m renewalModel, diags *diag.Diagnostics) {
	j, opened, err := r.unfinished(ctx, m)
	if err == nil {
		_, err = opened.Withdraw(ctx, j)
	}
	if err != nil && !errors.Is(err, order.ErrNoJournal) {
		diags.AddWarning("Validation records may be left in DNS", err.Error()+".")
	}
}

// cancel ends an order that was bought, where that is wished for. The money comes
// back through the console alone.
func (r *renewalResource) cancel(ctx context.Context, m renewalModel, diags *diag.Diagnostics) {
	w, _, err := m.wanted(ctx)
	if err != nil || !w.bought || !open(m) || diags.HasError() {
		return
	}
	j, opened, err := r.unfinished(ctx, m)
	if errors.Is(err, order.ErrNoJournal) || err == nil && (!j.Paid || j.Status.Final() && j.Status != order.StatusRejected) {
		return
	}
	at, names := path.Root("purchase").AtName("on_destroy"), strings.Join(w.names, ", ")
	if !w.cancels {
		diags.AddAttributeWarning(at, "A paid order is left at the CA",
			fmt.Sprintf("%s: the order %s stays there, and can be taken again by the same configuration. To end it, use the console.", names, j.OrderID))
		return
	}
	if follower, follows := opened.(issuer.Follower); err == nil && follows {
		var now order.Journal
		if now, _, err = follower.Look(ctx, j); err == nil && now.Status.Final() && now.Status != order.StatusRejected {
			diags.AddAttributeWarning(at, "There is no order to cancel", fmt.Sprintf("%s: the order %s is %s.", names, j.OrderID, now.Status))
			return
		}
	}
	canceller, ok := opened.(issuer.Canceller)
	if err == nil && !ok {
		err = errors.New("the issuer cannot cancel orders")
	}
	if err == nil {
		err = canceller.Cancel(ctx, j)
	}
	if err != nil {
		diags.AddAttributeError(at, "The order was not cancelled",
			fmt.Sprintf("%s: %s. Nothing was destroyed: destroy again when the CA answers, or set purchase.on_destroy = \"keep\" and apply first.", names, err))
		return
	}
	diags.AddAttributeWarning(at, "The order was cancelled", fmt.Sprintf("%s: the order %s is cancelled. The money comes back through the console only.", names, j.OrderID))
}

// remindOpen reminds people of a renewal whose order has not been finished by the
// day they should hear of it.
func (r *renewalResource) remindOpen(m renewalModel, w wanted, diags *diag.Diagnostics) {
	at, err := time.Parse(time.RFC3339, m.ReminderAt.ValueString())
	if err != nil || m.Certificate.IsNull() || r.services.now().Before(at) {
		return
	}
	diags.AddWarning("A renewal is still open", fmt.Sprintf("%s: its order is %s (%s), and the certificate in force expires on %s. See obligations for who has to act.",
		strings.Join(w.names, ", "), strings.ReplaceAll(m.Status.ValueString(), "_", " "), m.StatusReason.ValueString(), m.NotAfter.ValueString()))
}

// keepsCompany refuses another company for a renewal: to the CA that is a new
// application.
func keepsCompany(ctx context.Context, prior renewalModel, w wanted, diags *diag.Diagnostics) {
	before, complete, err := prior.wanted(ctx)
	if err != nil || !complete || !before.bought || !w.bought || prior.Certificate.IsNull() || w.options.Purchase.Source != "points" {
		return
	}
	old, now := before.options.Purchase.Company, w.options.Purchase.Company
	if old == "" || now == "" || old == now {
		return
	}
	diags.AddAttributeError(path.Root("purchase").AtName("company_id"), "A renewal is for the same company",
		fmt.Sprintf("%s: company_id changes from %s to %s, and the CA renews for the company of the certificate before. Change it back, or order a new certificate with source = \"balance\".", strings.Join(w.names, ", "), old, now))
}
