package provider_test

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/tjfoc/gmsm/gmtls"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const sm2OV = 1004366

// tlcpSite is a server of TLCP that reads its four files at each handshake, and
// what Terraform takes for its nginx.
type tlcpSite struct{ folder, address, binary string }

func newTLCPSite(t *testing.T) tlcpSite {
	t.Helper()
	s := tlcpSite{folder: t.TempDir()}
	s.binary = s.path("nginx")
	script := "#!/bin/sh\ncase \"$*\" in\n*-T*) echo 'pid " + s.path("nginx.pid") + ";' ;;\nrun) exec sleep 600 ;;\nesac\n"
	if err := os.WriteFile(s.binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("sh", "-c", "read wait", s.binary) // its command line names nginx
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = input.Close(), process.Wait() })
	if err := os.WriteFile(s.path("nginx.pid"), fmt.Appendln(nil, process.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	s.address = deploytest.ServeTLCP(t, s.pair)
	return s
}

// pair is what the files hold now; nil while they are not a pair.
func (s tlcpSite) pair() *gmtls.Config {
	signing, err := gmtls.LoadX509KeyPair(s.path("sign.pem"), s.path("sign.key"))
	if err != nil {
		return nil
	}
	encryption, err := gmtls.LoadX509KeyPair(s.path("enc.pem"), s.path("enc.key"))
	if err != nil {
		return nil
	}
	signing.Certificate = signing.Certificate[:1]
	return &gmtls.Config{GMSupport: gmtls.NewGMSupport(), Certificates: []gmtls.Certificate{signing, encryption}}
}

func (s tlcpSite) path(name string) string { return filepath.Join(s.folder, name) }

// deployed adds the deployment of the pair to a configuration.
func (s tlcpSite) deployed(config string) string {
	return config + fmt.Sprintf(`
ephemeral "certificate_private_key" "encryption" {
  private_key_id  = certificate_renewal.www.purchased.encryption_private_key_id
  certificate_pem = certificate_renewal.www.purchased.encryption_fullchain_pem
}
resource "certificate_deployment" "www" {
  certificate_pem           = certificate_renewal.www.fullchain_pem
  private_key_id            = certificate_renewal.www.private_key_id
  encryption_fullchain_pem  = certificate_renewal.www.purchased.encryption_fullchain_pem
  encryption_private_key_id = certificate_renewal.www.purchased.encryption_private_key_id
  verify                    = { address = %q, timeout = "10s" }
  nginx = {
    binary                      = %q
    fullchain_path              = %q
    private_key_path            = %q
    encryption_fullchain_path   = %q
    encryption_private_key_path = %q
  }
}`, s.address, s.binary, s.path("sign.pem"), s.path("sign.key"), s.path("enc.pem"), s.path("enc.key"))
}

// From the order to the handshake, and a year later once more: then the CA asks
// for neither records nor a review (R17, R18, R24).
func TestAccSM2_fromTheOrderToTheHandshake(t *testing.T) {
	t.Parallel()
	s, site := newShop(t), newTLCPSite(t)
	company, manager := s.Commercial.AddCompany("Example Ltd.", true)
	id := s.old(tencentsim.Seed{PID: sm2OV, Names: []string{"www.sm2.test"}, Company: company, Manager: manager}, 20)
	config := bought("www.sm2.test", "product = \"dnspod-sm2-ov\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"")
	const deployment = "certificate_deployment.www"
	// The records are published by whoever can.
	shown := func() {
		all := s.Commercial.Certificates()
		if err := s.Commercial.PublishRecords(all[len(all)-1]); err != nil {
			t.Error(err)
		}
		s.later(7 * wholeDay)()
	}
	s.test(t,
		resource.TestStep{Config: config, Check: resource.TestMatchResourceAttr(www, "status", regexp.MustCompile("awaiting_validation|organization_review"))},
		resource.TestStep{
			PreConfig: shown, Config: config,
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttrSet(www, "purchased.encryption_fullchain_pem"), resource.TestCheckResourceAttrSet(www, "purchased.encryption_private_key_id")),
		},
		resource.TestStep{
			Config: site.deployed(config),
			Check: resource.ComposeTestCheckFunc(resource.TestCheckResourceAttr(deployment, "proven_by", "handshake"),
				resource.TestCheckResourceAttrPair(deployment, "served_fingerprint_sha256", www, "fingerprint_sha256")),
		},
		resource.TestStep{Config: site.deployed(config), PlanOnly: true},
		resource.TestStep{
			Config: site.deployed(config) + "\n" + `output "by_hand" { value = nonsensitive(provider::certificate::manual_instructions(certificate_deployment.www, "zh")) }`,
			Check:  resource.TestMatchOutput("by_hand", regexp.MustCompile(`(?s)国密双证书.*BEGIN CERTIFICATE.*cat encryption\.key > .*enable_ntls`)),
		},
		resource.TestStep{
			PreConfig: s.later(360 * wholeDay), Config: site.deployed(config), ConfigPlanChecks: expect(www, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(stands("issuing"), resource.TestCheckResourceAttr(www, "validation_records.#", "0")),
		},
		resource.TestStep{
			PreConfig: s.later(2 * time.Hour), Config: site.deployed(config),
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckResourceAttr(www, "generation", "2"), resource.TestCheckResourceAttr(deployment, "proven_by", "handshake"),
				resource.TestCheckResourceAttrPair(deployment, "served_fingerprint_sha256", www, "fingerprint_sha256")),
		},
		resource.TestStep{Config: site.deployed(config), PlanOnly: true},
	)
	s.charged(2)
}

func TestAccSM2_refusedInThePlan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	key, err := pki.GenerateKey(pki.SM2)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.NewRequest(key, []string{"www.sm2.test"}, pki.Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	request := "csr_pem = <<EOT\n" + pemBlock("CERTIFICATE REQUEST", der) + "EOT\n"
	with := func(product, more string) string {
		config := bought("www.sm2.test", "product = \""+product+"\"\naccept_charges = true")
		return strings.Replace(config, "  wait_timeout", more+"\n  wait_timeout", 1)
	}
	const sm2, ecdsa = `private_key = { algorithm = "SM2" }`, `private_key = { algorithm = "ECDSA_P256" }`
	acme := strings.Replace(with("dnspod-dv", sm2), "tencentcloud = {}", "acme = {}", 1)
	acme = regexp.MustCompile(`(?s)  purchase = \{.*?\n  \}\n`).ReplaceAllString(acme, "")
	for sentence, test := range map[string]struct{ config, want string }{
		"an ACME issuer":              {acme, "whose certificates are not of SM2"},
		"a product of another kind":   {with("dnspod-dv", sm2), "is no product of SM2"},
		"an SM2 product":              {with("dnspod-sm2-dv", ecdsa), "is a product of SM2"},
		"the free product":            {strings.Replace(with("dnspod-dv", sm2), `product = "dnspod-dv"`, `source = "free"`, 1), "the free product is no product of SM2"},
		"a request for an SM2 one":    {with("dnspod-sm2-dv", request), "Leave csr_pem out"},
		"a request for another one":   {with("dnspod-dv", request), "is no product of SM2"},
		"half of a pair to deploy":    {deployPair(`encryption_private_key_id = "abc"`, ""), "Set both encryption_fullchain_pem"},
		"a pair that is none":         {deployPair("encryption_fullchain_pem = \"x\"\nencryption_private_key_id = \"abc\"", ""), "no certificate in the PEM"},
		"a place for no pair":         {deployPair("", `encryption_fullchain_path = "/e.pem"`+"\n"+`encryption_private_key_path = "/e.key"`), "an SM2 certificate is served together"},
		"half a place for a pair":     {deployPair("", `encryption_fullchain_path = "/e.pem"`), "needs both encryption_fullchain_path"},
		"a pair without a place here": {deployPair("encryption_fullchain_pem = <<EOT\n"+selfSigned(t)+"EOT\nencryption_private_key_id = \"abc\"", ""), "set encryption_fullchain_path and"},
	} {
		t.Run(sentence, func(t *testing.T) {
			config := strings.ReplaceAll(test.config, "CERTIFICATE_HERE", selfSigned(t))
			words := strings.Join(strings.Fields(regexp.QuoteMeta(test.want)), `\s+`)
			s.test(t, resource.TestStep{Config: config, PlanOnly: true, ExpectError: regexp.MustCompile(words)})
		})
	}
	s.charged(0)
}

// selfSigned is a certificate, PEM.
func selfSigned(t *testing.T) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.sm2.test"}}
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Signer().Public(), key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("CERTIFICATE", der)
}

// deployPair is a deployment of some certificate, with more attributes.
func deployPair(more, block string) string {
	return `
resource "certificate_deployment" "www" {
  certificate_pem = <<EOT
CERTIFICATE_HEREEOT
  private_key_id  = "abc"
` + more + `
  nginx = {
    fullchain_path   = "/tmp/a.pem"
    private_key_path = "/tmp/a.key"
` + block + `
  }
}`
}

// The example runs in a lab by the one command that it names.
func TestExamples_sm2PairInALab(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder+"/", "..", "../internal/lab/cmd/certificate-lab")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	program := filepath.Join(folder, "certificate-lab")
	script, err := filepath.Abs("../examples/sm2-nginx/run.sh")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-commercial-ca", "--", script)
	command.Env = append(os.Environ(), "CERTIFICATE_LAB="+program)
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "No changes.") || strings.Contains(string(output), "PRIVATE KEY") {
		t.Errorf("%v\n%s", err, output)
	}
}
