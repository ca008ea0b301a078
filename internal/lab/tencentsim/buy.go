package tencentsim

import (
	"slices"
	"strconv"
	"strings"
)

const mostYears = 5

// bought notes a charge and whose it is.
func (s *Simulator) bought(c *certificate, action string, points, fen uint64) {
	s.points -= points
	s.ledger = append(s.ledger, Charge{At: s.now(), Action: action, CertificateID: c.id, Product: c.product.name, Points: points, Fen: fen})
}

type byPackage struct {
	ProductPid          uint64   `sim:"required"`
	PackageIds          []string `sim:"required"`
	DomainCount         string   `sim:"required"`
	Period              uint64   `sim:"required"`
	OldCertificateId    string
	RenewGenCsrMethod   string
	RenewCsr            string
	RenewAlgorithmType  string
	RenewAlgorithmParam string
	RenewKeyPass        string
	ProjectId           uint64
	Tags                []tag
	DomainNames         string
	CertificateCount    uint64
	ManagerId           uint64
	CompanyId           uint64
	VerifyType          string
	PriceKey            string
}

func (s *Simulator) buyFromPoints(p byPackage) (any, error) {
	product, err := productBy(func(o product) bool { return o.pid == p.ProductPid })
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(p.DomainCount)
	if err != nil || count < 1 || count > product.names {
		return nil, refuse("InvalidParameterValue", "DomainCount is %q, the product %s has from 1 to %d", p.DomainCount, product.name, product.names)
	}
	if p.Period > mostYears || p.Period > 1 && !product.multi {
		return nil, refuse("InvalidParameterValue", "Period is %d", p.Period)
	}
	price := product.points * p.Period * uint64(count)
	if !slices.Equal(p.PackageIds, []string{PackageID}) {
		return nil, refuse("FailedOperation.PackageNotExist", "the package does not exist")
	}
	if price > s.points {
		return nil, refuse("FailedOperation.PackageBalanceNotEnough", "%d points are needed and %d are left", price, s.points)
	}
	c, err := s.startFromPoints(p, product)
	if err != nil {
		return nil, err
	}
	c.points, c.tags = true, p.Tags
	if p.VerifyType != "" {
		c.verifyType = p.VerifyType
	}
	s.subscribe(c, p.Period)
	s.bought(c, "CreateCertificateByPackage", price, 0)
	if c.csr != "" {
		s.submit(c)
	}
	return map[string]any{"CertificateId": c.id, "CertificateIds": []string{c.id}}, nil
}

// startFromPoints makes the order, a renewal with all the information of the
// certificate before it.
func (s *Simulator) startFromPoints(p byPackage, product product) (*certificate, error) {
	if p.OldCertificateId == "" {
		return s.insert(product), nil
	}
	before, err := s.renewable(p.OldCertificateId)
	if err != nil {
		return nil, err
	}
	if before.product.name != product.name {
		return nil, refuse("FailedOperation.RenewProductMismatch", "the certificate %s is a %s", before.id, before.product.name)
	}
	if p.CompanyId != 0 && before.companyID != 0 && int64(p.CompanyId) != before.companyID {
		return nil, refuse("FailedOperation.RenewInfoChanged", "the company of a renewal is the one of the certificate %s: apply for a new one", before.id)
	}
	next := s.renew(before, product)
	if err := s.requestOfRenewal(next, before, p); err != nil {
		delete(s.certificates, next.id)
		s.inserted = s.inserted[:len(s.inserted)-1]
		before.renewal = ""
		return nil, err
	}
	return next, nil
}

func (s *Simulator) requestOfRenewal(next, before *certificate, p byPackage) error {
	switch p.RenewGenCsrMethod {
	case "upload":
		return s.takeRequest(next, p.RenewCsr)
	case "online":
		if next.product.sm2 != (p.RenewAlgorithmType == "SM2") {
			return refuse("InvalidParameterValue", "the product %s does not take RenewAlgorithmType %q", next.product.name, p.RenewAlgorithmType)
		}
		return next.makeRequest(p.RenewAlgorithmType, p.RenewAlgorithmParam)
	case "original", "":
		return refuse("FailedOperation.CertificateCsrRepeat", "the CSR was used for the certificate %s already", before.id)
	}
	return refuse("InvalidParameterValue", "RenewGenCsrMethod is %q", p.RenewGenCsrMethod)
}

// renewable finds a certificate that can be renewed now.
func (s *Simulator) renewable(id string) (*certificate, error) {
	before, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if before.state != stateIssued {
		return nil, refuse("FailedOperation.CertificateStatusNotAllowRenew", "the certificate %s is not issued or has expired", id)
	}
	if opens := before.notAfter.Add(-renewalWindow); s.now().Before(opens) {
		return nil, refuse("FailedOperation.CertificateNotInRenewPeriod", "the certificate %s can be renewed from %s on", id, stamp(opens))
	}
	if next := s.certificates[before.renewal]; next != nil && next.live() {
		return nil, refuse("FailedOperation.RenewOrderExists", "the certificate %s has the renewal %s", id, next.id)
	}
	return before, nil
}

type fromBalance struct {
	ProductId   int64 `sim:"required"`
	DomainNum   int64 `sim:"required"`
	TimeSpan    int64 `sim:"required"`
	AutoVoucher int64
	Tags        []tag
}

func (s *Simulator) buyFromBalance(p fromBalance) (any, error) {
	product, err := productBy(func(o product) bool { return o.id == p.ProductId })
	if err != nil {
		return nil, err
	}
	if p.DomainNum < 1 || p.DomainNum > int64(product.names) || p.TimeSpan < 1 || p.TimeSpan > mostYears {
		return nil, refuse("InvalidParameterValue", "DomainNum is %d and TimeSpan is %d", p.DomainNum, p.TimeSpan)
	}
	c := s.insert(product)
	c.tags = p.Tags
	s.subscribe(c, uint64(p.TimeSpan))
	s.bought(c, "CreateCertificate", 0, product.fen*uint64(p.TimeSpan*p.DomainNum))
	return map[string]any{"CertificateIds": []string{c.id}, "DealIds": []string{"deal-" + c.id}, "ResourceIds": []string{"res-" + c.id}}, nil
}

type packages struct {
	Offset, Limit                       uint64
	Status, ExpireTime, PackageId, Type string
	Pid                                 int64
}

func (s *Simulator) describePackages(packages) (any, error) {
	status := "usable"
	if s.points == 0 {
		status = "used"
	}
	one := map[string]any{
		"PackageId": PackageID, "Total": s.options.Points, "Balance": s.points, "Type": "ssl_2000", "Status": status,
		"ExpireTime": stamp(s.now().Add(year)), "SourceUin": nil, "TransferOutInfos": nil,
	}
	return map[string]any{"Packages": []any{one}, "TotalCount": 1, "TotalBalance": s.points}, nil
}

type freeOrder struct {
	DvAuthMethod        string `sim:"required"`
	DomainName          string `sim:"required"`
	PackageType         string
	ContactEmail        string
	ContactPhone        string
	ValidityPeriod      string
	CsrEncryptAlgo      string
	CsrKeyParameter     string
	CsrKeyPassword      string
	Alias               string
	OldCertificateId    string
	PackageId           string
	ProjectId           uint64
	DeleteDnsAutoRecord bool
}

// mostFree is how many free certificates an account can have at once.
const mostFree = 50

func (s *Simulator) applyFree(p freeOrder) (any, error) {
	if p.PackageType != "" && p.PackageType != "83" || p.ValidityPeriod != "" && p.ValidityPeriod != "3" {
		return nil, refuse("InvalidParameterValue", "PackageType is 83 and ValidityPeriod 3")
	}
	if !slices.Contains([]string{"DNS", "DNS_AUTO", "FILE"}, p.DvAuthMethod) || strings.HasPrefix(p.DomainName, "*.") {
		return nil, refuse("InvalidParameterValue", "DvAuthMethod is %q and DomainName %q", p.DvAuthMethod, p.DomainName)
	}
	algorithm, parameter := p.CsrEncryptAlgo, p.CsrKeyParameter
	if algorithm == "" {
		algorithm, parameter = "RSA", "2048"
	}
	var before *certificate
	if p.OldCertificateId != "" {
		var err error
		if before, err = s.renewable(p.OldCertificateId); err != nil {
			return nil, err
		}
	}
	count := 0
	for _, c := range s.certificates {
		if c.product.id == free().id && c.live() && c.state != stateExpired {
			count++
		}
	}
	if count >= mostFree {
		return nil, refuse("FailedOperation.ExceedsFreeLimit", "the account has %d free certificates", count)
	}
	c := s.insert(free())
	c.domain, c.names, c.verifyType, c.alias = p.DomainName, []string{p.DomainName}, p.DvAuthMethod, p.Alias
	if before != nil {
		c.original, before.renewal = before.id, c.id
	}
	if err := c.makeRequest(algorithm, parameter); err != nil {
		return nil, err
	}
	s.submit(c)
	return map[string]any{"CertificateId": c.id}, nil
}
