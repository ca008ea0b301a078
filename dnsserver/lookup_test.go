package dnsserver

import "testing"

func TestLookup_row1_authorityAndCase(t *testing.T) {
	runLookups(t, []lookupCase{
		{"an answer is authoritative", "www.example.com. A", `
			NOERROR aa
			answer: www.example.com. 60 IN A 192.0.2.1`},
		{"a name matches in any case and is answered as it was asked", "wWw.eXample.COM. A", `
			NOERROR aa
			answer: wWw.eXample.COM. 60 IN A 192.0.2.1`},
		{"a value keeps its case", "_ACME-challenge.example.com. TXT", `
			NOERROR aa
			answer: _ACME-challenge.example.com. 5 IN TXT "Value-A"
			answer: _ACME-challenge.example.com. 5 IN TXT "value-b"`},
		{"the SOA is made of the configuration", "example.com. SOA", `
			NOERROR aa
			answer: example.com. 300 IN SOA ns1.example.com. hostmaster.example.com. 6 3600 600 1209600 5`},
		{"the zone's NS come with the addresses known", "example.com. NS", `
			NOERROR aa
			answer: example.com. 300 IN NS ns1.example.com.
			answer: example.com. 300 IN NS ns.elsewhere.test.
			additional: ns1.example.com. 300 IN A 192.0.2.53
			additional: ns1.example.com. 300 IN AAAA 2001:db8::53`},
	})
}

func TestLookup_row2_negativesCarrySOA(t *testing.T) {
	runLookups(t, []lookupCase{
		{"no such name", "missing.example.com. TXT", "NXDOMAIN aa\n" + soaOfExample},
		{"no such type", "www.example.com. MX", "NOERROR aa\n" + soaOfExample},
		{"no TXT at a dynamic name's sibling", "_acme-challenge.www.example.com. TXT", "NXDOMAIN aa\n" + soaOfExample},
		{"an SOA question below the apex that finds the zone", "www.example.com. SOA", "NOERROR aa\n" + soaOfExample},
		{"an SOA question at no name", "missing.example.com. SOA", "NXDOMAIN aa\n" + soaOfExample},
		{"the child zone has its own SOA", "missing.child.example.com. A", `
			NXDOMAIN aa
			authority: child.example.com. 5 IN SOA ns.elsewhere.test. hostmaster.child.example.com. 2 3600 600 1209600 5`},
	})
}

func TestLookup_row3_emptyNonTerminals(t *testing.T) {
	runLookups(t, []lookupCase{
		{"above a configured name", "empty.example.com. A", "NOERROR aa\n" + soaOfExample},
		{"above a dynamic name", "b.dyn.example.com. TXT", "NOERROR aa\n" + soaOfExample},
		{"two above a dynamic name", "dyn.example.com. TXT", "NOERROR aa\n" + soaOfExample},
		{"ANY at one", "dyn.example.com. ANY", "NOERROR aa\n" + soaOfExample},
		{"above a wildcard", "wild.example.com. A", "NOERROR aa\n" + soaOfExample},
		{"below a name without children", "a.www.example.com. A", "NXDOMAIN aa\n" + soaOfExample},
		{"beside a dynamic name", "c.dyn.example.com. TXT", "NXDOMAIN aa\n" + soaOfExample},
	})
}

func TestLookup_row3_wildcards(t *testing.T) {
	runLookups(t, []lookupCase{
		{"a wildcard answers for a name that is not there", "a.b.wild.example.com. A", `
			NOERROR aa
			answer: a.b.wild.example.com. 300 IN A 192.0.2.3`},
		{"not for one that is", "host.wild.example.com. TXT", "NOERROR aa\n" + soaOfExample},
		{"not below one that is", "a.host.wild.example.com. A", "NXDOMAIN aa\n" + soaOfExample},
		{"not for a dynamic name, of another type", "dyn.wild.example.com. A", "NOERROR aa\n" + soaOfExample},
		{"not for a dynamic name, of its type", "dyn.wild.example.com. TXT", `
			NOERROR aa
			answer: dyn.wild.example.com. 5 IN TXT "beside the wildcard"`},
		{"a type the wildcard has not", "x.wild.example.com. MX", "NOERROR aa\n" + soaOfExample},
		{"asked for by its own name", "*.wild.example.com. TXT", `
			NOERROR aa
			answer: *.wild.example.com. 300 IN TXT "wild"`},
		{"a CNAME wildcard is followed", "x.cwild.example.com. A", `
			NOERROR aa
			answer: x.cwild.example.com. 300 IN CNAME www.example.com.
			answer: www.example.com. 60 IN A 192.0.2.1`},
	})
}

func TestLookup_row4_unknownTypes(t *testing.T) {
	runLookups(t, []lookupCase{
		{"CAA that is there", "example.com. CAA", `
			NOERROR aa
			answer: example.com. 300 IN CAA 0 issue "ca.example"`},
		{"CAA at a name without", "www.example.com. CAA", "NOERROR aa\n" + soaOfExample},
		{"CAA at a dynamic name", "_acme-challenge.example.com. CAA", "NOERROR aa\n" + soaOfExample},
		{"a type without a name", "www.example.com. TYPE65281", "NOERROR aa\n" + soaOfExample},
		{"a type without a name that is there", "private.example.com. TYPE65280", `
			NOERROR aa
			answer: private.example.com. 300 CLASS1 TYPE65280 \# 2 abcd`},
		{"a type that nobody uses any more", "www.example.com. MAILB", "NOERROR aa\n" + soaOfExample},
	})
}

func TestLookup_row5_outsideZones(t *testing.T) {
	runLookups(t, []lookupCase{
		{"another domain", "www.example.org. A", "REFUSED"},
		{"the parent", "com. NS", "REFUSED"},
		{"the root", ". NS", "REFUSED"},
		{"a name that ends in the same letters", "notexample.com. A", "REFUSED"},
		{"a name that begins like ours", "example.com.evil.test. A", "REFUSED"},
		{"a dot inside a label is not a boundary", `www\.example.com. A`, "REFUSED"},
		{"a transfer", "example.com. AXFR", "REFUSED"},
	})
}

func TestLookup_row6_referralsAndCNAMEs(t *testing.T) {
	runLookups(t, []lookupCase{
		{"a delegation", "sub.example.com. A", referral},
		{"below it", "a.b.sub.example.com. TXT", referral},
		{"its NS", "sub.example.com. NS", referral},
		{"its glue is not an answer", "ns.sub.example.com. A", referral},
		{"its DS is the parent's to answer", "sub.example.com. DS", "NOERROR aa\n" + soaOfExample},
		{"the DS of a child zone here is its parent's to answer", "child.example.com. DS", "NXDOMAIN aa\n" + soaOfExample},
		{"a CNAME is followed", "alias.example.com. A", `
			NOERROR aa
			answer: alias.example.com. 300 IN CNAME www.example.com.
			answer: www.example.com. 60 IN A 192.0.2.1`},
		{"two are", "alias2.example.com. A", `
			NOERROR aa
			answer: alias2.example.com. 300 IN CNAME alias.example.com.
			answer: alias.example.com. 300 IN CNAME www.example.com.
			answer: www.example.com. 60 IN A 192.0.2.1`},
		{"to no data", "alias.example.com. MX", `
			NOERROR aa
			answer: alias.example.com. 300 IN CNAME www.example.com.
			` + soaOfExample},
		{"to no name", "dangling.example.com. A", `
			NXDOMAIN aa
			answer: dangling.example.com. 300 IN CNAME missing.example.com.
			` + soaOfExample},
		{"asked for itself", "alias.example.com. CNAME", `
			NOERROR aa
			answer: alias.example.com. 300 IN CNAME www.example.com.`},
		{"not out of the zone", "out.example.com. A", `
			NOERROR aa
			answer: out.example.com. 300 IN CNAME www.elsewhere.test.`},
		{"not into another zone here", "tochild.example.com. A", `
			NOERROR aa
			answer: tochild.example.com. 300 IN CNAME www.child.example.com.`},
		{"not in circles", "loop1.example.com. A", `
			NOERROR aa
			answer: loop1.example.com. 300 IN CNAME loop2.example.com.
			answer: loop2.example.com. 300 IN CNAME loop1.example.com.`},
		{"into a delegation", "tocut.example.com. A", `
			NOERROR aa
			answer: tocut.example.com. 300 IN CNAME host.sub.example.com.
			` + referralRecords},
	})
}

const referralRecords = `authority: sub.example.com. 300 IN NS ns.elsewhere.test.
			authority: sub.example.com. 300 IN NS ns.sub.example.com.
			additional: ns.sub.example.com. 300 IN A 192.0.2.54
			additional: ns.sub.example.com. 300 IN AAAA 2001:db8::54`

const referral = "NOERROR\n" + referralRecords

func TestLookup_row7_configuredAndDynamicTXT(t *testing.T) {
	runLookups(t, []lookupCase{
		{"configured and dynamic values are one set", "www.example.com. TXT", `
			NOERROR aa
			answer: www.example.com. 5 IN TXT "static" " text"
			answer: www.example.com. 5 IN TXT "added"`},
		{"in the child zone", "_acme-challenge.child.example.com. TXT", `
			NOERROR aa
			answer: _acme-challenge.child.example.com. 5 IN TXT "in the child"`},
	})
}

func TestLookup_row11_anyIsMinimal(t *testing.T) {
	runLookups(t, []lookupCase{
		{"at the apex", "example.com. ANY", `
			NOERROR aa
			answer: example.com. 300 IN HINFO "RFC8482" ""`},
		{"at a dynamic name", "_acme-challenge.example.com. ANY", `
			NOERROR aa
			answer: _acme-challenge.example.com. 300 IN HINFO "RFC8482" ""`},
		{"at a CNAME", "alias.example.com. ANY", `
			NOERROR aa
			answer: alias.example.com. 300 IN CNAME www.example.com.`},
		{"at no name", "missing.example.com. ANY", "NXDOMAIN aa\n" + soaOfExample},
	})
}
