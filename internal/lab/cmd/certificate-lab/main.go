// Command certificate-lab runs a command beside a local ACME CA, a DNS responder
// and a web server, so that certificates can be tried and tested offline.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const usage = `certificate-lab runs a command beside a local certificate authority.

Usage:
  certificate-lab [flags] -- COMMAND [ARGUMENT…]   run a command in a lab
  certificate-lab [flags]                          stay up until Ctrl-C
  certificate-lab open-window FULLCHAIN.pem        in a lab: the CA asks for a renewal
  certificate-lab reload                           in a lab: the web server takes its files over
  certificate-lab served HOST:PORT NAME            show the certificate a server serves
  certificate-lab later DURATION                   in a lab with -commercial-ca: move its clocks ahead, as by 24h
  certificate-lab person ACT ID [WORDS]            … somebody there acts: upload-letter, publish-records, renew, reject or refund
  certificate-lab ledger                           … show what was charged

A lab is an ACME CA (Pebble), the DNS responder certificate-dns for the zone
"test", and an HTTPS server, all in this process, on free loopback ports. The
command finds them through its environment; terraform finds the provider that
was built beside certificate-lab. Everything is gone when the command ends.

With -commercial-ca there is also a simulator of Tencent Cloud's SSL API, with an
account that has certificates about to end: www.dv.test, www.ov.test and
www.sm2.test. Terraform finds their numbers as the variables dv_certificate_id,
ov_certificate_id and sm2_certificate_id. Reviews take working days there, until
somebody says "certificate-lab later".

Flags:
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("certificate-lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		flags.PrintDefaults()
	}
	provider := flags.String("provider", "", "the provider's executable (default: terraform-provider-certificate beside this program)")
	life := flags.Duration("certificate-life", 90*24*time.Hour, "how long issued certificates are valid")
	commercial := flags.Bool("commercial-ca", false, "start a simulator of Tencent Cloud's SSL API too")
	verbose := flags.Bool("verbose", false, "log what the parts do to standard error")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *life < time.Second {
		_, _ = fmt.Fprintf(stderr, "certificate-lab: -certificate-life is %s, want a second at least\n", *life)
		return 2
	}
	switch flags.Arg(0) {
	case "open-window", "reload", "later", "person", "ledger":
		return report(stderr, control(stdout, flags.Args()))
	case "served":
		return report(stderr, served(stdout, flags.Args()))
	}
	options := lab.Options{Provider: findProvider(*provider), CertificateLife: *life, PollSuggestions: true, CommercialCA: *commercial}
	if *verbose {
		options.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	l, err := lab.Start(context.Background(), options)
	if err != nil {
		return report(stderr, err)
	}
	status := 0
	if flags.NArg() == 0 {
		explain(stdout, l)
		<-signals
	} else {
		status = runCommand(l, flags.Args(), signals, stderr)
	}
	return max(status, report(stderr, l.Close()))
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "certificate-lab: %s\n", err)
	return 1
}

// control asks something of the lab this command runs in.
func control(stdout io.Writer, arguments []string) error {
	url := os.Getenv(lab.EnvControl)
	if url == "" {
		return fmt.Errorf("%s is not set: run this in a lab, as in certificate-lab -- COMMAND", lab.EnvControl)
	}
	switch {
	case arguments[0] == "reload" && len(arguments) == 1:
		return lab.Reload(context.Background(), url)
	case arguments[0] == "open-window" && len(arguments) == 2:
		return lab.OpenWindow(context.Background(), url, arguments[1])
	}
	if arguments[0] == "person" && (len(arguments) == 3 || len(arguments) == 4) {
		return lab.Person(context.Background(), url, arguments[1], arguments[2], strings.Join(arguments[3:], " "))
	}
	switch {
	case arguments[0] == "later" && len(arguments) == 2:
		return lab.Later(context.Background(), url, arguments[1])
	case arguments[0] == "ledger" && len(arguments) == 1:
		return lab.Ledger(context.Background(), url, stdout)
	}
	return fmt.Errorf("%s: wrong number of arguments, see certificate-lab -help", arguments[0])
}

// served shows what a server serves, as one handshake finds it.
func served(w io.Writer, arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("served: want HOST:PORT and NAME")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := deploy.Probe(ctx, deploy.Endpoint{Address: arguments[1], ServerName: arguments[2]})
	if err != nil {
		return err
	}
	leaf := found.Chain[0]
	_, err = fmt.Fprintf(w, "names        %s\nissuer       %s\nserial       %s\nfingerprint  %s\nexpires      %s\nchain sent   %d certificates, %s\n",
		strings.Join(pki.Names(leaf), ", "), leaf.Issuer, pki.Serial(leaf), found.Fingerprint,
		leaf.NotAfter.UTC().Format(time.RFC3339), len(found.Chain), found.Version)
	return err
}

// findProvider returns the provider's executable, empty when there is none.
func findProvider(named string) string {
	if named != "" {
		return named
	}
	executable, err := os.Executable()
	if err != nil {
		return ""
	}
	beside := filepath.Join(filepath.Dir(executable), "terraform-provider-certificate")
	if _, err := os.Stat(beside); err != nil {
		return ""
	}
	return beside
}

// runCommand runs a command in the lab and returns its exit status. Ctrl-C
// reaches the command by itself, SIGTERM is passed on; the lab stays up until
// the command has ended.
func runCommand(l *lab.Lab, arguments []string, signals <-chan os.Signal, stderr io.Writer) int {
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), l.Environment()...)
	if err := command.Start(); err != nil {
		return report(stderr, fmt.Errorf("run %s: %w", arguments[0], err))
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	var err error
	for running := true; running; {
		select {
		case received := <-signals:
			if received == syscall.SIGTERM {
				_ = command.Process.Signal(received) // it may have ended by now
			}
		case err = <-done:
			running = false
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	return report(stderr, err)
}

// explain tells how to use a lab that stays up.
func explain(w io.Writer, l *lab.Lab) {
	file := filepath.Join(l.Directory, "env.sh")
	var script strings.Builder
	for _, variable := range l.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		_, _ = fmt.Fprintf(&script, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		_, _ = fmt.Fprintf(w, "cannot write %s: %s\n", file, err)
	}
	_, _ = fmt.Fprintf(w, `The lab is up until Ctrl-C.

  ACME directory   %s
  DNS responder    %s (zone %q; API %s)
  HTTPS server     https://%s

In another terminal:

  . %s
  terraform -chdir=examples/quickstart init
  terraform -chdir=examples/quickstart apply
`, l.DirectoryURL, l.DNS, lab.Zone, l.ResponderURL, l.Web.Address, file)
}
