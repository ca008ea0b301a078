package dnsserver

import (
	"sync"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// maxVerified bounds how many results of checks are remembered.
const maxVerified = 10000

// verifications remembers what the last check of each domain found.
type verifications struct {
	mu  sync.Mutex
	all map[string]client.Verification
}

func (v *verifications) put(domain string, result client.Verification) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil || len(v.all) >= maxVerified {
		v.all = map[string]client.Verification{}
	}
	v.all[domain] = result
}

func (v *verifications) get(domain string) (client.Verification, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	result, ok := v.all[domain]
	return result, ok
}
