package main

import (
	"context"
	"fmt"
	"io"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

const dsUsage = `Usage: certificate-dns ds CONFIG ZONE

Prints the DS record of each key that the folder of this configuration has of a
signed zone: what the parent zone needs. The server makes the key when it is
first started with dnssec = true in the zone's block.
`

func printDS(_ context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	zone := dns.CanonicalName(args[1])
	keys, err := dnssec.Find(conf.server.DNSSEC.Folder, zone)
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s has no key of %s; set dnssec = true in its block and start the server once", conf.server.DNSSEC.Folder, args[1])
	}
	for _, key := range keys {
		fmt.Fprintln(stdout, key.DS())
	}
	return nil
}
