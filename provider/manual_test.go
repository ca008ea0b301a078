package provider_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Of a deployment of Terraform's, instructions are there after the first apply,
// and never a reason for another one.
func TestAccManual_ofADeployment(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, lab.Options{}), startNginx(t)
	config := nginxConfig(n) + `
output "zh" { value = nonsensitive(provider::certificate::manual_instructions(certificate_deployment.web, "zh")) }
`
	contains := func(words ...string) resource.CheckResourceAttrWithFunc {
		return func(text string) error {
			for _, word := range words {
				if !strings.Contains(text, word) {
					return fmt.Errorf("no %q in\n%s", word, text)
				}
			}
			return nil
		}
	}
	var said string
	w.test(t,
		resource.TestStep{Config: config, Check: func(s *terraform.State) error {
			said = fmt.Sprint(s.RootModule().Outputs["zh"].Value)
			return contains("# 安装 www.example.test 的证书", n.FullchainPath, n.PrivateKeyPath, "-s reload", n.Address,
				s.RootModule().Resources[web].Primary.Attributes["fingerprint_sha256"])(said)
		}},
		resource.TestStep{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
	)
	if strings.Contains(said, "PRIVATE KEY") {
		t.Error("a private key is in the instructions")
	}
}

// Where Terraform deploys nothing, an object says what a person is to do.
func TestAccManual_ofAnObject(t *testing.T) {
	t.Parallel()
	now := time.Now()
	chain, _ := deploytest.NewAuthority(t, now).Issue(t, now, []string{"www.example.test"})
	text := string(pki.EncodeCertificates(chain...))
	manual := func(arguments string, language string) string {
		return call("manual_instructions({ certificate_pem = %q, %s }, %q)", text, arguments, language)
	}
	for sentence, test := range map[string]struct {
		config string
		want   []string
		wrong  string
	}{
		"Tomcat with its passwords": {
			config: manual(`tomcat = { keystore = { path = "/k.p12", password_wo = "never-to-be-shown" }, manager = { url = "http://127.0.0.1:8080", username = "m", password_wo = "never-to-be-shown" } }`, "en"),
			want:   []string{"keytool", "/k.p12", "curl -u m http://127.0.0.1:8080/manager/text/sslReload"},
		},
		"hosts in words": {
			config: manual(`hosts = { web1 = { ssh = { address = "10.0.0.1", user = "deploy", password_wo = "never-to-be-shown" } } }, nginx = { fullchain_path = "/f.pem", private_key_path = "/k.key" }`, "en"),
			want:   []string{"- web1: deploy@10.0.0.1", "/k.key.next", "lives on the host"},
		},
		"IIS on Windows":          {config: manual(`iis = { site = "Default Web Site", port = 8443 }`, "zh"), want: []string{"Get-WebBinding -Name 'Default Web Site' -Protocol https -Port 8443"}},
		"a language that is none": {config: manual(`nginx = { fullchain_path = "/f.pem", private_key_path = "/k.key" }`, "fr"), wrong: "only in en and zh"},
		"no target":               {config: manual("", "en"), wrong: "no target is configured"},
		"no deployment at all":    {config: call(`manual_instructions("text", "en")`), wrong: "an object is wanted"},
		"no certificate yet": {
			config: call(`manual_instructions({ nginx = { fullchain_path = "/f.pem", private_key_path = "/k.key" } }, "en")`), want: []string{"nothing to install yet", "steps for nginx"},
		},
		"what is no certificate": {config: call(`manual_instructions({ certificate_pem = "text", nginx = { fullchain_path = "/f.pem", private_key_path = "/k.key" } }, "en")`), wrong: "read the certificate"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := &world{environment: map[string]string{}}
			if test.wrong != "" {
				w.test(t, resource.TestStep{Config: test.config, ExpectError: anywhere(test.wrong)})
				return
			}
			w.test(t, resource.TestStep{Config: test.config, Check: func(s *terraform.State) error {
				got := fmt.Sprint(s.RootModule().Outputs["got"].Value)
				for _, word := range test.want {
					if !strings.Contains(got, word) {
						return fmt.Errorf("no %q in\n%s", word, got)
					}
				}
				if strings.Contains(got, "never-to-be-shown") {
					return fmt.Errorf("a password is in\n%s", got)
				}
				return nil
			}})
		})
	}
}
