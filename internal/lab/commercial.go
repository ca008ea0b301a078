package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

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
	l.CommercialURL, err = l.serve(l.Commercial)
	return err
}
