package tencentcloud

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// The limits of a letter in bytes, and of the years of a purchase.
const (
	smallestLetter = 1 << 10
	largestLetter  = 1_400_000
	mostYears      = 5
)

// CheckPurchase implements issuer.Seller.
func (c Config) CheckPurchase(names []string, wish order.Purchase, supplies order.Supplies) []issuer.Problem {
	var problems []issuer.Problem
	add := func(attribute, format string, arguments ...any) {
		problems = append(problems, issuer.Problem{Attribute: attribute, Text: fmt.Sprintf(format, arguments...)})
	}
	sources := []string{SourcePoints, SourceBalance, SourceAdopt, SourceFree}
	if !slices.Contains(sources, wish.Source) {
		add("source", "%q is no source of an order; write one of %s", wish.Source, strings.Join(sources, ", "))
	}
	buys := (wish.Source == SourcePoints || wish.Source == SourceBalance) && !wish.Service
	if buys && !supplies.AcceptCharges {
		add("accept_charges", "source = %q spends money: set accept_charges = true to allow that, or choose source = %q for an order that was paid in the console", wish.Source, SourceAdopt)
	}
	if buys || wish.Product != "" {
		product, err := ProductBy(wish.Product)
		switch {
		case wish.Product == "":
			add("product", "it is not set: say what to buy, such as dnspod-dv")
		case err != nil:
			add("product", "%s", err)
		default:
			if err := product.Check(names); err != nil {
				add("product", "%s", err)
			}
			if wish.Source == SourcePoints && product.PackageID == 0 || wish.Source == SourceBalance && product.ID == 0 {
				add("source", "%s cannot be bought with source = %q: choose the other one", product.Name, wish.Source)
			}
		}
	}
	if wish.Source == SourcePoints && buys && c.Endpoint() == EndpointInternational {
		add("source", "the international endpoint does not sell for points: use source = %q", SourceBalance)
	}
	if wish.Source == SourceFree && (len(names) != 1 || strings.HasPrefix(names[0], "*.")) {
		add("source", "the free product is for one name that is no wildcard, not for %s", strings.Join(names, ", "))
	}
	if wish.Source == SourceFree && !wish.KeyAtCA {
		add("key", "the free product takes no signing request: write key = \"ca\", so that the CA makes the key")
	}
	if wish.Source == SourceAdopt && wish.Original == "" && wish.Order == "" {
		add("original_certificate_id", "source = %q needs it, or order_id: which order to take", SourceAdopt)
	}
	if wish.Years < 1 || wish.Years > mostYears {
		add("term_years", "it is %d, want 1 to %d", wish.Years, mostYears)
	}
	if wish.Years > 1 && !wish.KeyAtCA {
		add("key", "the CA renews by itself within the %d years of term_years, and makes the keys then: write key = \"ca\", or buy one year at a time", wish.Years)
	}
	for attribute, number := range map[string]string{"company_id": wish.Company, "manager_id": wish.Manager} {
		if _, err := strconv.ParseUint(number, 10, 63); number != "" && err != nil {
			add(attribute, "%q is no number as the console shows it", number)
		}
	}
	if text := letterProblem(supplies.Letter); text != "" {
		add("confirmation_letter_base64", "%s", text)
	}
	return problems
}

// letterProblem says why the CA would not take a letter.
func letterProblem(letter []byte) string {
	if len(letter) == 0 {
		return ""
	}
	if len(letter) < smallestLetter || len(letter) > largestLetter {
		return fmt.Sprintf("the letter has %d bytes, and the CA takes from %d to %d: scan it anew with another resolution", len(letter), smallestLetter, largestLetter)
	}
	kind := http.DetectContentType(letter)
	if kind != "image/jpeg" && kind != "image/png" && kind != "application/pdf" {
		return fmt.Sprintf("the letter is %s, and the CA takes jpg, png and pdf", kind)
	}
	return ""
}
