// Command terraform-provider-certificate serves the certificate provider to
// Terraform and OpenTofu over plugin protocol 6.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"runtime/debug"
	_ "time/tzdata" // time_zone means the same where the system has no zones

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/certiform/terraform-provider-certificate/provider"
)

const gcPercent = 400

// version is set by the linker.
var version = "dev"

func main() {
	// A run is short and its memory small: collecting garbage seldom halves the
	// time of a plan with many certificates. GOGC in the environment wins.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	attach := flag.Bool("debug", false, "serve for a debugger such as delve, and print how to attach Terraform")
	flag.Parse()
	err := providerserver.Serve(context.Background(), provider.New(version, provider.Options{}), providerserver.ServeOpts{
		Address:         "registry.terraform.io/certiform/certificate",
		Debug:           *attach,
		ProtocolVersion: 6,
	})
	if err != nil {
		log.Fatal(err)
	}
}
