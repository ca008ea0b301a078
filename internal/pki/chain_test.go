package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// party is a key with a name that can sign and be signed.
type party struct {
	name string
	key  Key
}

func newParty(t testing.TB, name string) party {
	t.Helper()
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return party{name, key}
}

// certifies has a party sign a certificate for another.
func (p party) certifies(t testing.TB, subject party, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: subject.name}, BasicConstraintsValid: true,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if strings.Contains(subject.name, ".") {
		template.DNSNames = []string{subject.name}
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	for _, c := range change {
		c(template)
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: p.name}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, subject.key.Signer().Public(), p.key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

type world struct{ leaf, other, intermediate, issuing, root, old *x509.Certificate }

// newWorld is a chain of four, another leaf beside, and the certificate by
// which an older root vouches for the root.
func newWorld(t testing.TB) world {
	t.Helper()
	root, oldRoot := newParty(t, "root"), newParty(t, "old root")
	intermediate, issuing := newParty(t, "intermediate"), newParty(t, "issuing")
	return world{
		leaf: issuing.certifies(t, newParty(t, "www.example.com")), other: issuing.certifies(t, newParty(t, "mail.example.com")),
		issuing: intermediate.certifies(t, issuing), intermediate: root.certifies(t, intermediate),
		root: root.certifies(t, root), old: oldRoot.certifies(t, root),
	}
}

func subjects(chain []*x509.Certificate) string {
	var names []string
	for _, c := range chain {
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, " ← ")
}

func TestOrderChain(t *testing.T) {
	w := newWorld(t)
	lone := newParty(t, "self.example.com")
	self := lone.certifies(t, lone)
	for sentence, test := range map[string]struct{ given, want []*x509.Certificate }{
		"in order":                         {[]*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.root}, []*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.root}},
		"without the root":                 {[]*x509.Certificate{w.intermediate, w.leaf, w.issuing}, []*x509.Certificate{w.leaf, w.issuing, w.intermediate}},
		"repeated":                         {[]*x509.Certificate{w.issuing, w.leaf, w.issuing, w.leaf}, []*x509.Certificate{w.leaf, w.issuing}},
		"one that signed itself":           {[]*x509.Certificate{self}, []*x509.Certificate{self}},
		"only a leaf":                      {[]*x509.Certificate{w.leaf}, []*x509.Certificate{w.leaf}},
		"with an older root's certificate": {[]*x509.Certificate{w.old, w.issuing, w.leaf, w.intermediate}, []*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.old}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := OrderChain(test.given)
			if err != nil || !slices.EqualFunc(got, test.want, (*x509.Certificate).Equal) {
				t.Fatalf("%s, %v, want %s", subjects(got), err, subjects(test.want))
			}
			if err := CheckChain(got); err != nil && len(got) > 1 {
				t.Errorf("the ordered chain: %v", err)
			}
		})
	}
}

func TestOrderChain_doesNotDependOnTheOrderGiven(t *testing.T) {
	w := newWorld(t)
	given := []*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.root}
	want := slices.Clone(given)
	permute(given, func(shuffled []*x509.Certificate) {
		before := slices.Clone(shuffled)
		if got, err := OrderChain(shuffled); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s, %v, want %s", subjects(got), err, subjects(want))
		}
		if !slices.Equal(shuffled, before) {
			t.Error("the caller's list was changed")
		}
	})
}

func permute(list []*x509.Certificate, visit func([]*x509.Certificate)) {
	var place func(int)
	place = func(n int) {
		if n == len(list) {
			visit(list)
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			place(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	place(0)
}

// A root that signed itself, and the certificate an older root gave the same
// key, can both follow the intermediate: whichever has the smaller bytes, the
// answer is the one chain that has a place for all.
func TestOrderChain_crossSigned(t *testing.T) {
	for _, name := range []string{"old", "much older root"} { // a longer name makes larger bytes
		root, old := newParty(t, "root"), newParty(t, name)
		leaf := root.certifies(t, newParty(t, "www.example.com"))
		self, cross, oldSelf := root.certifies(t, root), old.certifies(t, root), old.certifies(t, old)
		want := []*x509.Certificate{leaf, self, cross, oldSelf}
		got, err := OrderChain([]*x509.Certificate{oldSelf, cross, self, leaf})
		if err != nil || !slices.EqualFunc(got, want, (*x509.Certificate).Equal) {
			t.Errorf("%s, %v, want %s", subjects(got), err, subjects(want))
		}
	}
}

func TestOrderChain_broken(t *testing.T) {
	w := newWorld(t)
	a, b := newParty(t, "a"), newParty(t, "b")
	ab, ba := a.certifies(t, b), b.certifies(t, a)
	namesake := newParty(t, "issuing")
	for sentence, test := range map[string]struct {
		given   []*x509.Certificate
		problem string
	}{
		"nothing":                              {nil, "0 certificates"},
		"two leaves":                           {[]*x509.Certificate{w.leaf, w.other, w.issuing}, "2 certificates of 3"},
		"no intermediate between":              {[]*x509.Certificate{w.leaf, w.intermediate}, "2 certificates of 2"},
		"a gap further up":                     {[]*x509.Certificate{w.leaf, w.issuing, w.root}, "2 certificates of 3"},
		"a stranger":                           {[]*x509.Certificate{w.leaf, w.issuing, a.certifies(t, a)}, "2 certificates of 3"},
		"two that signed each other":           {[]*x509.Certificate{ab, ba}, "0 certificates of 2"},
		"an issuer of the same name":           {[]*x509.Certificate{w.leaf, namesake.certifies(t, namesake)}, "2 certificates of 2"},
		"two certificates of one issuer":       {[]*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.old, w.root, a.certifies(t, newParty(t, "c.example"))}, "2 certificates of 6"},
		"a catalogue of roots":                 {catalogue(t), "too many"},
		"two intermediates, and none's issuer": {[]*x509.Certificate{w.leaf, w.issuing, crossOf(t, w, "elsewhere")}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := OrderChain(test.given)
			if !errors.Is(err, ErrChainBroken) || got != nil {
				t.Fatalf("%s, %v, want %v", subjects(got), err, ErrChainBroken)
			}
			if !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %q, want %q in it", err, test.problem)
			}
		})
	}
}

func catalogue(t testing.TB) []*x509.Certificate {
	t.Helper()
	root := newParty(t, "root")
	var many []*x509.Certificate
	for range maxPool + 1 {
		many = append(many, root.certifies(t, root))
	}
	return many
}

// crossOf is another certificate for the key of the issuing CA.
func crossOf(t testing.TB, w world, issuer string) *x509.Certificate {
	t.Helper()
	by := newParty(t, issuer)
	template := *w.issuing
	template.SerialNumber = big.NewInt(99)
	der, err := x509.CreateCertificate(rand.Reader, &template, &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}, w.issuing.PublicKey, by.key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestOrderChain_leafAndSigners(t *testing.T) {
	a, b := newParty(t, "a"), newParty(t, "b")
	leaf, ab, ba := a.certifies(t, newParty(t, "www.example.com")), a.certifies(t, b), b.certifies(t, a)
	want := []*x509.Certificate{leaf, ba, ab} // a was certified by b, b by a: a loop above the leaf
	got, err := OrderChain([]*x509.Certificate{ab, leaf, ba})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s, %v, want %s", subjects(got), err, subjects(want))
	}
}

func TestCheckChain(t *testing.T) {
	w := newWorld(t)
	lone := newParty(t, "self.example.com")
	for sentence, test := range map[string]struct {
		chain   []*x509.Certificate
		is      error
		problem string
	}{
		"a whole chain":             {[]*x509.Certificate{w.leaf, w.issuing, w.intermediate, w.root}, nil, ""},
		"without the root":          {[]*x509.Certificate{w.leaf, w.issuing, w.intermediate}, nil, ""},
		"one that signed itself":    {[]*x509.Certificate{lone.certifies(t, lone)}, nil, ""},
		"nothing":                   {nil, ErrNoCertificate, ""},
		"the intermediate missing":  {[]*x509.Certificate{w.leaf}, ErrChainBroken, `the intermediate "CN=issuing" that signed "CN=www.example.com" is missing`},
		"one missing in the middle": {[]*x509.Certificate{w.leaf, w.issuing, w.root}, ErrChainBroken, `"CN=issuing" was signed by "CN=intermediate", but "CN=root" follows it`},
		"the root first":            {[]*x509.Certificate{w.root, w.intermediate, w.issuing, w.leaf}, ErrChainBroken, "wrong order at position 2"},
		"two of them swapped":       {[]*x509.Certificate{w.leaf, w.intermediate, w.issuing}, ErrChainBroken, "wrong order at position 2"},
		"the last two swapped":      {[]*x509.Certificate{w.leaf, w.issuing, w.root, w.intermediate}, ErrChainBroken, "wrong order at position 3"},
		"the leaf twice":            {[]*x509.Certificate{w.leaf, w.leaf, w.issuing}, ErrChainBroken, "position 2"},
		"two leaves":                {[]*x509.Certificate{w.leaf, w.other, w.issuing}, ErrChainBroken, `but "CN=mail.example.com" follows`},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := CheckChain(test.chain)
			if !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %v", err, test.is)
			}
			if err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %q, want %q in it", err, test.problem)
			}
		})
	}
}
