package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// keyBlock is a secret that signs dynamic updates and zone transfers.
type keyBlock struct {
	Name       string    `hcl:"name,label"`
	Algorithm  string    `hcl:"algorithm,optional"`
	Secret     string    `hcl:"secret,optional"`
	SecretFile string    `hcl:"secret_file,optional"`
	Updates    []string  `hcl:"updates,optional"`
	Self       bool      `hcl:"self,optional"`
	Types      []string  `hcl:"types,optional"`
	Transfers  []string  `hcl:"transfers,optional"`
	Body       hcl.Body  `hcl:",body"`
	Range      hcl.Range `hcl:",def_range"`
}

// updatesBlock bounds dynamic updates.
type updatesBlock struct {
	MaxRecords int       `hcl:"max_records,optional"`
	MaxValues  int       `hcl:"max_values,optional"`
	MaxBytes   int       `hcl:"max_bytes,optional"`
	MaxPending int       `hcl:"max_pending,optional"`
	Body       hcl.Body  `hcl:",body"`
	Range      hcl.Range `hcl:",def_range"`
}

// keys adds the keys, and what bounds updates, to the server's configuration.
func (f *file) keys(server *dnsserver.Config) []error {
	var errs []error
	for _, b := range f.Keys {
		secret, err := b.secret()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: tsig_key %q: %w", linePlace(b.Range), b.Name, err))
			secret = placeholder() // so that the fault is told once
		}
		server.Keys = append(server.Keys, dnsserver.TSIGKey{
			Name: b.Name, Algorithm: b.Algorithm, Secret: secret, Updates: b.Updates, Self: b.Self, Types: b.Types, Transfers: b.Transfers,
		})
	}
	if u := f.Updates; u != nil {
		server.Updates = dnsserver.Updates{MaxRecords: u.MaxRecords, MaxValues: u.MaxValues, MaxBytes: u.MaxBytes, MaxPending: u.MaxPending}
	}
	return errs
}

// placeholder is a secret of the right form for a configuration that is refused
// anyway.
func placeholder() tsig.Secret {
	return tsig.NewSecret(base64.StdEncoding.EncodeToString(make([]byte, tsig.MinSecret)))
}

// secret reads it from where the block says.
func (b keyBlock) secret() (tsig.Secret, error) {
	switch {
	case b.Secret != "" && b.SecretFile != "":
		return nil, fmt.Errorf("secret and secret_file are both there; remove one")
	case b.Secret == "" && b.SecretFile == "":
		return nil, fmt.Errorf("there is no secret; make a file with tsig-keygen %s and name it in secret_file", b.Name)
	case b.Secret != "":
		return tsig.NewSecret(b.Secret), nil
	}
	text, err := os.ReadFile(b.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("%w; correct secret_file", err)
	}
	return tsig.NewSecret(secretIn(string(text))), nil
}

// secretIn is the secret in a file: alone, or in a key as tsig-keygen and
// keymgr write it.
func secretIn(text string) string {
	if m := regexp.MustCompile(`(?m)^[^#\n]*\bsecret:?\s+"?([A-Za-z0-9+/=]+)"?`).FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return strings.TrimSpace(text)
}

// secondaryBlock is a server that follows a zone.
type secondaryBlock struct {
	Name    string `hcl:"name,label"`
	Address string `hcl:"address"`
	Key     string `hcl:"key,optional"`
}

func (z zoneBlock) secondaries() []dnsserver.Secondary {
	var all []dnsserver.Secondary
	for _, b := range z.Secondaries {
		all = append(all, dnsserver.Secondary{Name: b.Name, Address: b.Address, Key: b.Key})
	}
	return all
}

// primaryBlock is a server that a zone is copied from.
type primaryBlock struct {
	Address string `hcl:"address"`
	Key     string `hcl:"key,optional"`
}

func (z zoneBlock) primaries() []dnsserver.Primary {
	var all []dnsserver.Primary
	for _, b := range z.Primaries {
		all = append(all, dnsserver.Primary{Address: b.Address, Key: b.Key})
	}
	return all
}
