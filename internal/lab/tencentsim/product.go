package tencentsim

import "time"

// flow is the way of an order from its information to its certificate.
type flow string

const (
	flowValidation flow = "validation" // DV: the records alone
	flowLetter     flow = "letter"     // a stamped letter, then the review; names are confirmed by e-mail
	flowTelephone  flow = "telephone"  // a review by telephone and the records, both
	flowReview     flow = "review"     // the records, then a review; both can be spared
)

// product is what can be bought. The numbers are those of the API's two ways to
// buy.
type product struct {
	name    string
	pid     uint64 // for points
	id      int64  // for the balance
	kind    string // DV, OV or EV
	sm2     bool
	flow    flow
	record  string // type of the validation records
	days    int    // working days of the review
	names   int    // most names of one certificate
	points  uint64 // price of a year
	fen     uint64
	multi   bool // can be bought for several years
	issuing time.Duration
}

const (
	issuingDV  = 10 * time.Minute
	issuingOV  = time.Hour
	daysOV     = 3
	daysEV     = 5
	manyNames  = 100
	priceDV    = 100
	priceOV    = 500
	priceEV    = 900
	fenOfPoint = 1000
)

// products are one of each way an order can go.
func products() []product {
	dv := func(name string, pid uint64, id int64, sm2 bool, record string, names int) product {
		return product{name, pid, id, "DV", sm2, flowValidation, record, 0, names, priceDV, priceDV * fenOfPoint, true, issuingDV}
	}
	reviewed := func(name string, pid uint64, id int64, kind string, sm2 bool, way flow, record string, names int) product {
		days, price := daysOV, uint64(priceOV)
		if kind == "EV" {
			days, price = daysEV, priceEV
		}
		return product{name, pid, id, kind, sm2, way, record, days, names, price, price * fenOfPoint, true, issuingOV}
	}
	return []product{
		dv("DNSPod DV", 1013949, 48, false, "TXT", 1),
		dv("DNSPod DV multi-domain", 1013953, 50, false, "TXT", manyNames),
		dv("DNSPod DV wildcard", 1013951, 49, false, "TXT", 1),
		dv("WoTrus DV", 1004157, 25, false, "CNAME", 1),
		dv("DNSPod SM2 DV", 1004358, 54, true, "CNAME", 1),
		reviewed("DNSPod SM2 OV", 1004366, 51, "OV", true, flowReview, "CNAME", 1),
		reviewed("WoTrus OV", 1004164, 28, "OV", false, flowTelephone, "CNAME", 1),
		reviewed("WoTrus EV", 1004454, 31, "EV", false, flowTelephone, "CNAME", 1),
		reviewed("SecureSite OV", 1018580, 75, "OV", false, flowLetter, "TXT", 1),
		reviewed("SecureSite OV multi-domain", 1013876, 93, "OV", false, flowLetter, "TXT", manyNames),
		reviewed("SecureSite EV", 1018557, 77, "EV", false, flowLetter, "TXT", 1),
		reviewed("GlobalSign OV", 1013900, 81, "OV", false, flowLetter, "TXT", 1),
	}
}

// free is the product that costs nothing.
func free() product {
	return product{"TrustAsia DV free", 0, 83, "DV", false, flowValidation, "TXT", 0, 1, 0, 0, false, issuingDV}
}

func productBy(is func(product) bool) (product, error) {
	for _, p := range products() {
		if is(p) {
			return p, nil
		}
	}
	return product{}, refuse("FailedOperation.InvalidCertificateType", "the certificate product does not exist")
}
