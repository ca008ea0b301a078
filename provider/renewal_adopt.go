package provider

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const importHelp = "Give one of: the path of a PEM file with the certificate and its chain, and after a comma that of its private key if it should be taken into the storage; " +
	"https://HOST[:PORT] to take what a server serves; lineage:ID for a certificate in the provider's storage; certificate:ISSUER/ID for one of a CA that sells, by its number there. Nothing was changed."

// emptyRenewal is a model in which everything is null, as an import starts with.
func emptyRenewal() renewalModel {
	m := renewalModel{
		PrivateKey: types.ObjectNull(privateKeyAttribute().GetType().(types.ObjectType).AttrTypes),
		Renewal:    types.ObjectNull(renewalAttribute().GetType().(types.ObjectType).AttrTypes),
		Subject:    types.ObjectNull(subjectAttribute().GetType().(types.ObjectType).AttrTypes),
		Validity:   types.ObjectNull(validityAttribute().GetType().(types.ObjectType).AttrTypes),
		Timeouts:   types.ObjectNull(timeoutsAttribute().GetType().(types.ObjectType).AttrTypes),
		Purchase:   types.ObjectNull(purchaseAttribute().GetType().(types.ObjectType).AttrTypes),
		Issuers:    types.ListNull(types.StringType),
		Domains:    types.SetNull(types.StringType),
	}
	m.noOutputs()
	return m
}

// ImportState adopts a certificate from a file, a server, or the storage.
// Nothing is ordered.
func (r *renewalResource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	m := emptyRenewal()
	identity, diags := identified(ctx, request.Identity)
	response.Diagnostics.Append(diags...)
	var err error
	switch {
	case identity != "":
		err = r.adoptLineage(ctx, &m, identity)
	case strings.HasPrefix(request.ID, "https://"):
		err = r.adoptServed(ctx, &m, request.ID)
	case strings.HasPrefix(request.ID, "certificate:"):
		err = r.adoptBought(ctx, &m, strings.TrimPrefix(request.ID, "certificate:"), &response.Diagnostics)
	case strings.HasPrefix(request.ID, "lineage:"):
		err = r.adoptLineage(ctx, &m, strings.TrimPrefix(request.ID, "lineage:"))
	default:
		err = r.adoptFiles(ctx, &m, request.ID)
	}
	if err != nil {
		response.Diagnostics.AddError("The certificate could not be imported", err.Error()+". "+importHelp)
		return
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
	response.Diagnostics.Append(m.identify(ctx, response.Identity)...)
}

// adoptFiles reads "fullchain.pem" or "fullchain.pem,privkey.pem".
func (r *renewalResource) adoptFiles(ctx context.Context, m *renewalModel, id string) error {
	file, keyFile, _ := strings.Cut(id, ",")
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	keyText := text
	if keyFile != "" {
		if keyText, err = os.ReadFile(keyFile); err != nil {
			return fmt.Errorf("read the private key: %w", err)
		}
	}
	chain, err := pki.ParseCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	key, err := pki.ParseKey(keyText)
	if err != nil && (keyFile != "" || !errors.Is(err, pki.ErrNoKey)) {
		return fmt.Errorf("read the private key: %w", err)
	}
	return r.adopt(ctx, m, chain, key)
}

// adoptServed takes the chain that a server serves for its name.
func (r *renewalResource) adoptServed(ctx context.Context, m *renewalModel, id string) error {
	u, err := url.Parse(id)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("%q is no URL of a server", id)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	server := deploy.Endpoint{Address: net.JoinHostPort(u.Hostname(), port), ServerName: u.Hostname()}
	if name := u.Query().Get("server_name"); name != "" {
		server.ServerName = name
	}
	found, err := deploy.Probe(ctx, server)
	if err != nil {
		return err
	}
	return r.adopt(ctx, m, found.Chain, pki.Key{})
}

// adoptBought takes a certificate of a CA that sells, by the issuer's name here
// and its number there, with the private keys that the CA has of it.
func (r *renewalResource) adoptBought(ctx context.Context, m *renewalModel, text string, diags *diag.Diagnostics) error {
	name, id, ok := strings.Cut(text, "/")
	if !ok {
		return fmt.Errorf("%q has no issuer and number, as in certificate:tencent/AbCd1234", text)
	}
	opened, err := r.services.issuer(name)
	if err != nil {
		return err
	}
	shelf, ok := opened.(issuer.Shelf)
	if !ok {
		return fmt.Errorf("issuer %q keeps no certificates by number", name)
	}
	held, err := shelf.Certificate(ctx, id)
	if err != nil {
		return err
	}
	if err := r.adopt(ctx, m, held.Chain, held.Key); err != nil {
		return err
	}
	var encryptionKeyID string
	switch {
	case !held.EncryptionKey.Empty():
		encryptionKeyID = order.KeyIDOf(held.Encryption[0])
		if err := order.StoreKey(ctx, r.services.store, encryptionKeyID, held.EncryptionKey); err != nil {
			return err
		}
	case len(held.Encryption) > 0:
		diags.AddWarning("The encryption key of the pair stays at the CA",
			fmt.Sprintf("%s: the CA hands it out in an envelope for the signing key, which was made elsewhere. The certificates were imported; renewing makes a pair whose keys are here.", text))
	}
	m.IssuerUsed = types.StringValue(name)
	end := types.StringNull()
	if !held.ServiceEnd.IsZero() {
		end = timestamp(held.ServiceEnd)
	}
	m.Purchased = types.ObjectValueMust(purchasedType(), map[string]attr.Value{
		"certificate_id": types.StringValue(id), "order_id": types.StringNull(), "service_end": end,
		"encryption_fullchain_pem": textOrNull(string(pki.EncodeCertificates(held.Encryption...))), "encryption_private_key_id": textOrNull(encryptionKeyID),
	})
	return nil
}

var errNotStored = errors.New("the storage has no certificate")

// adoptLineage takes the newest certificate of a lineage in the storage.
func (r *renewalResource) adoptLineage(ctx context.Context, m *renewalModel, id string) error {
	lineage, err := order.LoadLineage(ctx, r.services.store, id)
	if err != nil {
		return err
	}
	if len(lineage.Generations) == 0 {
		return fmt.Errorf("%w of %q", errNotStored, id)
	}
	newest := lineage.Generations[len(lineage.Generations)-1]
	if newest.Journal == "" {
		return fmt.Errorf("%w of %q but its private key, which was imported; import its file", errNotStored, id)
	}
	j, err := order.LoadJournal(ctx, r.services.store, newest.Journal)
	if err != nil {
		return err
	}
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		return err
	}
	m.ID, m.Generation = types.StringValue(id), types.Int64Value(int64(len(lineage.Generations)))
	m.setIssued(chain, j.KeyID)
	m.setPurchased(j)
	m.CarriedOverDays = types.Int64Value(0)
	for name := range r.services.issuers {
		if open, err := r.services.issuer(name); err == nil && open.ID() == newest.Issuer {
			m.IssuerUsed = types.StringValue(name)
		}
	}
	return m.setDomains(ctx, chain[0])
}

// adopt makes a certificate from elsewhere the first generation of a model. A
// private key that comes with it is taken into the storage.
func (r *renewalResource) adopt(ctx context.Context, m *renewalModel, certificates []*x509.Certificate, key pki.Key) error {
	if err := m.setAdopted(ctx, certificates); err != nil || key.Empty() {
		return err
	}
	return r.adoptKey(ctx, m, key)
}

// setAdopted writes a certificate from elsewhere into a model. Its identity is
// derived from the certificate, so that adopting again finds the same.
func (m *renewalModel) setAdopted(ctx context.Context, certificates []*x509.Certificate) error {
	chain, err := pki.OrderChain(certificates)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("imported " + pki.Fingerprint(chain[0])))
	m.ID, m.Generation = types.StringValue(hex.EncodeToString(sum[:10])), types.Int64Value(1)
	m.setIssued(chain, "")
	m.CarriedOverDays = types.Int64Value(0)
	return m.setDomains(ctx, chain[0])
}

// adoptKey takes the private key of a model's certificate into the storage.
func (r *renewalResource) adoptKey(ctx context.Context, m *renewalModel, key pki.Key) error {
	leaf, err := m.leaf()
	if err != nil {
		return err
	}
	if err := key.Matches(leaf); err != nil {
		return err
	}
	keyID := m.ID.ValueString()
	if err := order.StoreKey(ctx, r.services.store, keyID, key); err != nil {
		return err
	}
	m.PrivateKeyID = types.StringValue(keyID)
	g := order.Generation{Fingerprint: pki.Fingerprint(leaf), KeyID: keyID, NotAfter: leaf.NotAfter}
	return order.AddGeneration(ctx, r.services.store, m.ID.ValueString(), g)
}

// finishMove takes the key of a certificate that a moved block brought from
// state into the storage: MoveState itself runs without one.
func (r *renewalResource) finishMove(ctx context.Context, m *renewalModel) error {
	if m.PrivateKeyPEM.IsNull() || !m.PrivateKeyID.IsNull() {
		return nil
	}
	key, err := pki.ParseKey([]byte(m.PrivateKeyPEM.ValueString()))
	if err != nil {
		return err
	}
	if err := r.adoptKey(ctx, m, key); err != nil {
		return err
	}
	m.PrivateKeyPEM = types.StringNull()
	return nil
}

// names are the domains of a model that was adopted.
func (m *renewalModel) names() []string {
	var names []string
	for _, element := range m.Domains.Elements() {
		if name, ok := element.(types.String); ok {
			names = append(names, name.ValueString())
		}
	}
	return names
}

func (m *renewalModel) setDomains(ctx context.Context, leaf *x509.Certificate) error {
	var diags diag.Diagnostics
	m.Domains, diags = types.SetValueFrom(ctx, types.StringType, pki.NameSet(pki.Names(leaf)))
	if diags.HasError() {
		return diagError(diags)
	}
	return nil
}

// acmeCertificate is what is taken of the state of an acme_certificate.
type acmeCertificate struct {
	CertificatePEM string `json:"certificate_pem"`
	IssuerPEM      string `json:"issuer_pem"`
	PrivateKeyPEM  string `json:"private_key_pem"`
}

// MoveState adopts an acme_certificate of the vancluever/acme provider: the
// certificate stays in force, nothing is ordered, and the first refresh moves
// its private key from state into the provider's storage.
func (r *renewalResource) MoveState(context.Context) []resource.StateMover {
	return []resource.StateMover{{StateMover: func(ctx context.Context, request resource.MoveStateRequest, response *resource.MoveStateResponse) {
		if request.SourceTypeName != "acme_certificate" || !strings.HasSuffix(request.SourceProviderAddress, "/vancluever/acme") {
			return
		}
		var source acmeCertificate
		if err := json.Unmarshal(request.SourceRawState.JSON, &source); err != nil {
			response.Diagnostics.AddError("The certificate could not be moved", "The state of the acme_certificate cannot be read. Nothing was changed.")
			return
		}
		m := emptyRenewal()
		if err := adoptMoved(ctx, &m, source); err != nil {
			response.Diagnostics.AddError("The certificate could not be moved", err.Error()+". Nothing was changed.")
			return
		}
		response.Diagnostics.Append(response.TargetState.Set(ctx, &m)...)
	}}}
}

func adoptMoved(ctx context.Context, m *renewalModel, source acmeCertificate) error {
	chain, err := pki.ParseCertificates([]byte(source.CertificatePEM + "\n" + source.IssuerPEM))
	if err != nil {
		return err
	}
	if err := m.setAdopted(ctx, chain); err != nil {
		return err
	}
	if source.PrivateKeyPEM != "" {
		m.PrivateKeyPEM = types.StringValue(source.PrivateKeyPEM)
	}
	return nil
}
