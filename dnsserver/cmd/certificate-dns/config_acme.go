package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
)

// acmeBlock has the server obtain the certificate of its API itself.
type acmeBlock struct {
	Names           []string              `hcl:"names"`
	AgreeToTerms    bool                  `hcl:"agree_to_terms"`
	DirectoryURL    string                `hcl:"directory_url,optional"`
	Email           string                `hcl:"email,optional"`
	CABundleFile    string                `hcl:"ca_bundle_file,optional"`
	Folder          string                `hcl:"folder,optional"`
	ExternalAccount *externalAccountBlock `hcl:"external_account,block"`
	Body            hcl.Body              `hcl:",body"`
	Range           hcl.Range             `hcl:",def_range"`
}

type externalAccountBlock struct {
	KeyID   string `hcl:"key_id"`
	HMACKey string `hcl:"hmac_key"`
}

// apply makes the keeper's configuration of the block.
func (b *acmeBlock) apply(to *identity.Config, storage string, zones []dnsserver.Zone) []error {
	if b == nil {
		return nil
	}
	var errs []error
	problem := func(field, format string, args ...any) {
		line := b.Range.Start.Line
		if attributes, _ := b.Body.JustAttributes(); attributes[field] != nil { // decoded before without error
			line = attributes[field].Range.Start.Line
		}
		errs = append(errs, fmt.Errorf("%s:%d: api: acme: "+format, append([]any{b.Range.Filename, line}, args...)...))
	}
	if !b.AgreeToTerms {
		problem("agree_to_terms", "the CA wants its terms of service agreed to; read them and write agree_to_terms = true")
	}
	if len(b.Names) == 0 {
		problem("names", "there is no name to have a certificate for; write the one that clients call the API by")
	}
	for _, name := range b.Names {
		if !inZones(name, zones) {
			problem("names", "%q is in no zone of this server, which could not prove it; use a name below a zone, or certificate_file and key_file", name)
		}
	}
	if u, err := url.Parse(b.DirectoryURL); b.DirectoryURL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		problem("directory_url", "%q is no https URL; write it like %s", b.DirectoryURL, identity.LetsEncrypt)
	}
	if _, err := mail.ParseAddress(b.Email); b.Email != "" && err != nil {
		problem("email", "%q is no mail address; write one, or leave it out", b.Email)
	}
	*to = identity.Config{Names: b.Names, DirectoryURL: b.DirectoryURL, Email: b.Email, Folder: b.Folder}
	switch {
	case b.Folder != "":
	case storage == "":
		problem("folder", "the records are in a database, so there is no folder beside them for the key; write folder = \"/var/lib/certificate-dns/identity\"")
	default:
		to.Folder = filepath.Join(filepath.Dir(storage), "identity")
	}
	if b.CABundleFile != "" {
		var err error
		to.CABundle, err = os.ReadFile(b.CABundleFile)
		if block, _ := pem.Decode(to.CABundle); err == nil && block == nil {
			err = fmt.Errorf("%s holds no PEM", b.CABundleFile)
		}
		if err != nil {
			problem("ca_bundle_file", "%v; name a file with certificates in PEM", err)
		}
	}
	if bound := b.ExternalAccount; bound != nil {
		key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(bound.HMACKey, "="))
		if err != nil || len(key) == 0 {
			problem("external_account", "hmac_key of external_account is no base64url; copy it as the CA gave it")
		}
		to.ExternalAccount = &identity.ExternalAccount{KeyID: bound.KeyID, Key: key}
	}
	return errs
}

// inZones reports whether a name is that of a zone or below one; a wildcard is
// proved where its parent is.
func inZones(name string, zones []dnsserver.Zone) bool {
	name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "*."), "."))
	for _, z := range zones {
		zone := strings.ToLower(strings.TrimSuffix(z.Name, "."))
		if name != "" && (name == zone || strings.HasSuffix(name, "."+zone)) {
			return true
		}
	}
	return false
}
