package provider

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const (
	// maxAdoptions bounds how many generations ahead of the state the storage
	// may be.
	maxAdoptions = 100
	// suggestTimeout bounds the question for the CA's opinion in a refresh.
	suggestTimeout = 5 * time.Second
	// suggestRetry is how long not to ask again after a failure without an
	// answer.
	suggestRetry = 10 * time.Minute
)

// obtain leads from the certificate in the model, if any, to the one that is
// wanted, and writes it into the model. Where the storage has newer generations
// than the state (lost, rolled back, or another machine was faster), it follows
// them and orders only when the newest is due too.
func (r *renewalResource) obtain(ctx context.Context, m *renewalModel, w wanted, diags *diag.Diagnostics) error {
	candidates, err := r.candidates(ctx, *m)
	if err != nil {
		return err
	}
	for _, name := range w.names { // the plan may not have known the validation
		if err := r.services.suits(name); err != nil {
			return err
		}
	}
	for range maxAdoptions {
		j, name, adopted, err := r.orderFrom(ctx, candidates, *m, w, diags)
		if err != nil && (!j.Paid || !m.ID.IsNull()) {
			return err
		}
		if err != nil {
			// Money was spent: an error would leave nothing in state of it.
			diags.AddAttributeWarning(path.Root("status"), "The order is paid for and does not go on",
				fmt.Sprintf("%s: %s. It is recorded, and the next apply goes on with it.", j.Names(), err))
		}
		m.ID = types.StringValue(j.Lineage)
		if j.Status != order.StatusIssued {
			m.setOpen(j)
			return nil
		}
		chain, err := pki.ParseCertificates(j.Certificate)
		if err != nil {
			return fmt.Errorf("the journal of the order: %w", err)
		}
		carried := carriedOver(*m, r.before(ctx, *m, w, name), w, chain[0])
		m.setIssued(chain, j.KeyID)
		m.setPurchased(j)
		w.follow(*m)
		m.CarriedOverDays = types.Int64Value(carried)
		m.Generation = types.Int64Value(m.Generation.ValueInt64() + 1)
		m.IssuerUsed = types.StringValue(name)
		if j.DatesRefused {
			at, summary := path.Root("validity"), "The CA does not take dates"
			if m.Validity.IsNull() {
				at, summary = path.Root("carry_over"), "The CA does not carry days over"
			}
			diags.AddAttributeWarning(at, summary,
				fmt.Sprintf("%s: the CA did not take the dates that were asked for (%s). The certificate was ordered with the CA's usual life.", j.Names(), j.Detail))
		}
		if opened, err := r.services.issuer(name); err == nil {
			r.replaceInCloud(ctx, opened, w, j, diags)
		}
		if !adopted || !j.Superseded && !lifecycle.Decide(facts(m, nil), w.policy, r.services.now()).Due() {
			break
		}
	}
	if m.Generation.ValueInt64() > 1 { // nothing is old yet
		if err := order.Prune(ctx, r.services.store, m.ID.ValueString(), m.keepGenerations()); err != nil {
			r.services.logger.WarnContext(ctx, "prune old generations", "id", m.ID.ValueString(), "error", err)
		}
	}
	return r.setKey(ctx, m, w)
}

// candidates are the names of the issuers to order from, the first choice first.
func (r *renewalResource) candidates(ctx context.Context, m renewalModel) ([]string, error) {
	if m.Issuers.IsNull() {
		name, err := r.services.issuerName(m.Issuer)
		return []string{name}, err
	}
	var names []string
	if diags := m.Issuers.ElementsAs(ctx, &names, false); diags.HasError() {
		return nil, diagError(diags)
	}
	for _, name := range names {
		if _, err := r.services.issuerName(types.StringValue(name)); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// orderFrom orders from the first of the issuers that is available. It goes on
// to the next one only where nothing was placed at the one before: an outage or
// a rate limit, never a failed validation. What any of them has issued already
// comes first.
func (r *renewalResource) orderFrom(ctx context.Context, names []string, m renewalModel, w wanted, diags *diag.Diagnostics) (j order.Journal, name string, adopted bool, err error) {
	wishes := make([]order.Wish, len(names))
	for n, name := range names {
		open, err := r.services.issuer(name)
		if err != nil {
			return j, name, false, err
		}
		if wishes[n], err = r.wish(m, w, name, open); err != nil {
			return j, name, false, err
		}
	}
	for n, name := range names {
		known, err := order.Load(ctx, r.services.store, wishes[n].Intent)
		if len(names) == 1 || err != nil || known.Status != order.StatusIssued && known.OrderID == "" {
			continue
		}
		names, wishes = []string{name}, []order.Wish{wishes[n]}
		break
	}
	for n, name := range names {
		open, err := r.services.issuer(name)
		if err != nil {
			return j, name, false, err
		}
		runner := order.Runner{Issuer: open, Keeper: r.services.store, Logger: r.services.logger, Now: r.services.now}
		j, adopted, err := runner.Run(ctx, wishes[n])
		r.services.checkClock(name, open, diags)
		if !errors.Is(err, order.ErrUnavailable) || j.OrderID != "" || n == len(names)-1 {
			return j, name, adopted, err
		}
		diags.AddAttributeWarning(path.Root("issuers"), "An issuer was not available",
			fmt.Sprintf("%s: %s. The next issuer, %q, was asked instead.", strings.Join(w.names, ", "), err, names[n+1]))
	}
	return j, name, false, errors.New("the list of issuers is empty")
}

// wish says what the next order should lead to.
func (r *renewalResource) wish(m renewalModel, w wanted, name string, open issuer.Issuer) (order.Wish, error) {
	current, err := m.leaf()
	if err != nil {
		return order.Wish{}, err
	}
	wish := order.Wish{
		Intent:  w.intent(open.ID(), current, m.PrivateKeyID.ValueString()),
		Lineage: m.ID.ValueString(), Predecessor: current, Wait: w.wait, Key: w.key, Supplies: w.supplies,
	}
	wish.NotBefore, wish.NotAfter = r.term(w, name).Ask(dates(current), usualLife(m, current), r.services.now())
	if used, ok := r.services.issuers[m.IssuerUsed.ValueString()]; ok && current != nil {
		before, err := r.services.issuer(m.IssuerUsed.ValueString())
		if err != nil {
			return order.Wish{}, fmt.Errorf("%s: %w", used.Endpoint(), err)
		}
		wish.PredecessorIssuer = before.ID()
	}
	if r.services.shifted && wish.NotAfter.IsZero() {
		// A CA with the real clock would issue what is old by ours.
		now := r.services.now()
		wish.NotAfter = now.Add(90*24*time.Hour - time.Second)
		if last := lifecycle.LongestEnd(now); wish.NotAfter.After(last) {
			wish.NotAfter = last
		}
	}
	return wish, nil
}

// usualLife is how long a certificate of the model would live without the days
// it got from the one before.
func usualLife(m renewalModel, current *x509.Certificate) time.Duration {
	if current == nil {
		return 0
	}
	life := current.NotAfter.Add(time.Second).Sub(current.NotBefore)
	return life - time.Duration(m.CarriedOverDays.ValueInt64())*day
}

// term is how long the certificate of an issuer is asked to be valid.
func (r *renewalResource) term(w wanted, issuer string) lifecycle.Term {
	w.term.Capped = r.services.issuers[issuer].PubliclyTrusted()
	return w.term
}

// dates are those of a certificate, nil without one.
func dates(certificate *x509.Certificate) *lifecycle.Certificate {
	if certificate == nil {
		return nil
	}
	return &lifecycle.Certificate{NotBefore: certificate.NotBefore, NotAfter: certificate.NotAfter}
}

// carriedOver is how many days longer than usual a certificate that was issued
// lives: what it really got of the current one. Zero where it was not asked to get
// any.
func carriedOver(m renewalModel, current *x509.Certificate, w wanted, issued *x509.Certificate) int64 {
	if current == nil || current.Equal(issued) || !w.term.CarryOver {
		return 0
	}
	usual := w.term.Life
	if usual == 0 {
		usual = usualLife(m, current)
	}
	longer := issued.NotAfter.Add(time.Second).Sub(issued.NotBefore) - usual
	return max(int64(longer.Round(time.Hour)/day), 0)
}

// before is the certificate that the one of an order follows: that of the model,
// or the first time the original at a CA that keeps it. Nil for none.
func (r *renewalResource) before(ctx context.Context, m renewalModel, w wanted, name string) *x509.Certificate {
	current, err := m.leaf()
	original := w.options.Purchase.Original
	if err != nil || current != nil || original == "" {
		return current
	}
	opened, err := r.services.issuer(name)
	shelf, ok := opened.(issuer.Shelf)
	if err != nil || !ok {
		return nil
	}
	held, err := shelf.Certificate(ctx, original)
	if err != nil {
		r.services.logger.WarnContext(ctx, "look at the original certificate", "id", original, "error", err)
		return nil // what it says is not worth losing the new one for
	}
	return held.Chain[0]
}

// ownKey reads the write-only key of the configuration, where there is one.
func ownKey(ctx context.Context, config tfsdk.Config, m renewalModel, diags *diag.Diagnostics) (text types.String) {
	if !m.WOVersion.IsNull() {
		diags.Append(config.GetAttribute(ctx, path.Root("private_key_pem_wo"), &text)...)
	}
	return text
}

// takeKey takes the key that comes with the configuration.
func (w *wanted) takeKey(text types.String) error {
	if !w.own {
		return nil
	}
	key, err := pki.ParseKey([]byte(text.ValueString()))
	if err != nil {
		return fmt.Errorf("private_key_pem_wo: %w", err)
	}
	w.key = key
	return nil
}

// setKey writes the private key into the model where the configuration says so.
func (r *renewalResource) setKey(ctx context.Context, m *renewalModel, w wanted) error {
	m.PrivateKeyPEM = types.StringNull()
	if w.custody != custodyState || m.PrivateKeyID.IsNull() {
		return nil
	}
	key, err := order.LoadKey(ctx, r.services.store, m.PrivateKeyID.ValueString())
	if err != nil {
		return err
	}
	text, err := key.PEM()
	if err != nil {
		return err
	}
	m.PrivateKeyPEM = types.StringValue(string(text))
	return nil
}

// privateState is what the framework keeps for the provider beside the state.
type privateState interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

const suggestionKey = "ari"

// suggestionMemory is the CA's last word on a certificate, in few bytes: it is
// in the state of each one. Times are seconds since 1970.
type suggestionMemory struct {
	Fingerprint string   `json:"of"` // its beginning
	Window      [2]int64 `json:"ari,omitzero"`
	Why         string   `json:"why,omitempty"`
	AskAfter    int64    `json:"ask"`
}

// suggestion is what the CA said; nil for nothing.
func (s suggestionMemory) suggestion() *lifecycle.Suggestion {
	if s.Window == [2]int64{} {
		return nil
	}
	return &lifecycle.Suggestion{Start: time.Unix(s.Window[0], 0).UTC(), End: time.Unix(s.Window[1], 0).UTC(), ExplanationURL: s.Why}
}

// decide makes the one decision about the certificate in the model and writes
// it there.
func (r *renewalResource) decide(ctx context.Context, m *renewalModel, w wanted, private privateState, diags *diag.Diagnostics) {
	if m.Certificate.IsNull() || w.bought && open(*m) {
		return
	}
	now := r.services.now()
	var suggestion *lifecycle.Suggestion
	if w.policy.UseSuggestion {
		suggestion = r.suggestion(ctx, m, now, private, diags)
	}
	d := lifecycle.Decide(facts(m, suggestion), w.policy, now)
	if d.Shortened {
		diags.AddAttributeWarning(path.Root("renewal").AtName("window_days"), "The renewal window is longer than the certificate lives",
			fmt.Sprintf("%d days do not fit into the life from %s to %s. A third of the life is used: it is renewed from %s on. Write a smaller number.",
				w.policy.WindowDays, m.NotBefore.ValueString(), m.NotAfter.ValueString(), d.WindowOpensAt.UTC().Format(time.RFC3339)))
	}
	m.setDecision(d)
}

// facts are the dates and the CA's opinion of the certificate in a model.
func facts(m *renewalModel, suggestion *lifecycle.Suggestion) lifecycle.Certificate {
	leaf, err := m.leaf()
	if err != nil || leaf == nil {
		return lifecycle.Certificate{}
	}
	return lifecycle.Certificate{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Fingerprint: pki.Fingerprint(leaf), Suggestion: suggestion}
}

// suggestion returns the CA's word on the certificate, asking only when the
// last answer allows it. A failure is a warning and leaves the last word.
func (r *renewalResource) suggestion(ctx context.Context, m *renewalModel, now time.Time, private privateState, diags *diag.Diagnostics) *lifecycle.Suggestion {
	leaf, err := m.leaf()
	if err != nil || leaf == nil {
		return nil
	}
	memory := recall(ctx, private, leaf)
	if !r.asks(m, memory, now) {
		return memory.suggestion()
	}
	open, err := r.services.issuer(m.IssuerUsed.ValueString())
	suggester, ok := open.(issuer.Suggester)
	if err != nil || !ok {
		return memory.suggestion()
	}
	ctx, cancel := context.WithTimeout(ctx, suggestTimeout)
	defer cancel()
	said, pause, err := suggester.Suggest(ctx, leaf)
	switch {
	case err == nil:
		memory.Window, memory.Why = [2]int64{said.Start.Unix(), said.End.Unix()}, said.ExplanationURL
	case errors.Is(err, acme.ErrNoSuggestion):
	default:
		pause = max(pause, suggestRetry)
		diags.AddWarning("The CA did not say when to renew",
			fmt.Sprintf("%s. The renewal time is computed from the certificate's life instead.", err))
	}
	memory.AskAfter = now.Add(pause).Unix()
	if text, err := json.Marshal(memory); err == nil && private != nil {
		diags.Append(private.SetKey(ctx, suggestionKey, text)...)
	}
	return memory.suggestion()
}

// asks reports whether it is time to hear the CA.
func (r *renewalResource) asks(m *renewalModel, memory suggestionMemory, now time.Time) bool {
	_, known := r.services.issuers[m.IssuerUsed.ValueString()]
	return known && now.Unix() >= memory.AskAfter
}

func recall(ctx context.Context, private privateState, leaf *x509.Certificate) suggestionMemory {
	var memory suggestionMemory
	fingerprint := pki.Fingerprint(leaf)[:8]
	text, diags := private.GetKey(ctx, suggestionKey)
	if diags.HasError() || len(text) == 0 || json.Unmarshal(text, &memory) != nil || memory.Fingerprint != fingerprint {
		return suggestionMemory{Fingerprint: fingerprint}
	}
	return memory
}
