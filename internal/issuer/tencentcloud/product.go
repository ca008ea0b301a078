package tencentcloud

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed product.csv
var catalogue string

// Product is what can be bought.
type Product struct {
	Name      string // empty for one that the catalogue does not have
	Brand     string
	Level     string // dv, ov or ev; empty when unknown
	SM2       bool
	Names     string // single, multi, wildcard or multi_wildcard
	PackageID uint64 // the product when it is paid with points; 0 when it cannot be
	ID        int64  // the product when it is paid from the balance; 0 when it cannot be
}

// manyNames is how many names products for several of them have.
const manyNames = 100

// columns of the catalogue.
const columns = 7

// Products is the catalogue.
func Products() []Product {
	var products []Product
	for line := range strings.Lines(catalogue) {
		field := strings.Split(strings.TrimSpace(line), ",")
		if len(field) != columns || strings.HasPrefix(line, "#") {
			continue
		}
		p := Product{Name: field[0], Brand: field[1], Level: field[2], SM2: field[3] == "true", Names: field[4]}
		p.PackageID, _ = strconv.ParseUint(field[5], 10, 64) // empty where it cannot be paid with points
		if numbers := strings.Fields(field[6]); len(numbers) > 0 {
			p.ID, _ = strconv.ParseInt(numbers[len(numbers)-1], 10, 64) // the newest; a test reads them all
		}
		products = append(products, p)
	}
	return products
}

// ProductBy finds a product by its name in the catalogue. A number is one that
// the API takes, also where the catalogue does not have it.
func ProductBy(text string) (Product, error) {
	products := Products()
	if number, err := strconv.ParseUint(text, 10, 63); err == nil {
		for _, p := range products {
			if p.PackageID == number || p.ID == int64(number) {
				return p, nil
			}
		}
		return Product{PackageID: number, ID: int64(number)}, nil
	}
	at := slices.IndexFunc(products, func(p Product) bool { return p.Name == text })
	if at < 0 {
		return Product{}, fmt.Errorf("there is no product %q; write one of the catalogue, such as %s, or the number that the API has for it", text, nearest(products, text))
	}
	return products[at], nil
}

// nearest are products that may have been meant: those of the brand, else a few.
func nearest(products []Product, text string) string {
	var names []string
	brand, _, _ := strings.Cut(text, "-")
	for _, p := range products {
		if p.Brand == brand || brand == "" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		names = []string{"dnspod-dv", "trustasia-ov", "dnspod-sm2-ov"}
	}
	return strings.Join(names, ", ")
}

// most is how many names a certificate of the product has at most; 0 for
// unknown.
func (p Product) most() int {
	switch p.Names {
	case "single", "wildcard":
		return 1
	case "":
		return 0
	}
	return manyNames
}

// Check returns why names cannot be on a certificate of the product.
func (p Product) Check(names []string) error {
	if most := p.most(); most > 0 && len(names) > most {
		return fmt.Errorf("%s is for %d name, not for %d: choose a product for several names, such as %s", p.Name, most, len(names), p.sibling("multi"))
	}
	for _, name := range names {
		if wildcard := strings.HasPrefix(name, "*."); wildcard && (p.Names == "single" || p.Names == "multi") {
			return fmt.Errorf("%s is not for wildcards, and %s is one: choose %s", p.Name, name, p.sibling("wildcard"))
		} else if !wildcard && p.Names == "wildcard" {
			return fmt.Errorf("%s is for a wildcard, and %s is none: choose %s", p.Name, name, p.sibling("single"))
		}
	}
	return nil
}

// sibling names the product for other names.
func (p Product) sibling(names string) string {
	for _, o := range Products() {
		if o.Brand == p.Brand && o.Level == p.Level && o.SM2 == p.SM2 && o.Names == names {
			return o.Name
		}
	}
	return "another one"
}

// letter tells whether a renewal needs a stamped letter: those of WoTrus and of
// the SM2 brands do not.
func (p Product) letter() bool {
	return p.Level != "dv" && p.Level != "" && !p.SM2 && p.Brand != "wotrus"
}

// The days in which the CA says it will be done: working days, from the renewal
// guide. Where the product is unknown, the longest.
const (
	daysOV = 5
	daysEV = 7
)

// workingDays is how long an order takes at most; 0 means a day.
func (p Product) workingDays() int {
	switch p.Level {
	case "dv":
		return 0
	case "ov":
		return daysOV
	}
	return daysEV
}
