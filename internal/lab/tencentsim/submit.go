package tencentsim

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
)

// information is what CertificateInfoSubmit takes.
type information struct {
	CertId           string `sim:"required"`
	GenCsrType       string `sim:"required"`
	CertCommonName   string `sim:"required"`
	CompanyType      uint64 `sim:"required"`
	CompanyId        string
	OrgIdType        string
	OrgIdNumber      string
	AdminIdType      string
	AdminIdNumber    string
	TechIdType       string
	TechIdNumber     string
	Csr              string
	DnsNames         []string
	KeyPass          string
	OrgOrganization  string
	OrgDivision      string
	OrgAddress       string
	OrgCountry       string
	OrgCity          string
	OrgRegion        string
	OrgPhoneArea     string
	OrgPhoneNumber   string
	VerifyType       string
	AdminFirstName   string
	AdminLastName    string
	AdminPhone       string
	AdminEmail       string
	AdminTitle       string
	TechFirstName    string
	TechLastName     string
	ContactEmail     string
	AutoRenewFlag    uint64
	CsrKeyParameter  string
	CsrEncryptAlgo   string
	ManagerId        string
	TechPhone        string
	TechEmail        string
	TechTitle        string
	Type             int64
	CaType           string
	SignAlgo         string
	UseCrossSignRoot bool
}

func (s *Simulator) submitInformation(p information) (any, error) {
	c, err := s.find(p.CertId)
	if err != nil {
		return nil, err
	}
	if c.state != stateInformation {
		return nil, refuse("FailedOperation.CertificateStatusNotAllow", "the certificate %s does not wait for its information", c.id)
	}
	if p.CompanyType == 1 && (c.product.kind != "DV" || p.ContactEmail == "") {
		return nil, refuse("InvalidParameter.CompanyType", "a person can have a DV certificate, and gives ContactEmail")
	}
	if err := s.owner(c, p); err != nil {
		return nil, err
	}
	names := slices.Concat([]string{p.CertCommonName}, p.DnsNames)
	slices.Sort(names[1:])
	names = slices.Compact(names)
	if len(names) > c.product.names {
		return nil, refuse("InvalidParameter.DomainCount", "%d names are more than the %d of the product %s", len(names), c.product.names, c.product.name)
	}
	c.domain, c.names, c.autoRenew = p.CertCommonName, names, p.AutoRenewFlag
	switch p.GenCsrType {
	case "parse":
		err = s.takeRequest(c, p.Csr)
	case "online":
		algorithm := p.CsrEncryptAlgo
		if c.product.sm2 {
			algorithm = "SM2"
		}
		err = c.makeRequest(algorithm, p.CsrKeyParameter)
	default:
		err = refuse("InvalidParameterValue", "GenCsrType is %q", p.GenCsrType)
	}
	if err != nil {
		return nil, err
	}
	if p.VerifyType != "" {
		c.verifyType = p.VerifyType
	}
	c.information = &p
	return map[string]any{}, nil
}

// owner takes the company of an order from its manager, its company or its
// fields.
func (s *Simulator) owner(c *certificate, p information) error {
	managerID, _ := strconv.ParseInt(p.ManagerId, 10, 64)
	companyID, _ := strconv.ParseInt(p.CompanyId, 10, 64)
	if managerID != 0 {
		at := slices.IndexFunc(s.managers, func(m manager) bool { return m.ID == managerID })
		if at < 0 {
			return refuse("FailedOperation.ManagerNotFound", "the manager %d does not exist", managerID)
		}
		companyID = s.managers[at].Company
	}
	if companyID != 0 {
		at := slices.IndexFunc(s.companies, func(o company) bool { return o.ID == companyID })
		if at < 0 {
			return refuse("FailedOperation.CompanyNotFound", "the company %d does not exist", companyID)
		}
		c.company, c.companyID, c.managerID = s.companies[at].Name, companyID, managerID
		return nil
	}
	if p.CompanyType == 2 && (p.OrgOrganization == "" || p.AdminFirstName == "" || p.AdminPhone == "" || p.AdminEmail == "") {
		return refuse("MissingParameter", "OrgOrganization, AdminFirstName, AdminPhone and AdminEmail are needed without CompanyId and ManagerId")
	}
	c.company = p.OrgOrganization
	return nil
}

// knownManager tells whether the order's manager was reviewed.
func (s *Simulator) knownManager(c *certificate) bool {
	return slices.ContainsFunc(s.managers, func(m manager) bool { return m.ID == c.managerID && m.Reviewed })
}

type orderSubmission struct {
	CertId              string `sim:"required"`
	DeleteDnsAutoRecord uint64
	VerifyType          string
}

func (s *Simulator) submitOrder(p orderSubmission) (any, error) {
	c, err := s.find(p.CertId)
	if err != nil {
		return nil, err
	}
	if c.state != stateInformation || c.csr == "" {
		return nil, refuse("FailedOperation.CertificateStatusNotAllow", "the certificate %s has no information yet, or is on its way", c.id)
	}
	if p.VerifyType != "" {
		c.verifyType = p.VerifyType
	}
	s.submit(c)
	return map[string]any{"OrderId": "ca-" + c.id, "Status": c.state, "IsAudited": s.knownManager(c)}, nil
}

type letter struct {
	CertificateId string `sim:"required"`
	ConfirmLetter string `sim:"required"`
}

// The limits of a letter in bytes.
const (
	smallestLetter = 1 << 10
	largestLetter  = 1400 << 10
)

func (s *Simulator) uploadLetter(p letter) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(p.ConfirmLetter)
	if err != nil || len(data) < smallestLetter || len(data) > largestLetter || !letterType(data) {
		return nil, refuse("InvalidParameterValue.ConfirmLetter", "the letter is a jpg, png or pdf in base64 of 1 KB to 1.4 MB")
	}
	if c.state != stateLetter {
		return nil, refuse("FailedOperation.CertificateStatusNotAllow", "the certificate %s does not wait for a letter", c.id)
	}
	s.takeLetter(c)
	return map[string]any{"CertificateId": c.id, "IsSuccess": true}, nil
}

func (s *Simulator) takeLetter(c *certificate) {
	c.letter = s.now()
	s.beginReview(c)
}

func letterType(data []byte) bool {
	return slices.Contains([]string{"image/jpeg", "image/png"}, http.DetectContentType(data)) || bytes.HasPrefix(data, []byte("%PDF-"))
}

type byID struct {
	CertificateId string `sim:"required"`
}

// resubmit opens a rejected order for other information.
func (s *Simulator) resubmit(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if c.state != stateFailed {
		return nil, refuse("FailedOperation.CertificateStatusNotAllow", "the certificate %s was not rejected", c.id)
	}
	c.state, c.word = stateInformation, ""
	return map[string]any{"CertificateId": c.id}, nil
}

// cancel ends an order; the money comes back through the console alone.
func (s *Simulator) cancel(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if !c.open() && c.state != stateInformation && c.state != stateLetter && c.state != stateFailed {
		return nil, refuse("FailedOperation.CancelOrderFailed", "the certificate %s cannot be cancelled", c.id)
	}
	c.state, c.word = stateCancelled, ""
	return map[string]any{"CertificateId": c.id}, nil
}

type removal struct {
	CertificateId   string `sim:"required"`
	IsCheckResource bool
}

func (s *Simulator) remove(p removal) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if next := s.certificates[c.renewal]; next != nil && next.live() && next.state != stateIssued {
		return nil, refuse("FailedOperation.RenewNotIssued", "the renewal %s is not issued", next.id)
	}
	c.deleted = true
	return map[string]any{"DeleteResult": true, "TaskId": nil}, nil
}

type revocation struct {
	CertificateId string `sim:"required"`
	Reason        string
}

func (s *Simulator) revoke(p revocation) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if c.state != stateIssued {
		return nil, refuse("FailedOperation.RevokeFailed", "the certificate %s is not issued", c.id)
	}
	c.state = stateRevoked
	return map[string]any{"RevokeDomainValidateAuths": []any{}}, nil
}

type replacement struct {
	OldCertificateId           string `sim:"required"`
	ResourceTypes              []string
	CertificateId              string
	Regions                    []string
	ResourceTypesRegions       []map[string]any
	ExpiringNotificationSwitch uint64
}

func (s *Simulator) replaceInResources(p replacement) (any, error) {
	for _, id := range []string{p.OldCertificateId, p.CertificateId} {
		if _, err := s.find(id); err != nil {
			return nil, err
		}
	}
	s.deployed = append(s.deployed, Replacement{p.OldCertificateId, p.CertificateId, p.ResourceTypes})
	return map[string]any{"DeployRecordId": len(s.deployed), "DeployStatus": 1, "UpdateSyncProgress": nil}, nil
}
