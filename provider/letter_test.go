package provider_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// letterSays checks the text of the letter in the output got.
func letterSays(want ...string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		file, err := base64.StdEncoding.DecodeString(fmt.Sprint(s.RootModule().Outputs["got"].Value))
		if err != nil {
			return err
		}
		archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return err
		}
		entry, err := archive.Open("word/document.xml")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(entry)
		if err != nil {
			return err
		}
		for _, words := range want {
			if !strings.Contains(string(text), words) {
				return fmt.Errorf("no %q in\n%s", words, text)
			}
		}
		return nil
	}
}

// The letter has the number of the order that waits for it, in the first year
// and in the next one.
func TestAccLetter_ofTheOrderThatWaits(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	company, manager := s.Commercial.AddCompany("Example & Sons", false)
	id := s.old(tencentsim.Seed{PID: 1018580, Names: []string{"www.ov.test"}, Company: company, Manager: manager}, 20)
	config := bought("www.ov.test", "product = \"1018580\"\naccept_charges = true\noriginal_certificate_id = \""+id+"\"") + `
output "got" { value = nonsensitive(provider::certificate::confirmation_letter(certificate_renewal.www, null)) }
output "order" { value = certificate_renewal.www.purchased.order_id }
`
	newest := func() string {
		all := s.Commercial.Certificates()
		return all[len(all)-1]
	}
	ordered := func(before string) resource.TestCheckFunc {
		return func(state *terraform.State) error {
			if got := state.RootModule().Outputs["order"].Value; got != newest() || got == before {
				return fmt.Errorf("order %v, want %s", got, newest())
			}
			return letterSays("securesite-ov<", "www.ov.test", newest(), before)(state)
		}
	}
	stamped := func() {
		if err := s.Commercial.UploadLetter(newest()); err != nil {
			t.Error(err)
		}
		s.later(7 * wholeDay)()
	}
	s.test(t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(stands("awaiting_document"), ordered(id))},
		resource.TestStep{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		resource.TestStep{
			PreConfig: stamped, Config: config,
			Check: resource.ComposeTestCheckFunc(stands("issued"), resource.TestCheckNoResourceAttr(www, "purchased.order_id"), letterSays("Example &amp; Sons")),
		},
		resource.TestStep{
			PreConfig: s.later(170 * wholeDay), Config: config, // the certificate in force stays what it is
			Check: resource.ComposeTestCheckFunc(stands("awaiting_document"), func(state *terraform.State) error {
				all := s.Commercial.Certificates()
				return resource.ComposeTestCheckFunc(ordered(all[len(all)-2]), resource.TestCheckResourceAttr(www, "purchased.certificate_id", all[len(all)-2]))(state)
			}),
		},
	)
	s.charged(2)
}

func TestAccLetter_ofAnObject(t *testing.T) {
	t.Parallel()
	letter := func(arguments, company string) string {
		return call("confirmation_letter({ %s }, %s)", arguments, company)
	}
	for sentence, test := range map[string]struct {
		config string
		want   []string
		wrong  string
	}{
		"the company is given": {
			config: letter(`domains = ["www.example.test"], purchase = { product = "securesite-ov", term_years = 2 }`, `"示例有限公司"`),
			want:   []string{"示例有限公司", "securesite-ov", "2 年"},
		},
		"the company is in the purchase": {
			config: letter(`domains = ["www.example.test"], subject = { organization = "Other" }, purchase = { product = "securesite-ov", contact = { organization = "Example Ltd." } }`, "null"),
			want:   []string{"Example Ltd."},
		},
		"the company is in the subject": {
			config: letter(`domains = ["www.example.test"], subject = { organization = "Example GmbH" }`, "null"),
			want:   []string{"Example GmbH"},
		},
		"no names":   {config: letter(`purchase = { product = "securesite-ov" }`, "null"), wrong: "no names"},
		"no renewal": {config: call(`confirmation_letter("text", null)`), wrong: "an object is wanted"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := &world{environment: map[string]string{}}
			if test.wrong != "" {
				w.test(t, resource.TestStep{Config: test.config, ExpectError: anywhere(test.wrong)})
				return
			}
			w.test(t, resource.TestStep{Config: test.config, Check: letterSays(test.want...)})
		})
	}
}
