package tencentsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
)

// The states of a certificate, as the API numbers them.
const (
	stateReviewing   = 0
	stateIssued      = 1
	stateFailed      = 2
	stateExpired     = 3
	stateRecordAdded = 4
	stateInformation = 5
	stateCancelled   = 7
	stateLetter      = 8
	stateRevoked     = 10
	stateRefunded    = 14
)

// The words beside a state.
const (
	wordPreReview  = "PRE-REVIEWING"
	wordLegal      = "LEGAL-REVIEWING"
	wordCA         = "CA-REVIEWING"
	wordValidation = "PENDING-DCV"
	wordIssuing    = "WAIT-ISSUE"
)

// certificate is one order and what comes of it.
type certificate struct {
	id, alias         string
	product           product
	state             uint64
	word              string // empty for null
	domain            string
	names             []string // domain included
	years             uint64
	original, renewal string // ids of the certificate before and after
	company           string // its name, the subject of a reviewed certificate
	companyID         int64
	managerID         int64
	information       *information
	verifyType        string
	auths             []auth
	csr               string
	online            bool
	key               string // PEM, of an online one
	algorithm         string
	tags              []tag
	autoRenew         uint64
	points            bool // paid with points

	inserted, submitted time.Time
	letter              time.Time // uploaded
	reviewedAt          time.Time // when the review will have passed; zero while it has not begun
	reviewed, validated time.Time
	deadline            time.Time
	issueAt             time.Time

	notBefore, notAfter       time.Time
	chain, encChain, encKey   string
	serviceID                 string
	serviceBegin, serviceEnd  time.Time
	deleted, hidden, rejected bool // hidden: not found by its tags yet
}

// auth is one validation record; shown is one that a person has written into
// DNS where no resolver here looks.
type auth struct {
	key, value, domain, sub, kind string
	shown                         bool
}

const (
	validationTime = 7 * day
	renewalWindow  = 30 * day
	sm2Reuse       = 13 // months that a validation stays good
	sm2Days        = 398
	serviceRefresh = 30 * day
)

// shanghai is the zone of the API's times.
func shanghai() *time.Location { return time.FixedZone("CST", 8*3600) }

// live says that an order can still lead to a certificate, or has.
func (c *certificate) live() bool { return c.state != stateCancelled && c.state != stateRefunded }

// open says that an order is on its way.
func (c *certificate) open() bool {
	return c.state == stateReviewing || c.state == stateRecordAdded
}

// submit starts the way to the certificate: all information is there.
func (s *Simulator) submit(c *certificate) {
	now := s.now()
	c.submitted, c.rejected, c.word = now, false, ""
	c.auths = nil
	c.validated, c.reviewed, c.reviewedAt, c.issueAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	for _, name := range c.names {
		base := strings.TrimPrefix(name, "*.")
		a := auth{domain: name, kind: c.product.record, key: "_dnsauth." + base, sub: "_dnsauth", value: randomID(16)}
		if a.kind == "CNAME" {
			a.sub = "_" + randomID(8)
			a.key, a.value = a.sub+"."+base, randomID(8)+".dcv.simulated.test"
		}
		if !slices.ContainsFunc(c.auths, func(o auth) bool { return o.key == a.key }) {
			c.auths = append(c.auths, a)
		}
	}
	c.state, c.deadline = stateReviewing, now.Add(validationTime)
	switch c.product.flow {
	case flowLetter:
		if s.knownManager(c) && !strings.HasPrefix(c.product.name, "GlobalSign") {
			s.beginReview(c)
			return
		}
		c.state, c.auths = stateLetter, nil
	case flowTelephone:
		c.word = wordPreReview
		s.beginReview(c)
	case flowReview:
		if s.reusable(c) {
			c.validated, c.auths = now, nil
			s.reviewOrSpare(c)
			return
		}
		c.word = wordValidation
	default:
		c.word = wordValidation
	}
	if c.verifyType == "DNS_AUTO" && c.word == wordValidation {
		c.state = stateRecordAdded
	}
}

// beginReview starts the working days of the people at the CA.
func (s *Simulator) beginReview(c *certificate) {
	c.state = stateReviewing
	if c.product.flow == flowLetter {
		c.word, c.auths = wordLegal, nil // names are confirmed by e-mail
		c.validated = s.now()
	}
	c.reviewedAt = lifecycle.AddWorkingDays(s.now(), c.product.days, shanghai())
}

// reusable tells whether every name passed for the same company lately.
func (s *Simulator) reusable(c *certificate) bool {
	return !slices.ContainsFunc(c.names, func(name string) bool {
		at, ok := s.validated[c.company+" "+name]
		return !ok || s.now().After(at.AddDate(0, sm2Reuse, 0))
	})
}

// reviewOrSpare begins the review of validated names, unless the same details
// passed one before.
func (s *Simulator) reviewOrSpare(c *certificate) {
	if s.reviewed[c.details()] {
		c.reviewed = s.now()
		return
	}
	s.beginReview(c)
	c.word = wordCA
}

// details identify what a review looks at.
func (c *certificate) details() string {
	return c.product.name + "|" + c.company + "|" + strings.Join(c.names, ",")
}

// advance brings every order to where it is by now.
func (s *Simulator) advance() {
	for _, id := range s.inserted {
		c := s.certificates[id]
		if c.state == stateIssued && !s.now().Before(c.notAfter) {
			c.state = stateExpired
		}
		s.followSubscription(c)
		s.renewByItself(c)
		if c.open() {
			s.step(c)
		}
	}
}

// step does for one order what its time and its records call for.
func (s *Simulator) step(c *certificate) {
	now := s.now()
	if c.validated.IsZero() && s.validates(c) {
		c.validated = now
		for _, name := range c.names {
			s.validated[c.company+" "+name] = now
		}
		if c.product.flow == flowReview {
			s.reviewOrSpare(c)
		}
	}
	if c.validated.IsZero() && now.After(c.deadline) {
		c.state, c.word, c.rejected = stateFailed, "域名验证超时，订单自动关闭，请您重新进行证书申请", true
		return
	}
	if c.reviewed.IsZero() && !c.reviewedAt.IsZero() && !now.Before(c.reviewedAt) {
		c.reviewed = c.reviewedAt
		s.reviewed[c.details()] = true
	}
	needsReview := c.product.flow != flowValidation
	switch {
	case c.validated.IsZero() && (!needsReview || !c.reviewed.IsZero() || now.Sub(c.submitted) > day):
		c.word = wordValidation
		return
	case c.validated.IsZero():
		return
	case needsReview && c.reviewed.IsZero():
		if c.product.flow != flowLetter {
			c.word = wordCA
		}
		return
	}
	c.state, c.word = stateReviewing, wordIssuing
	if c.issueAt.IsZero() {
		from := c.validated
		if c.reviewed.After(from) {
			from = c.reviewed
		}
		c.issueAt = from.Add(c.product.issuing)
	}
	if !now.Before(c.issueAt) {
		if err := s.issue(c); err != nil {
			c.state, c.word, c.rejected = stateFailed, err.Error(), true
		}
	}
}

// issue makes the certificate of an order: a year, and what was left of the one
// before, within the cap of the day.
func (s *Simulator) issue(c *certificate) error {
	now := s.now().Truncate(time.Second)
	life := year
	if c.product.id == free().id {
		life = 90 * day
	} else if before := s.certificates[c.original]; before != nil && before.notAfter.After(now) {
		life += before.notAfter.Sub(now)
	}
	longest := time.Duration(lifecycle.CapAt(now).Days) * day
	if c.product.sm2 {
		longest = sm2Days * day
	}
	c.notBefore, c.notAfter = now, now.Add(min(life, longest)).Add(-time.Second)
	if c.serviceID != "" && c.notAfter.After(c.serviceEnd) {
		c.notAfter = c.serviceEnd
	}
	return s.sign(c)
}

// sign makes the certificate of an order whose dates are known.
func (s *Simulator) sign(c *certificate) error {
	request, err := readRequest(c.csr)
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: c.domain}
	if c.product.kind != "DV" {
		subject.Organization, subject.Country = []string{c.company}, []string{"CN"}
	}
	if !c.product.sm2 {
		der, err := s.ca.standard.issue(request.PublicKey, subject, c.names, c.notBefore, c.notAfter, usageSigning|usageEncryption)
		if err != nil {
			return err
		}
		c.chain, c.state, c.word = s.ca.standard.chain(der), stateIssued, ""
		return nil
	}
	return s.issuePair(c, request.PublicKey, subject)
}

// issuePair makes the two certificates of SM2. The key of the second one is made
// by the CA, and handed out under the first where only its owner has that.
func (s *Simulator) issuePair(c *certificate, public any, subject pkix.Name) error {
	signing, err := s.ca.sm2.issue(public, subject, c.names, c.notBefore, c.notAfter, usageSigning)
	if err != nil {
		return err
	}
	second, err := generateKey("SM2", "")
	if err != nil {
		return err
	}
	encryption, err := s.ca.sm2.issue(second.Public(), subject, c.names, c.notBefore, c.notAfter, usageEncryption)
	if err != nil {
		return err
	}
	if c.encKey, err = handOut(second, public, c.online); err != nil {
		return err
	}
	c.chain, c.encChain = s.ca.sm2.chain(signing), s.ca.sm2.chain(encryption)
	c.state, c.word = stateIssued, ""
	return nil
}

// followSubscription renews the certificate of a service of several years, a
// month before its end, without a charge.
func (s *Simulator) followSubscription(c *certificate) {
	if c.state != stateIssued || c.serviceID == "" || c.renewal != "" || !c.serviceEnd.After(c.notAfter.Add(day)) || s.now().Before(c.notAfter.Add(-serviceRefresh)) {
		return
	}
	next := s.renew(c, c.product)
	next.serviceID, next.serviceBegin, next.serviceEnd = c.serviceID, c.serviceBegin, c.serviceEnd
	if err := next.makeRequest(c.algorithm, defaultParameter(c.algorithm)); err != nil {
		next.state, next.word = stateFailed, err.Error()
		return
	}
	s.submit(next)
}

// renew starts an order that follows a certificate, with its information.
func (s *Simulator) renew(before *certificate, p product) *certificate {
	next := s.insert(p)
	next.domain, next.names = before.domain, slices.Clone(before.names)
	next.company, next.companyID, next.managerID = before.company, before.companyID, before.managerID
	next.information, next.verifyType, next.algorithm = before.information, before.verifyType, before.algorithm
	next.original, before.renewal = before.id, next.id
	return next
}

// insert adds an order that waits for its information.
func (s *Simulator) insert(p product) *certificate {
	c := &certificate{id: randomID(4), product: p, state: stateInformation, inserted: s.now(), verifyType: "DNS", years: 1}
	s.certificates[c.id] = c
	s.inserted = append(s.inserted, c.id)
	return c
}

// subscribe makes an order the first of a service of so many years.
func (s *Simulator) subscribe(c *certificate, years uint64) {
	c.years = years
	if years > 1 {
		c.serviceID = "svc-" + randomID(4)
		c.serviceBegin, c.serviceEnd = s.now(), s.now().AddDate(int(years), 0, 0)
	}
}

func defaultParameter(algorithm string) string {
	return map[string]string{"RSA": "2048", "ECC": "prime256v1"}[algorithm]
}

// handOut writes the private key of an encryption certificate: as it is where the
// CA has the other one too, else in an envelope that only the owner of the
// signing key opens (GB/T 35276 §7.4).
func handOut(key crypto.Signer, signing any, online bool) (string, error) {
	private, ok := key.(*sm2.PrivateKey)
	if !ok {
		return "", refuse("InternalError", "%T is no key of SM2", key)
	}
	if online {
		return keyPEM(private)
	}
	return envelope(private, signing)
}

// makeRequest has the CA make the key and the signing request of an order.
func (c *certificate) makeRequest(algorithm, parameter string) error {
	key, err := generateKey(algorithm, parameter)
	if err != nil {
		return err
	}
	if c.key, err = keyPEM(key); err != nil {
		return err
	}
	c.csr, err = newRequest(key, c.domain, c.names)
	c.online, c.algorithm = true, algorithm
	return err
}

// takeRequest uses a signing request from outside. One serves one order.
func (s *Simulator) takeRequest(c *certificate, text string) error {
	request, err := readRequest(text)
	if err != nil {
		return refuse("FailedOperation.CertificateParseCsrFailed", "the CSR cannot be read: %s", err)
	}
	der, err := smx509.MarshalPKIXPublicKey(request.PublicKey)
	if err != nil {
		return refuse("FailedOperation.CertificateParseCsrFailed", "the key of the CSR cannot be used: %s", err)
	}
	if owner, ok := s.requests[digest(der)]; ok && owner != c.id {
		return refuse("FailedOperation.CertificateCsrRepeat", "the CSR was used for the certificate %s already", owner)
	}
	c.algorithm = "RSA"
	if public, ok := request.PublicKey.(*ecdsa.PublicKey); ok {
		c.algorithm = "ECC"
		if public.Curve == sm2.P256() {
			c.algorithm = "SM2"
		}
	}
	if c.product.sm2 != (c.algorithm == "SM2") {
		return refuse("FailedOperation.CertificateCsrAlgorithm", "the product %s does not take a key of %s", c.product.name, c.algorithm)
	}
	s.requests[digest(der)] = c.id
	c.csr, c.online, c.key = text, false, ""
	return nil
}
