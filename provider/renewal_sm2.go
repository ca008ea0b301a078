package provider

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// sm2Product reports whether a purchase is of SM2 certificates; known is false
// for products that the catalogue does not have.
func sm2Product(wish order.Purchase) (sm2, known bool) {
	if wish.Product == "" {
		return false, wish.Source == tencentcloud.SourceFree
	}
	product, err := tencentcloud.ProductBy(wish.Product)
	return product.SM2, err == nil && product.Name != ""
}

// followProduct gives a purchase the key type of its product, where the
// configuration names none.
func (w *wanted) followProduct(m renewalModel) {
	if named, ok := m.PrivateKey.Attributes()["algorithm"].(types.String); ok && !named.IsNull() || w.request != nil || w.own {
		return
	}
	switch sm2, known := sm2Product(w.options.Purchase); {
	case sm2:
		w.algorithm = pki.SM2
	case known && w.algorithm == pki.SM2: // from the original certificate
		w.algorithm = defaultAlgorithm
	}
}

// checkSM2 refuses a key that the CA does not certify: SM2 where its
// certificates are of another kind, and the other way round.
func (r *renewalResource) checkSM2(m renewalModel, w wanted, names []string, diags *diag.Diagnostics) {
	at, algorithm, signed := path.Root("private_key").AtName("algorithm"), string(w.algorithm), w.request != nil
	if signed {
		request, err := pki.ParseRequest([]byte(m.CSR.ValueString()))
		if err != nil {
			return // ValidateConfig has said so
		}
		at, algorithm = path.Root("csr_pem"), string(pki.AlgorithmOf(request.PublicKey))
	}
	who := strings.Join(w.names, ", ")
	isSM2 := algorithm == string(pki.SM2)
	for _, name := range names {
		if _, sells := r.services.issuers[name].(issuer.Seller); !sells {
			if isSM2 {
				diags.AddAttributeError(at, "The issuer does not certify SM2 keys",
					fmt.Sprintf("%s: issuer %q is of a kind whose certificates are not of SM2. Choose another key type, or an SM2 product of an issuer of the kind tencentcloud.", who, name))
			}
			continue
		}
		switch sm2, known := sm2Product(w.options.Purchase); {
		case w.own: // refused anyway
		case known && sm2 && !isSM2:
			diags.AddAttributeError(at, "The key does not fit the product",
				fmt.Sprintf("%s: %s is a product of SM2, and the key is of %s. Write algorithm = \"SM2\", or leave it out.", who, w.options.Purchase.Product, algorithm))
		case known && !sm2 && isSM2:
			diags.AddAttributeError(at, "The key does not fit the product",
				fmt.Sprintf("%s: %s is no product of SM2, and the key is. Choose one such as dnspod-sm2-ov, or another key type.", who, productInWords(w.options.Purchase)))
		case isSM2 && signed:
			diags.AddAttributeError(at, "The encryption key would be lost",
				fmt.Sprintf("%s: the CA makes the key of the encryption certificate and wraps it for the owner of the signing key, which csr_pem keeps elsewhere. Leave csr_pem out: the provider makes the key, and keeps both in its storage.", who))
		}
	}
}

func productInWords(wish order.Purchase) string {
	if wish.Product == "" {
		return "the free product"
	}
	return wish.Product
}

// keyIsTheirs reports whether the CA, or who orders in its console, has chosen
// the type of the key.
func (w wanted) keyIsTheirs() bool {
	return w.bought && w.options.Purchase.Source == tencentcloud.SourceAdopt && w.options.Purchase.KeyAtCA
}

// keyChanges says how the key in force is of another type than is wanted; empty
// when it is not.
func (w wanted) keyChanges(current *x509.Certificate) string {
	got := pki.AlgorithmOf(current.PublicKey)
	if w.own || w.keyIsTheirs() || got == w.algorithm {
		return ""
	}
	return fmt.Sprintf("the key type changes from %s to %s", got, w.algorithm)
}
