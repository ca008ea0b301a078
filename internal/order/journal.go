package order

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Status is where an order stands, in words that fit every CA.
type Status string

// The states an order goes through. Issued, Rejected, Expired, Cancelled and
// Refunded are final; a rejected order that was paid for can be submitted again.
// docs/design/0012-commercial-orders.md has them as a diagram.
const (
	// StatusPlanned: the intent is journalled, the CA may not have heard of it.
	StatusPlanned Status = "planned"
	// StatusUnknown: a purchase was sent and nobody knows what became of it.
	StatusUnknown Status = "order_unknown"
	// StatusAwaitingInformation: paid for; the CA wants to know for whom.
	StatusAwaitingInformation Status = "awaiting_information"
	// StatusAwaitingDocument: a stamped letter has to be uploaded.
	StatusAwaitingDocument Status = "awaiting_document"
	// StatusPreReview: somebody at the CA looks whether all is there.
	StatusPreReview Status = "pre_review"
	// StatusOrganizationReview: somebody at the CA finds out about the company.
	StatusOrganizationReview Status = "organization_review"
	// StatusAwaitingValidation: the CA waits to see the validation records.
	StatusAwaitingValidation Status = "awaiting_validation"
	// StatusIssuing: validated; the CA makes the certificate.
	StatusIssuing Status = "issuing"
	// StatusIssued: the certificate is in the journal.
	StatusIssued Status = "issued"
	// StatusRejected: the CA refused the order or its validation.
	StatusRejected Status = "rejected"
	// StatusExpired: the CA gave up on the order, or no longer knows it.
	StatusExpired Status = "expired"
	// StatusCancelling: somebody ends the order.
	StatusCancelling Status = "cancelling"
	// StatusRevoking: somebody has the certificate revoked.
	StatusRevoking Status = "revoking"
	// StatusRevoked: it is.
	StatusRevoked Status = "revoked"
	// StatusReissuing: the CA makes the certificate anew.
	StatusReissuing Status = "reissuing"
	// StatusUncertain: the CA says something that is not known here.
	StatusUncertain Status = "unknown"
	// StatusCancelled: somebody ended the order.
	StatusCancelled Status = "cancelled"
	// StatusRefunded: and got the money back.
	StatusRefunded Status = "refunded"
)

// Final reports whether the order will not change any more.
func (s Status) Final() bool {
	switch s {
	case StatusIssued, StatusRejected, StatusExpired, StatusCancelled, StatusRefunded, StatusRevoked:
		return true
	}
	return false
}

// Intent is one wish for one certificate. Two runs with equal intents want the
// same certificate and share one journal.
type Intent struct {
	// Issuer identifies the CA and the account there.
	Issuer string `json:"issuer"`
	// Names are normalized DNS names and IP addresses; their order does not
	// matter.
	Names []string `json:"names"`
	// Algorithm is the key to generate; empty when Request or KeyID says it.
	Algorithm pki.Algorithm `json:"algorithm,omitempty"`
	// KeyID is the stored key to use again; empty to generate one.
	KeyID string `json:"key_id,omitempty"`
	// Request is a signing request (DER) made elsewhere; nil to make one.
	Request []byte `json:"request,omitempty"`
	// PublicKey is the hash of the public key of a private key the caller
	// brings; see pki.Key.Hash.
	PublicKey string `json:"public_key,omitempty"`
	// Replaces is the fingerprint of the certificate to be replaced, empty for
	// the first one.
	Replaces string `json:"replaces,omitempty"`
	// Token tells apart wishes that are equal otherwise: the user asks again.
	Token string `json:"token,omitempty"`
	// Options are what the CA is asked for besides.
	Options Options `json:"options,omitzero"`
}

// Options are wishes that not every CA grants.
type Options struct {
	// Profile is the certificate profile (draft-ietf-acme-profiles-00).
	Profile string `json:"profile,omitempty"`
	// PreferredChain is the common name of the issuer at the top of the chain
	// to prefer among those the CA offers.
	PreferredChain string `json:"preferred_chain,omitempty"`
	// MustStaple asks for the TLS feature extension (RFC 7633).
	MustStaple bool `json:"must_staple,omitempty"`
	// Subject is what the signing request says of the owner.
	Subject pki.Subject `json:"subject,omitzero"`
	// Validity is how long the certificate should be valid, in the words of the
	// configuration: it tells wishes apart, the journal has the dates.
	Validity string `json:"validity,omitempty"`
	// Purchase is what to buy, where that costs something.
	Purchase Purchase `json:"purchase,omitzero"`
}

// Purchase is what is bought at a CA that takes money, and for whom. All of it
// tells wishes apart: to change it is to want another order.
type Purchase struct {
	// Product is the CA's name or number of it.
	Product string `json:"product,omitempty"`
	// Source is where the money comes from, in the words of the issuer.
	Source string `json:"source,omitempty"`
	// Years is how long it is paid for.
	Years int64 `json:"years,omitempty"`
	// Original is the CA's number of the certificate that is renewed.
	Original string `json:"original,omitempty"`
	// Order is the CA's number of an order that was placed elsewhere.
	Order string `json:"order,omitempty"`
	// Service says that the order is part of what was paid for before, for several
	// years: the CA places it by itself.
	Service bool `json:"service,omitempty"`
	// KeyAtCA has the CA make the key.
	KeyAtCA bool `json:"key_at_ca,omitempty"`
	// Company and Manager are the CA's numbers of who is known to it.
	Company string `json:"company,omitempty"`
	Manager string `json:"manager,omitempty"`
}

// Supplies are what a run brings along for an order and does not keep.
type Supplies struct {
	// AcceptCharges says that money may be spent.
	AcceptCharges bool
	// Letter is the stamped letter, as the file that was scanned.
	Letter []byte
	// Packages are the CA's numbers of what is paid with; empty for any.
	Packages []string
	// Contact are the details of company and people, by the issuer's names.
	Contact map[string]string
	// Tags are labels for the order at the CA.
	Tags map[string]string
	// AutoRenew has the CA renew by itself.
	AutoRenew bool
}

// Obligation is one thing an order waits for.
type Obligation struct {
	Kind     string    `json:"kind"`  // payment, information, document, organization_review, domain_validation or issuance
	Actor    string    `json:"actor"` // provider, applicant or ca
	State    string    `json:"state"` // open, waiting or done
	Deadline time.Time `json:"deadline,omitzero"`
	Detail   string    `json:"detail"`
}

// Key names the intent: 64 hex digits, equal for equal intents.
func (i Intent) Key() string {
	i.Names = pki.NameSet(i.Names)
	text, err := json.Marshal(i)
	if err != nil {
		// Strings and bytes always encode.
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Record is one validation record of an order. It has the fields of a
// challenge.Record, which explains them.
type Record struct {
	// Type is that of the challenge; empty in older journals, for dns-01.
	Type string `json:"type,omitempty"`
	// Domain is the name being validated, as in the order.
	Domain string `json:"domain"`
	// Name is where the CA looks, for instance _acme-challenge.example.com.
	Name string `json:"name"`
	// Target is where Name leads; the record is written there.
	Target string `json:"target"`
	// Value is the text of the record.
	Value string `json:"value"`
	// Creates is the first folder that has to be made for it.
	Creates string `json:"creates,omitempty"`
}

// Journal is the whole memory of one order. Issuers read and write the part
// below Status; the rest belongs to this package.
type Journal struct {
	Intent    Intent    `json:"intent"`
	Lineage   string    `json:"lineage"`
	KeyID     string    `json:"key_id,omitempty"`
	Request   []byte    `json:"csr"`
	CreatedAt time.Time `json:"created_at"`

	// Predecessor is the certificate to be replaced (DER), nil for the first;
	// PredecessorIssuer is the issuer it came from.
	Predecessor       []byte `json:"predecessor,omitempty"`
	PredecessorIssuer string `json:"predecessor_issuer,omitempty"`
	// NotBefore and NotAfter are the dates to ask the CA for; a zero one is left
	// to the CA. DatesRefused says that the CA did not take them.
	NotBefore    time.Time `json:"not_before,omitzero"`
	NotAfter     time.Time `json:"not_after,omitzero"`
	DatesRefused bool      `json:"dates_refused,omitempty"`
	// Failures counts rejections in a row, the last one at LastFailure.
	Failures    int       `json:"failures,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"`

	Status Status `json:"status"`
	// Detail is the CA's own words on a rejection, or what an order that is
	// still open was waiting for.
	Detail string `json:"detail,omitempty"`
	// OrderID identifies the order at the CA (ACME: its URL).
	OrderID string `json:"order_id,omitempty"`
	// Records are the validation records that are or may be published.
	Records []Record `json:"records,omitempty"`
	// Progress is the issuer's own note of how far it got.
	Progress json.RawMessage `json:"progress,omitempty"`
	// Certificate is the chain the CA issued, PEM, the leaf first.
	Certificate []byte `json:"certificate,omitempty"`
	// Encryption is the other chain of an SM2 pair, and EncryptionKeyID its key;
	// empty without one.
	Encryption      []byte `json:"encryption,omitempty"`
	EncryptionKeyID string `json:"encryption_key_id,omitempty"`
	// Paid says that money was spent on the order: it is never placed again.
	Paid bool `json:"paid,omitempty"`
	// Obligations are what the order waits for, and ExpectedBy is when it should
	// be done; an issuer that says neither leaves it to the provider.
	Obligations []Obligation `json:"obligations,omitempty"`
	ExpectedBy  time.Time    `json:"expected_by,omitzero"`
	// ServiceEnd is until when the CA renews without another payment.
	ServiceEnd time.Time `json:"service_end,omitzero"`
	// Supplies are those of this run; not kept.
	Supplies Supplies `json:"-"`
	// Wait is how long to wait before the next step; not kept.
	Wait time.Duration `json:"-"`
	// Superseded says that the certificate was replaced since in answer to the
	// same wish, and that its key is gone: ask again for what follows it.
	Superseded bool `json:"-"`
}

const journalVersion = 1

type journalFile struct {
	Version int `json:"version"`
	Journal
}

func encodeJournal(j Journal) ([]byte, error) {
	return json.MarshalIndent(journalFile{journalVersion, j}, "", " ")
}

func decodeJournal(text []byte) (Journal, error) {
	var file journalFile
	if err := json.Unmarshal(text, &file); err != nil {
		return Journal{}, fmt.Errorf("parse the order's journal: %w", err)
	}
	if file.Version != journalVersion {
		return Journal{}, fmt.Errorf("the order's journal has version %d, this provider reads version %d: use the provider version that wrote it", file.Version, journalVersion)
	}
	return file.Journal, nil
}

// freeFailures is how many rejections in a row have no consequence. Let's
// Encrypt locks out after five an hour for one name.
const freeFailures = 3

// heldUntil is when the next order may be placed after rejections in a row: at
// once after the first ones, then after an hour, two, four, up to a day.
func (j Journal) heldUntil() time.Time {
	if j.Failures < freeFailures {
		return time.Time{}
	}
	pause := time.Hour << min(j.Failures-freeFailures, 5)
	return j.LastFailure.Add(min(pause, 24*time.Hour))
}

// AsksDates reports whether the CA is asked for a start or an end.
func (j Journal) AsksDates() bool { return !j.NotBefore.IsZero() || !j.NotAfter.IsZero() }

// Names joins the names of the order for a message.
func (j Journal) Names() string { return strings.Join(j.Intent.Names, ", ") }
