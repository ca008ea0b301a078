package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"

	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// replaces is the identifier of the certificate the order replaces (RFC 9773
// §5): only one from the same CA and account that shares a name with the order.
func (i *Issuer) replaces(ctx context.Context, a account, j order.Journal) string {
	if len(j.Predecessor) == 0 || j.PredecessorIssuer != i.ID() {
		return ""
	}
	predecessor, err := x509.ParseCertificate(j.Predecessor)
	if err != nil || !slices.ContainsFunc(pki.Names(predecessor), func(name string) bool { return slices.Contains(j.Intent.Names, name) }) {
		return ""
	}
	if issuedTo := i.issuedTo(ctx, j.Lineage, predecessor); issuedTo != "" && issuedTo != a.url {
		return ""
	}
	id, err := certificateID(predecessor)
	if err != nil {
		return ""
	}
	return id
}

// issuedTo is the account that a certificate of a lineage was ordered with;
// empty where that is not known, as after an import.
func (i *Issuer) issuedTo(ctx context.Context, lineage string, certificate *x509.Certificate) string {
	known, err := order.LoadLineage(ctx, i.keeper, lineage)
	if err != nil {
		return ""
	}
	at := slices.IndexFunc(known.Generations, func(g order.Generation) bool { return g.Fingerprint == pki.Fingerprint(certificate) })
	if at < 0 || known.Generations[at].Journal == "" {
		return ""
	}
	before, err := order.LoadJournal(ctx, i.keeper, known.Generations[at].Journal)
	var p progress
	if err != nil || json.Unmarshal(before.Progress, &p) != nil {
		return ""
	}
	return p.AccountURL
}
