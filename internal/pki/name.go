package pki

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is the most bytes of a name in text, without the trailing dot.
const maxName = 253

// NormalizeName turns a domain name as people write it into the form a
// certificate carries: lower case, IDNs as A-labels (RFC 5891), without the
// trailing dot. A leading "*." label stays. It refuses what no public CA would
// put into a certificate and says why.
func NormalizeName(name string) (string, error) {
	wildcard := false
	host := name
	if r, size := utf8.DecodeLastRuneInString(name); strings.ContainsRune(dots, r) {
		host = name[:len(name)-size]
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		wildcard, host = true, rest
	}
	switch {
	case host == "":
		return "", errors.New("the name is empty")
	case len(host) > utf8.UTFMax*maxName:
		return "", fmt.Errorf("%.40q… is %d bytes long, a domain name has at most %d (RFC 1035)", name, len(name), maxName)
	case strings.ContainsAny(host, " \t\r\n"):
		return "", fmt.Errorf("%q contains a space", name)
	case strings.Contains(host, "*"):
		return "", fmt.Errorf("%q: a wildcard is only allowed as the whole first label, as in *.example.com", name)
	case isAddress(host):
		return "", fmt.Errorf("%q is an IP address, which has no DNS records of its own", name)
	case strings.ContainsAny(host, "/:@"):
		return "", fmt.Errorf("%q is no domain name: write the host alone, without scheme, port or path", name)
	case strings.ContainsRune(host, utf8.RuneError): // also stands for broken UTF-8
		return "", fmt.Errorf("%q is no valid domain name: it is not UTF-8", name)
	}
	if i := strings.IndexFunc(host, notInNames); i >= 0 {
		return "", fmt.Errorf("%q is no valid domain name: it contains %q; letters, digits and hyphens are allowed", name, host[i])
	}
	ascii, err := idnaProfile().ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%q is no valid domain name: %w", name, err)
	}
	if err := checkLabels(ascii); err != nil {
		return "", fmt.Errorf("%q is no valid domain name: %w", name, err)
	}
	if wildcard {
		ascii = "*." + ascii
	}
	if len(ascii) > maxName {
		return "", fmt.Errorf("%q is %d bytes long, a domain name has at most %d (RFC 1035)", name, len(ascii), maxName)
	}
	return ascii, nil
}

// dots are what IDNA takes for a dot between labels (UTS #46 §2.3).
const dots = ".\u3002\uff0e\uff61"

// notInNames finds the ASCII characters that no name has, for which IDNA's
// words are code points.
func notInNames(r rune) bool { return r < utf8.RuneSelf && r != '.' && notLDH(unicode.ToLower(r)) }

// idnaProfile is the profile for looking names up, with the length rules left
// to checkLabels, whose words are clearer.
func idnaProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))
}

func checkLabels(name string) error {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return errors.New("a label is empty (two dots in a row)")
		case len(label) > 63:
			return fmt.Errorf("the label %.20q… is %d bytes long, at most 63 are allowed (RFC 1035)", label, len(label))
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return fmt.Errorf("the label %q begins or ends with a hyphen", label)
		}
		if i := strings.IndexFunc(label, notLDH); i >= 0 {
			return fmt.Errorf("the label %q contains %q; letters, digits and hyphens are allowed", label, label[i])
		}
	}
	if len(labels) < 2 {
		return errors.New("it is a top-level domain; public CAs need at least two labels")
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return errors.New("its last label is a number")
	}
	return nil
}

func notLDH(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

// NormalizeNames normalizes each name or IP address, drops repeats and keeps the
// first mention's place. The error names every bad one.
func NormalizeNames(names []string) ([]string, error) {
	var normalized []string
	var problems []error
	for _, name := range names {
		n, err := NormalizeIdentifier(name)
		if err != nil {
			problems = append(problems, err)
		} else if !slices.Contains(normalized, n) {
			normalized = append(normalized, n)
		}
	}
	return normalized, errors.Join(problems...)
}

// NameSet returns the names lower-cased, sorted and without repeats: two lists
// mean the same certificate when their sets are equal.
func NameSet(names []string) []string {
	set := make([]string, len(names))
	for i, name := range names {
		set[i] = strings.ToLower(name)
	}
	slices.Sort(set)
	return slices.Compact(set)
}
