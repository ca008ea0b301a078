package pki

import (
	"crypto/x509"
	"testing"
)

func TestSubject_goesIntoTheRequest(t *testing.T) {
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	want := Subject{Organization: "Beispiel GmbH", OrganizationalUnit: "Netze", Locality: "Köln", Province: "NRW", Country: "DE"}
	der, err := NewRequest(key, []string{"www.example.com"}, want, false)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if got := SubjectOf(request.Subject); got != want {
		t.Errorf("the request says %v, want %v", got, want)
	}
	if got := want.String(); got != "O=Beispiel GmbH, OU=Netze, L=Köln, ST=NRW, C=DE" {
		t.Errorf("it reads %q", got)
	}
	if got := (Subject{}).String(); got != "none" {
		t.Errorf("an empty one reads %q, want none", got)
	}
}
