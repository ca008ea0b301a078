package pki

import (
	"crypto/x509/pkix"
	"strings"
)

// Subject is what a certificate says of its owner besides names: the parts of a
// distinguished name that CAs check and put into OV and EV certificates. CAs
// that validate domains only leave it out.
type Subject struct {
	Organization       string `json:"organization,omitempty"`
	OrganizationalUnit string `json:"organizational_unit,omitempty"`
	Locality           string `json:"locality,omitempty"`
	Province           string `json:"province,omitempty"`
	Country            string `json:"country,omitempty"` // two letters, ISO 3166
}

// SubjectOf takes the parts from a distinguished name, the first of each.
func SubjectOf(name pkix.Name) Subject {
	first := func(values []string) string {
		if len(values) == 0 {
			return ""
		}
		return values[0]
	}
	return Subject{
		Organization: first(name.Organization), OrganizationalUnit: first(name.OrganizationalUnit),
		Locality: first(name.Locality), Province: first(name.Province), Country: first(name.Country),
	}
}

// String writes the subject as people read it, such as O=Example, C=DE.
func (s Subject) String() string {
	var parts []string
	for _, part := range [][2]string{
		{"O", s.Organization}, {"OU", s.OrganizationalUnit}, {"L", s.Locality}, {"ST", s.Province}, {"C", s.Country},
	} {
		if part[1] != "" {
			parts = append(parts, part[0]+"="+part[1])
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// name is the distinguished name of a request.
func (s Subject) name() pkix.Name {
	list := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	return pkix.Name{
		Organization: list(s.Organization), OrganizationalUnit: list(s.OrganizationalUnit),
		Locality: list(s.Locality), Province: list(s.Province), Country: list(s.Country),
	}
}
