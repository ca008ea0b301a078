package tencentsim_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

const (
	day       = 24 * time.Hour
	secretID  = "AKIDtest"
	secretKey = "a-secret-key"

	// Products, as the API numbers them.
	pidDV, pidOV, pidWoTrusOV, pidSM2 = 1013949, 1018580, 1004164, 1004366
)

// account is a simulator over HTTP, with a DNS server to look records up in.
type account struct {
	*tencentsim.Simulator
	t    *testing.T
	host string
	zone *records
}

// records are what the DNS server answers.
type records struct {
	mu  sync.Mutex
	set map[string]dns.RR // by "name type"
}

func (r *records) put(t *testing.T, text string) {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set[rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype]] = rr
}

func (r *records) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := new(dns.Msg).SetReply(q)
	if rr := r.set[q.Question[0].Name+" "+dns.TypeToString[q.Question[0].Qtype]]; rr != nil {
		answer.Answer = []dns.RR{rr}
	}
	_ = w.WriteMsg(answer)
}

func newAccount(t *testing.T, rate int) *account {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	zone := &records{set: map[string]dns.RR{}}
	resolver := &dns.Server{PacketConn: packets, Handler: zone}
	go func() { _ = resolver.ActivateAndServe() }()
	t.Cleanup(func() { _ = packets.Close() })
	sim, err := tencentsim.New(tencentsim.Options{
		SecretID: secretID, SecretKey: secretKey, Resolver: packets.LocalAddr().String(), Points: 20000, RateLimit: rate,
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	t.Cleanup(web.Close)
	return &account{sim, t, strings.TrimPrefix(web.URL, "http://"), zone}
}

// as signs with a credential and sends.
func (a *account) as(id, key, action string, parameters map[string]any) (map[string]any, error) {
	a.t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", a.host
	client := new(common.Client).Init("").WithCredential(common.NewCredential(id, key)).WithProfile(p)
	request := tchttp.NewCommonRequest("ssl", "2019-12-05", action)
	if err := request.SetActionParameters(parameters); err != nil {
		a.t.Fatal(err)
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		return nil, err
	}
	var body struct{ Response map[string]any }
	if err := json.Unmarshal(response.GetBody(), &body); err != nil {
		a.t.Fatal(err)
	}
	return body.Response, nil
}

// must asks for what has to be answered.
func (a *account) must(action string, parameters map[string]any) map[string]any {
	a.t.Helper()
	answer, err := a.as(secretID, secretKey, action, parameters)
	if err != nil {
		a.t.Fatalf("%s: %v", action, err)
	}
	return answer
}

// refused checks the code of a refusal.
func (a *account) refused(sentence string, err error, want string) {
	a.t.Helper()
	var said *sdkerrors.TencentCloudSDKError
	if !errors.As(err, &said) || said.GetCode() != want {
		a.t.Errorf("%s: %v, want %s", sentence, err, want)
	}
}

func (a *account) detail(id string) map[string]any {
	a.t.Helper()
	return a.must("DescribeCertificateDetail", map[string]any{"CertificateId": id})
}

func (a *account) listed(filter map[string]any) []any {
	a.t.Helper()
	return a.must("DescribeCertificates", filter)["Certificates"].([]any)
}

// state checks the number and the word of a certificate.
func (a *account) state(sentence, id string, number float64, word any) {
	a.t.Helper()
	found := a.detail(id)
	if found["Status"] != number || found["StatusMsg"] != word {
		a.t.Errorf("%s: status %v %v, want %v %v", sentence, found["Status"], found["StatusMsg"], number, word)
	}
}

// old is a certificate of the account; its days left are exact enough.
func (a *account) old(seed tencentsim.Seed, days int) string {
	a.t.Helper()
	seed.Remaining = time.Duration(days)*day + time.Minute
	id, err := a.AddCertificate(seed)
	if err != nil {
		a.t.Fatal(err)
	}
	return id
}

// renew renews with points, with a key that the CA makes.
func (a *account) renew(pid int, id string, more map[string]any) (map[string]any, error) {
	a.t.Helper()
	parameters := map[string]any{
		"ProductPid": pid, "PackageIds": []string{tencentsim.PackageID}, "DomainCount": "1", "Period": 1, "OldCertificateId": id,
		"RenewGenCsrMethod": "online", "RenewAlgorithmType": "ECC", "RenewAlgorithmParam": "prime256v1",
	}
	if pid == pidSM2 {
		parameters["RenewAlgorithmType"], parameters["RenewAlgorithmParam"] = "SM2", ""
	}
	for name, value := range more {
		parameters[name] = value
	}
	return a.as(secretID, secretKey, "CreateCertificateByPackage", parameters)
}

func (a *account) mustRenew(pid int, id string) string {
	a.t.Helper()
	answer, err := a.renew(pid, id, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer["CertificateId"].(string)
}

// publish shows the validation records of a certificate.
func (a *account) publish(id string) {
	a.t.Helper()
	wanted, ok := a.detail(id)["DvAuthDetail"].(map[string]any)
	if !ok {
		a.t.Fatalf("the certificate %s has no validation records", id)
	}
	for _, one := range wanted["DvAuths"].([]any) {
		auth := one.(map[string]any)
		text := auth["DvAuthKey"].(string) + ". 60 IN " + auth["DvAuthVerifyType"].(string) + " "
		if auth["DvAuthVerifyType"] == "CNAME" {
			a.zone.put(a.t, text+auth["DvAuthValue"].(string)+".")
		} else {
			a.zone.put(a.t, text+`"`+auth["DvAuthValue"].(string)+`"`)
		}
	}
}

func (a *account) charged(want int) {
	a.t.Helper()
	if ledger := a.Ledger(); len(ledger) != want {
		a.t.Errorf("%d charges, want %d: %+v", len(ledger), want, ledger)
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 0)
	_, err := a.as(secretID, "another", "DescribePackages", nil)
	a.refused("another key", err, "AuthFailure.SignatureFailure")
	_, err = a.as("AKIDnobody", secretKey, "DescribePackages", nil)
	a.refused("an id that is unknown", err, "AuthFailure.SecretIdNotFound")
	if answer := a.must("DescribePackages", map[string]any{}); answer["TotalBalance"] != 20000.0 || answer["RequestId"] == "" {
		t.Errorf("signed well: %v", answer)
	}
	for sentence, headers := range map[string]map[string]string{
		"AuthFailure.SignatureExpire": {"X-TC-Timestamp": "1700000000", "Authorization": "TC3-HMAC-SHA256 Credential=" + secretID + "/2023-11-14/ssl/tc3_request, SignedHeaders=content-type;host, Signature=00"},
		"AuthFailure":                 {},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.host+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-TC-Action", "DescribePackages")
		request.Header.Set("X-TC-Version", "2019-12-05")
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Response struct{ Error struct{ Code string } }
		}
		err = json.NewDecoder(response.Body).Decode(&body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(body.Response.Error.Code, sentence) {
			t.Errorf("%d %+v (%v), want 200 and %s", response.StatusCode, body, err, sentence)
		}
	}
}

func TestParameters_areStrict(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	for sentence, test := range map[string]struct {
		action     string
		parameters map[string]any
		want       string
	}{
		"one that is not known":     {"DescribePackages", map[string]any{"Package": 1}, "UnknownParameter"},
		"one in other letters":      {"DescribeCertificateDetail", map[string]any{"certificateId": "a"}, "UnknownParameter"},
		"one that is missing":       {"DescribeCertificateDetail", map[string]any{}, "MissingParameter"},
		"a number for a text":       {"DescribeCertificateDetail", map[string]any{"CertificateId": 1}, "InvalidParameter"},
		"a text for a number":       {"DescribeCertificates", map[string]any{"Limit": "10"}, "InvalidParameter"},
		"DomainCount as a number":   {"CreateCertificateByPackage", map[string]any{"ProductPid": pidDV, "PackageIds": []string{"a"}, "DomainCount": 1, "Period": 1}, "InvalidParameter"},
		"an action there is not":    {"BuyCertificate", map[string]any{}, "InvalidAction"},
		"a certificate there isn't": {"DescribeCertificateDetail", map[string]any{"CertificateId": "a"}, "FailedOperation.CertificateNotFound"},
		"a product there is not":    {"CreateCertificate", map[string]any{"ProductId": 9999, "DomainNum": 1, "TimeSpan": 1}, "FailedOperation.InvalidCertificateType"},
		"no points":                 {"CreateCertificateByPackage", map[string]any{"ProductPid": pidDV, "PackageIds": []string{"a"}, "DomainCount": "1", "Period": 1}, "FailedOperation.PackageNotExist"},
	} {
		_, err := a.as(secretID, secretKey, test.action, test.parameters)
		a.refused(sentence, err, test.want)
	}
	a.charged(0)
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 0)
	refused := 0
	for range 11 {
		if _, err := a.as(secretID, secretKey, "DescribePackages", nil); err != nil {
			a.refused("the eleventh in a second", err, "RequestLimitExceeded")
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of 11 requests in a second were refused, want 1", refused)
	}
	a.must("DescribeCompanies", map[string]any{}) // each action has its own limit
}

func TestNulls_areWhereTheAPIHasThem(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	id := a.old(tencentsim.Seed{PID: pidDV, Names: []string{"www.a.test"}}, 20)
	found := a.detail(id)
	for _, name := range []string{"SubmittedData", "DvAuthDetail", "EncryptCert", "StatusMsg"} {
		if value, there := found[name]; !there || value != nil {
			t.Errorf("%s of an issued one is %v (there: %t), want null", name, value, there)
		}
	}
	if _, there := found["HasRenewOrder"]; there {
		t.Error("the detail has HasRenewOrder, which only the list has")
	}
	next := a.mustRenew(pidDV, id)
	found = a.detail(next)
	for _, name := range []string{"CertBeginTime", "CertEndTime", "CertificatePublicKey", "CertificatePrivateKey"} {
		if value, there := found[name]; !there || value != nil {
			t.Errorf("%s of an open one is %v (there: %t), want null", name, value, there)
		}
	}
	listed := a.listed(map[string]any{"CertIds": []string{id}})[0].(map[string]any)
	if listed["HasRenewOrder"] != next {
		t.Errorf("HasRenewOrder is %v, want %s", listed["HasRenewOrder"], next)
	}
}

func TestRenewal_isOnlyOpenInItsWindow(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	id := a.old(tencentsim.Seed{PID: pidDV, Names: []string{"www.a.test"}}, 31)
	_, err := a.renew(pidDV, id, nil)
	a.refused("31 days before the end", err, "FailedOperation.CertificateNotInRenewPeriod")
	a.Advance(day + time.Hour)
	_, err = a.renew(pidOV, id, nil)
	a.refused("another product", err, "FailedOperation.RenewProductMismatch")
	_, err = a.renew(pidDV, id, map[string]any{"RenewGenCsrMethod": "original"})
	a.refused("the signing request of before", err, "FailedOperation.CertificateCsrRepeat")
	next := a.mustRenew(pidDV, id)
	_, err = a.renew(pidDV, id, nil)
	a.refused("a second renewal", err, "FailedOperation.RenewOrderExists")
	_, err = a.as(secretID, secretKey, "DeleteCertificate", map[string]any{"CertificateId": id})
	a.refused("the old one is deleted too early", err, "FailedOperation.RenewNotIssued")
	a.must("CancelCertificateOrder", map[string]any{"CertificateId": next})
	a.mustRenew(pidDV, id)
	a.charged(2)
}

func TestReview_takesWorkingDays(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	company, manager := a.AddCompany("Example Ltd.", false)
	next := a.mustRenew(pidWoTrusOV, a.old(tencentsim.Seed{PID: pidWoTrusOV, Names: []string{"www.a.test"}, Company: company, Manager: manager}, 20))
	a.state("ordered", next, 0, "PRE-REVIEWING")
	a.publish(next)
	a.state("validated, the telephone is left", next, 0, "CA-REVIEWING")
	for at := a.Now(); !weekend(at.Add(day)); at = a.Now() { // to a Friday
		a.Advance(day)
	}
	a.Advance(8 * day)
	a.state("the review has passed", next, 1, nil)
	letter := a.mustRenew(pidOV, a.old(tencentsim.Seed{PID: pidOV, Names: []string{"www.b.test"}, Company: company, Manager: manager}, 20))
	a.state("waits for its letter", letter, 8, nil)
	a.Advance(30 * day)
	a.state("and goes on waiting", letter, 8, nil)
}

func weekend(at time.Time) bool {
	weekday := at.In(time.FixedZone("", 8*3600)).Weekday()
	return weekday == time.Saturday || weekday == time.Sunday
}

func TestReview_passesNoWeekend(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	for !weekend(a.Now()) {
		a.Advance(day)
	}
	company, manager := a.AddCompany("Example Ltd.", true)
	next := a.mustRenew(pidOV, a.old(tencentsim.Seed{PID: pidOV, Names: []string{"www.a.test"}, Company: company, Manager: manager}, 25))
	a.Advance(2 * day) // at most one of them is a working day
	a.state("after a weekend", next, 0, "LEGAL-REVIEWING")
	a.Advance(4 * day)
	a.state("after three working days", next, 1, nil)
}

func TestLife_isCappedByDate(t *testing.T) {
	t.Parallel()
	for date, test := range map[string]struct{ pid, days int }{
		"2026-03-01": {pidDV, 385}, // a year and the 20 days that were left
		"2026-11-25": {pidDV, 200},
		"2027-04-01": {pidDV, 100},
		"2027-04-02": {pidSM2, 385}, // not bound by browsers
	} {
		t.Run(date, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, 1000)
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				t.Fatal(err)
			}
			a.Advance(time.Until(at))
			company, manager := a.AddCompany("Example Ltd.", true)
			id := a.old(tencentsim.Seed{PID: uint64(test.pid), Names: []string{"www.a.test"}, Company: company, Manager: manager}, 20)
			next := a.mustRenew(test.pid, id)
			a.publish(next)
			a.detail(next) // the CA scans
			a.Advance(time.Minute)
			until := a.Now().Add(6 * day)
			for a.Now().Before(until) && a.detail(next)["Status"] != 1.0 {
				a.Advance(time.Hour)
			}
			found := a.detail(next)
			begin, beginErr := time.Parse(time.DateTime, found["CertBeginTime"].(string))
			end, endErr := time.Parse(time.DateTime, found["CertEndTime"].(string))
			if err := errors.Join(beginErr, endErr); err != nil {
				t.Fatal(err)
			}
			if days := int(end.Add(time.Second).Sub(begin) / day); days > test.days || days < test.days-6 || test.days == 200 && days != 200 || test.days == 100 && days != 100 {
				t.Errorf("it lives %d days, want %d", days, test.days)
			}
			a.state("the one before", id, 1, nil)
		})
	}
}

func TestService_ofSeveralYearsRenewsWithoutACharge(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	id := a.old(tencentsim.Seed{PID: pidDV, Names: []string{"www.a.test"}, Years: 2}, 31)
	a.Advance(2 * day)
	listed := a.listed(map[string]any{"CertIds": []string{id}})[0].(map[string]any)
	next, ok := listed["HasRenewOrder"].(string)
	if !ok || listed["ServiceId"] == nil || listed["CertServiceEndTime"] == nil {
		t.Fatalf("the list has %v, want the next certificate of the service", listed)
	}
	a.publish(next)
	a.detail(next)
	a.Advance(time.Hour)
	a.state("the next one", next, 1, nil)
	a.charged(0)
}

func TestRenewal_byItself(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	id := a.must("CreateCertificate", map[string]any{"ProductId": 48, "DomainNum": 1, "TimeSpan": 1})["CertificateIds"].([]any)[0].(string)
	a.must("CertificateInfoSubmit", map[string]any{
		"CertId": id, "GenCsrType": "online", "CsrEncryptAlgo": "ECC", "CsrKeyParameter": "prime256v1", "CertCommonName": "www.a.test",
		"CompanyType": 1, "ContactEmail": "a@a.test", "AutoRenewFlag": 1,
	})
	a.must("CertificateOrderSubmit", map[string]any{"CertId": id})
	a.publish(id)
	a.detail(id)
	a.Advance(time.Hour)
	a.state("issued", id, 1, nil)
	a.charged(1)
	a.Advance(175 * day)
	if next := a.listed(map[string]any{"CertIds": []string{id}})[0].(map[string]any)["HasRenewOrder"]; next == nil {
		t.Error("it was not renewed")
	}
	a.charged(2)
}

func TestList_lagsBehind(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	id := a.old(tencentsim.Seed{PID: pidDV, Names: []string{"www.a.test"}}, 20)
	labels := []map[string]any{{"TagKey": "k", "TagValue": "v"}}
	a.Freeze()
	answer, err := a.renew(pidDV, id, map[string]any{"Tags": labels})
	if err != nil {
		t.Fatal(err)
	}
	next := answer["CertificateId"].(string)
	byLabel := func() int { return len(a.listed(map[string]any{"Tags": labels})) }
	if listed := a.listed(map[string]any{"CertIds": []string{id}})[0].(map[string]any); listed["HasRenewOrder"] != nil || byLabel() != 0 {
		t.Errorf("a list of before shows the renewal: %v", listed["HasRenewOrder"])
	}
	a.Thaw()
	if got := byLabel(); got != 1 {
		t.Errorf("found %d by the label, want 1", got)
	}
	if err := a.Hide(next, true); err != nil || byLabel() != 0 {
		t.Errorf("hidden, and found by the label (%v)", err)
	}
	if err := a.Hide(next, false); err != nil || byLabel() != 1 {
		t.Errorf("not hidden, and not found (%v)", err)
	}
}

func TestSM2_reusesValidationAndReview(t *testing.T) {
	t.Parallel()
	a := newAccount(t, 1000)
	company, manager := a.AddCompany("Example Ltd.", false)
	other, otherManager := a.AddCompany("Another Ltd.", false)
	seed := tencentsim.Seed{PID: pidSM2, Names: []string{"www.a.test"}, Company: company, Manager: manager}
	first := a.mustRenew(pidSM2, a.old(seed, 20))
	a.state("the first", first, 0, "PENDING-DCV")
	a.publish(first)
	a.state("validated", first, 0, "CA-REVIEWING")
	a.Advance(6 * day)
	a.state("reviewed", first, 1, nil)
	again := a.mustRenew(pidSM2, a.old(seed, 20))
	a.state("the same details again", again, 0, "WAIT-ISSUE")
	stranger := a.mustRenew(pidSM2, a.old(tencentsim.Seed{PID: pidSM2, Names: []string{"www.a.test"}, Company: other, Manager: otherManager}, 20))
	a.state("another company", stranger, 0, "PENDING-DCV")
	a.Advance(400 * day) // over 13 months
	late := a.mustRenew(pidSM2, a.old(seed, 20))
	a.state("after 13 months", late, 0, "PENDING-DCV")
}
