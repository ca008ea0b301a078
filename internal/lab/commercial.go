package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// The account at the commercial CA: what its package of points holds, and how
// often it may ask in a second. The limit is that of the real one for people, and
// out of the way of tests that mean something else.
const (
	commercialPoints = 20000
	commercialRate   = 1000
)

// startCommercial serves the simulator of the commercial CA where it is wanted.
func (l *Lab) startCommercial(context.Context) error {
	if !l.options.CommercialCA {
		return nil
	}
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	l.CommercialID, l.CommercialKey = "AKIDlab", hex.EncodeToString(random[:])
	var err error
	l.Commercial, err = tencentsim.New(tencentsim.Options{
		SecretID: l.CommercialID, SecretKey: l.CommercialKey, Resolver: l.DNS, Points: commercialPoints, RateLimit: commercialRate, Logger: l.options.Logger,
	})
	if err != nil {
		return fmt.Errorf("set the commercial CA up: %w", err)
	}
	if l.CommercialURL, err = l.serve(l.Commercial); err != nil {
		return err
	}
	if err := os.WriteFile(l.clockFile(), []byte("0s\n"), 0o600); err != nil {
		return fmt.Errorf("write the lab's clock: %w", err)
	}
	return l.seed()
}

func (l *Lab) clockFile() string { return filepath.Join(l.Directory, "clock") }

// The certificates that the account has had before the lab began: names below
// the lab's zone, and the products as the API numbers them.
const (
	remaining   = 20 * 24 * time.Hour
	productDV   = 1013949 // dnspod-dv
	productOV   = 1018580 // securesite-ov
	productSM2  = 1004366 // dnspod-sm2-ov
	companyName = "Example Ltd."
)

// seed gives the account a company and certificates that are about to end.
func (l *Lab) seed() error {
	company, manager := l.Commercial.AddCompany(companyName, false)
	l.CommercialSeeds = map[string]string{"company_id": strconv.FormatInt(company, 10), "manager_id": strconv.FormatInt(manager, 10)}
	for name, pid := range map[string]uint64{"dv": productDV, "ov": productOV, "sm2": productSM2} {
		seed := tencentsim.Seed{PID: pid, Names: []string{"www." + name + "." + Zone}, Remaining: remaining}
		if name != "dv" {
			seed.Company, seed.Manager = company, manager
		}
		id, err := l.Commercial.AddCertificate(seed)
		if err != nil {
			return fmt.Errorf("give the commercial CA's account a certificate: %w", err)
		}
		l.CommercialSeeds[name+"_certificate_id"] = id
	}
	return nil
}

// later moves the clocks of the commercial CA and of the provider in the lab
// ahead.
func (l *Lab) later(by time.Duration) error {
	if l.Commercial == nil {
		return errNoCommercial
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Commercial.Advance(by)
	l.ahead += by
	if err := os.WriteFile(l.clockFile(), []byte(l.ahead.String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the lab's clock: %w", err)
	}
	return nil
}

var errNoCommercial = errors.New("the lab has no commercial CA: start it with -commercial-ca")

// person does what people do at the commercial CA: in its console, or as
// reviewers.
func (l *Lab) person(act, id, words string) error {
	if l.Commercial == nil {
		return errNoCommercial
	}
	switch act {
	case "upload-letter":
		return l.Commercial.UploadLetter(id)
	case "publish-records":
		return l.Commercial.PublishRecords(id)
	case "renew":
		_, err := l.Commercial.Renew(id)
		return err
	case "reject":
		return l.Commercial.Reject(id, words)
	case "refund":
		return l.Commercial.Refund(id)
	}
	return fmt.Errorf("nobody at the commercial CA can %q: it is upload-letter, publish-records, renew, reject or refund", act)
}
