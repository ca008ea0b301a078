// Command terraform-provider-certificate serves the certificate provider to
// Terraform and OpenTofu over plugin protocol 6.
package main

import (
	"context"
	"flag"
	"log"
	_ "time/tzdata" // time_zone means the same where the system has no zones

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/certiform/terraform-provider-certificate/provider"
)

// version is set by the linker.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "serve for a debugger such as delve, and print how to attach Terraform")
	flag.Parse()
	err := providerserver.Serve(context.Background(), provider.New(version, provider.Options{}), providerserver.ServeOpts{
		Address:         "registry.terraform.io/certiform/certificate",
		Debug:           *debug,
		ProtocolVersion: 6,
	})
	if err != nil {
		log.Fatal(err)
	}
}
