package main

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// dnssecBlock says where the keys of signed zones are.
type dnssecBlock struct {
	Folder    string    `hcl:"folder,optional"`
	ParentTTL string    `hcl:"parent_ttl,optional"`
	Range     hcl.Range `hcl:",def_range"`
}

// apply makes the server's configuration of the block. Without one the keys are
// beside the storage, where that is a folder.
func (b *dnssecBlock) apply(to *dnsserver.DNSSEC, storage string) []error {
	if storage != "" {
		to.Folder = filepath.Join(filepath.Dir(storage), "dnssec")
	}
	if b == nil {
		return nil
	}
	if b.Folder != "" {
		to.Folder = b.Folder
	}
	var err error
	if to.ParentTTL, err = duration(b.ParentTTL); err != nil || to.ParentTTL < 0 {
		return []error{fmt.Errorf("%s: dnssec: parent_ttl: %q is no time; write one like \"24h\"", linePlace(b.Range), b.ParentTTL)}
	}
	return nil
}
