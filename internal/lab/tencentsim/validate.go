package tencentsim

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const lookupTime = 2 * time.Second

// The results of a check of a validation record.
const (
	checkPassed       = 1
	checkNoTXT        = -1
	checkOtherTXT     = -2
	checkNoCNAME      = -6
	checkOtherCNAME   = -7
	checkedByCA       = 2
	notCheckedByCA    = -1
	mostRecordAnswers = 20
)

// validates looks every validation record of an order up.
func (s *Simulator) validates(c *certificate) bool {
	return len(c.auths) > 0 && !slices.ContainsFunc(c.auths, func(a auth) bool {
		result, _ := s.check(a)
		return result != checkPassed
	})
}

// check looks one record up in real DNS and returns what was found.
func (s *Simulator) check(a auth) (result int, found []string) {
	if a.shown {
		return checkPassed, []string{a.value}
	}
	kind, absent, other := dns.TypeTXT, checkNoTXT, checkOtherTXT
	if a.kind == "CNAME" {
		kind, absent, other = dns.TypeCNAME, checkNoCNAME, checkOtherCNAME
	}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(a.key), kind)
	client := dns.Client{Timeout: lookupTime}
	response, _, err := client.Exchange(question, s.options.Resolver)
	if err != nil || response.Rcode != dns.RcodeSuccess {
		return absent, nil
	}
	for _, record := range response.Answer[:min(len(response.Answer), mostRecordAnswers)] {
		switch record := record.(type) {
		case *dns.TXT:
			found = append(found, strings.Join(record.Txt, ""))
		case *dns.CNAME:
			if kind == dns.TypeCNAME {
				found = append(found, strings.TrimSuffix(record.Target, "."))
			}
		}
	}
	switch {
	case len(found) == 0:
		return absent, nil
	case !slices.ContainsFunc(found, func(value string) bool { return strings.EqualFold(value, a.value) }):
		return other, found
	}
	return checkPassed, found
}

func (s *Simulator) checkValidation(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	results := []map[string]any{}
	for _, a := range c.auths {
		result, found := s.check(a)
		byCA := notCheckedByCA
		if !c.validated.IsZero() {
			byCA = checkedByCA
		}
		results = append(results, map[string]any{
			"Domain": a.domain, "VerifyType": c.verifyType, "LocalCheck": result, "CaCheck": byCA, "LocalCheckFailReason": "",
			"CheckValue": append([]string{}, found...), "Frequently": false, "Issued": c.state == stateIssued,
		})
	}
	return map[string]any{"VerificationResults": results}, nil
}

// complete has the CA look at the records now. Some brands do not take it.
func (s *Simulator) complete(p byID) (any, error) {
	c, err := s.find(p.CertificateId)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.product.name, "DNSPod") || strings.HasPrefix(c.product.name, "WoTrus") {
		return nil, refuse("FailedOperation.CompleteNotSupport", "the brand of the certificate %s does not support it", c.id)
	}
	if !c.open() {
		return nil, refuse("FailedOperation.CertificateStatusNotAllow", "the certificate %s does not wait for its validation", c.id)
	}
	return map[string]any{}, nil
}
