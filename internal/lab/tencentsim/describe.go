package tencentsim

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stamp is a time as the API writes it: in China, without saying so.
func stamp(t time.Time) string { return t.In(shanghai()).Format(time.DateTime) }

// orNull leaves out what is not there as the API does.
func orNull[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}

func stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

func (s *Simulator) find(id string) (*certificate, error) {
	c, ok := s.certificates[id]
	if !ok || c.deleted {
		return nil, refuse("FailedOperation.CertificateNotFound", "the certificate %s does not exist", id)
	}
	return c, nil
}

func (c *certificate) extra() map[string]any {
	sm := 0
	if c.product.sm2 {
		sm = 1
	}
	return map[string]any{
		"DomainNumber": strconv.Itoa(max(len(c.names), 1)), "OriginCertificateId": orNull(c.original), "RenewOrder": orNull(c.renewal),
		"ReplacedBy": nil, "ReplacedFor": nil, "SMCert": sm, "CompanyType": 2,
	}
}

func (c *certificate) common() map[string]any {
	return map[string]any{
		"OwnerUin": "100000000001", "ProjectId": "0", "From": "trustasia", "CertificateType": "SVR", "PackageType": strconv.FormatInt(c.product.id, 10),
		"ProductZhName": c.product.name, "Domain": c.domain, "Alias": c.alias, "Status": c.state, "StatusMsg": orNull(c.word),
		"VerifyType": orNull(c.verifyType), "CertBeginTime": stampOrNull(c.notBefore), "CertEndTime": stampOrNull(c.notAfter),
		"ValidityPeriod": "12", "InsertTime": stamp(c.inserted), "CertificateExtra": c.extra(), "CertificateId": c.id,
		"StatusName": "", "SubjectAltName": append([]string{}, c.names...), "IsVip": c.product.id != free().id, "IsDv": c.product.kind == "DV",
		"IsWildcard": strings.HasPrefix(c.domain, "*."), "RenewAble": c.state == stateIssued, "Deployable": c.state == stateIssued, "Tags": append([]tag{}, c.tags...),
	}
}

func (s *Simulator) describeDetail(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	fields := c.common()
	fields["SubjectAltName"] = append([]string{}, c.names[min(1, len(c.names)):]...) // without the main name, here
	fields["OrderId"] = nil
	if !c.submitted.IsZero() {
		fields["OrderId"] = "ca-" + c.id
	}
	fields["DvAuthDetail"] = c.authDetail()
	fields["SubmittedData"] = nil
	if c.information != nil && c.state != stateIssued {
		fields["SubmittedData"] = map[string]any{
			"CsrType": c.information.GenCsrType, "CsrContent": c.csr, "CertificateDomain": c.domain,
			"DomainList": append([]string{}, c.names...), "OrganizationName": orNull(c.company), "VerifyType": c.verifyType,
		}
	}
	for _, name := range []string{"CertificatePrivateKey", "CertificatePublicKey", "EncryptCert", "EncryptPrivateKey", "RootCert"} {
		fields[name] = nil
	}
	if c.state == stateIssued || c.state == stateExpired || c.state == stateRevoked {
		fields["CertificatePublicKey"], fields["CertificatePrivateKey"] = c.chain, orNull(c.key)
		fields["EncryptCert"], fields["EncryptPrivateKey"] = orNull(c.encChain), orNull(c.encKey)
	}
	fields["CertType"] = c.product.kind
	return fields, nil
}

func (c *certificate) authDetail() any {
	if len(c.auths) == 0 {
		return nil
	}
	auths := make([]map[string]any, len(c.auths))
	for n, a := range c.auths {
		auths[n] = map[string]any{
			"DvAuthKey": a.key, "DvAuthValue": a.value, "DvAuthDomain": a.domain, "DvAuthPath": nil,
			"DvAuthSubDomain": a.sub, "DvAuthVerifyType": a.kind,
		}
	}
	first := c.auths[0]
	return map[string]any{
		"DvAuthKey": first.key, "DvAuthValue": first.value, "DvAuthDomain": first.domain, "DvAuthPath": nil,
		"DvAuthKeySubDomain": first.sub, "DvAuths": auths,
	}
}

type listing struct {
	Offset, Limit     uint64
	SearchKey         string
	CertificateType   string
	ProjectId         uint64
	ExpirationSort    string
	CertificateStatus []uint64
	Deployable        uint64
	Upload, Renew     int64
	FilterSource      string
	IsSM              int64
	FilterExpiring    uint64
	Hostable          uint64
	Tags              []tag
	IsPendingIssue    int64
	CertIds           []string
	ServiceId         string
}

func (s *Simulator) describeList(p listing) (any, error) {
	var found []map[string]any
	for _, c := range s.shelf() {
		if !c.deleted && s.matches(c, p) {
			found = append(found, s.listed(c))
		}
	}
	total := uint64(len(found))
	limit := p.Limit
	if limit == 0 {
		limit = 10
	}
	from := min(p.Offset, total)
	return map[string]any{"TotalCount": total, "Certificates": append([]map[string]any{}, found[from:min(from+limit, total)]...)}, nil
}

func (s *Simulator) matches(c *certificate, p listing) bool {
	expiring := c.state == stateIssued && s.now().After(c.notAfter.Add(-renewalWindow))
	for _, t := range p.Tags {
		if c.hidden || !slices.Contains(c.tags, t) {
			return false
		}
	}
	return (len(p.CertIds) == 0 || slices.Contains(p.CertIds, c.id)) &&
		(len(p.CertificateStatus) == 0 || slices.Contains(p.CertificateStatus, c.state)) &&
		(p.FilterExpiring == 0 || expiring) && (p.Renew == 0 || expiring) && (p.IsSM == 0 || c.product.sm2) &&
		(p.ServiceId == "" || p.ServiceId == c.serviceID) &&
		(p.SearchKey == "" || strings.Contains(c.id+" "+strings.Join(c.names, " "), p.SearchKey))
}

// listed has what only the list says.
func (s *Simulator) listed(c *certificate) map[string]any {
	fields := c.common()
	fields["HasRenewOrder"] = orNull(c.renewal)
	fields["DVAuthDeadline"] = stampOrNull(c.deadline)
	fields["ValidationPassedTime"] = stampOrNull(c.validated)
	fields["AutoRenewFlag"] = c.autoRenew
	fields["ServiceId"] = orNull(c.serviceID)
	fields["CertServiceBeginTime"], fields["CertServiceEndTime"] = stampOrNull(c.serviceBegin), stampOrNull(c.serviceEnd)
	fields["IsPackage"], fields["IsSM"] = c.points, c.product.sm2
	fields["IsExpiring"] = c.state == stateIssued && s.now().After(c.notAfter.Add(-renewalWindow))
	return fields
}

// download is the certificate as a ZIP. Where the CA does not have the key, there
// is none in it.
func (s *Simulator) download(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if c.state != stateIssued {
		return nil, refuse("FailedOperation.CertificateStatusNotAllowDownload", "the certificate %s is not issued", c.id)
	}
	files := [][2]string{{"Nginx/" + c.domain + "_bundle.crt", c.chain}, {"Nginx/" + c.domain + ".key", c.key}}
	if c.product.sm2 {
		files = [][2]string{
			{"Nginx/" + c.domain + "_sign_bundle.crt", c.chain},
			{"Nginx/" + c.domain + "_sign.key", c.key},
			{"Nginx/" + c.domain + "_encrypt_bundle.crt", c.encChain},
			{"Nginx/" + c.domain + "_encrypt.key", c.encKey},
		}
	}
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	for _, file := range files {
		if file[1] == "" {
			continue
		}
		entry, err := writer.Create(file[0])
		if err == nil {
			_, err = entry.Write([]byte(file[1]))
		}
		if err != nil {
			return nil, fmt.Errorf("write the archive: %w", err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write the archive: %w", err)
	}
	return map[string]any{"Content": base64.StdEncoding.EncodeToString(archive.Bytes()), "ContentType": "application/zip"}, nil
}

// company is one that the account has written down.
type company struct {
	ID   int64
	Name string
}

// manager is a person of a company who answers for orders.
type manager struct {
	ID, Company int64
	Reviewed    bool
}

type companies struct{ Offset, Limit, CompanyId int64 }

func (s *Simulator) describeCompanies(p companies) (any, error) {
	found := []map[string]any{}
	for _, c := range s.companies {
		if p.CompanyId == 0 || p.CompanyId == c.ID {
			found = append(found, companyFields(c))
		}
	}
	return map[string]any{"Companies": found, "TotalCount": len(found)}, nil
}

func companyFields(c company) map[string]any {
	return map[string]any{
		"CompanyId": c.ID, "CompanyName": c.Name, "CompanyCountry": "CN", "CompanyProvince": "Guangdong", "CompanyCity": "Shenzhen",
		"CompanyAddress": "1 Example Road", "CompanyPhone": "0755-00000000",
	}
}

type managers struct {
	CompanyId                                   int64 `sim:"required"`
	Offset, Limit                               int64
	ManagerName, ManagerMail, Status, SearchKey string
}

func (s *Simulator) describeManagers(p managers) (any, error) {
	found := []map[string]any{}
	for _, m := range s.managers {
		if m.Company == p.CompanyId && (p.Status == "" || p.Status == m.status()) {
			found = append(found, m.fields())
		}
	}
	return map[string]any{"Managers": found, "TotalCount": len(found)}, nil
}

func (m manager) status() string {
	if m.Reviewed {
		return "ok"
	}
	return "audit"
}

func (m manager) fields() map[string]any {
	return map[string]any{
		"ManagerId": m.ID, "Status": m.status(), "ManagerFirstName": "Wei", "ManagerLastName": "Li", "ManagerPosition": "Administrator",
		"ManagerPhone": "13800000000", "ManagerMail": "admin@example.test", "ManagerDepartment": "IT",
	}
}

type managerID struct {
	ManagerId     int64 `sim:"required"`
	Limit, Offset int64
}

func (s *Simulator) describeManager(p managerID) (any, error) {
	at := slices.IndexFunc(s.managers, func(m manager) bool { return m.ID == p.ManagerId })
	if at < 0 {
		return nil, refuse("FailedOperation.ManagerNotFound", "the manager %d does not exist", p.ManagerId)
	}
	m := s.managers[at]
	fields := m.fields()
	fields["CompanyId"] = m.Company
	if of := slices.IndexFunc(s.companies, func(c company) bool { return c.ID == m.Company }); of >= 0 {
		fields["CompanyInfo"] = companyFields(s.companies[of])
	}
	return fields, nil
}
