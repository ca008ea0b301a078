// Command terraform-provider-certificate serves the certificate provider to
// Terraform and OpenTofu over plugin protocol 6.
package main

import (
	"flag"
	"log"
	"os"
	"runtime/debug"
	"strings"
	_ "time/tzdata" // time_zone means the same where the system has no zones

	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

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
	quietLogs(os.Environ())
	attach := flag.Bool("debug", false, "serve for a debugger such as delve, and print how to attach Terraform")
	flag.Parse()
	var options []tf6server.ServeOpt
	if *attach {
		options = append(options, tf6server.WithManagedDebug())
	}
	if err := tf6server.Serve("registry.terraform.io/certiform/certificate", provider.New(version, provider.Options{}), options...); err != nil {
		log.Fatal(err)
	}
}

// quietLogs keeps the plugin libraries from logging where nobody listens: they
// write everything at level trace, as JSON, and leave it to Terraform to read it
// all and throw it away. That is a quarter of the time of a plan.
func quietLogs(environment []string) {
	for _, variable := range environment {
		name, level, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "TF_LOG") && name != "TF_LOG_PATH" && level != "" {
			return
		}
	}
	_ = os.Setenv("TF_LOG_SDK", "OFF")
}
