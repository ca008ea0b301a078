// Command certificate-dns is an authoritative DNS server for the TXT records
// that certificate authorities look up, and the HTTP API that changes them.
//
// It is a thin shell around package dnsserver: arguments, the configuration
// file, signals. Its invariant: a configuration that check accepts is one that
// serve can start with, as far as the file alone can tell.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // the configuration is wrong, or the server could not go on
	exitUsage = 2 // the command line is wrong
)

const usage = `certificate-dns answers DNS for validation records and takes them over HTTP.

Usage:
  certificate-dns check CONFIG         say what is wrong with a configuration file
  certificate-dns serve CONFIG         serve until SIGINT or SIGTERM
  certificate-dns backup CONFIG FILE   write all that the storage keeps to a file
  certificate-dns restore CONFIG FILE  make the storage what a backup says
  certificate-dns recover CONFIG       keep what is readable of a damaged storage
  certificate-dns ds CONFIG ZONE       print what the parent of a signed zone needs
  certificate-dns import-acme-dns CONFIG SOURCE
                                       take the accounts of an acme-dns over
  certificate-dns token                make a token, and the hash for the configuration
  certificate-dns version              print the version

Start with these two:
  certificate-dns token
  certificate-dns serve certificate-dns.hcl

Exit codes: 0 success, 1 a fault or a wrong configuration, 2 a wrong command line.
`

const serveUsage = `Usage: certificate-dns serve CONFIG

Serves DNS over UDP and TCP on the addresses in listen, and the HTTP API on the
one in api. Logs go to stderr. SIGINT or SIGTERM finishes what is in hand and
ends the server. A port below 1024 wants CAP_NET_BIND_SERVICE.
`

const checkUsage = `Usage: certificate-dns check CONFIG

Reads the file as serve would and prints each problem with its place and what to
do. Opens no socket and no database. Exits 0 when there is none, else 1.
`

const tokenUsage = `Usage: certificate-dns token

Prints a new random token, and the line with its SHA-256 for a token block of
the configuration. The token is shown this once and kept nowhere: give it to
whoever puts records, as a secret.
`

const versionUsage = `Usage: certificate-dns version

Prints the version this program was built from.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is one word of the command line.
type command struct {
	usage string
	args  int // how many it takes
	run   func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() map[string]command {
	return map[string]command{
		"serve":           {serveUsage, 1, serve},
		"check":           {checkUsage, 1, check},
		"backup":          {backupUsage, 2, backup},
		"restore":         {restoreUsage, 2, restore},
		"recover":         {recoverUsage, 1, recoverStorage},
		"import-acme-dns": {importUsage, 2, importAcmeDNS},
		"ds":              {dsUsage, 2, printDS},
		"token":           {tokenUsage, 0, printToken},
		"version":         {versionUsage, 0, printVersion},
	}
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	if isHelp(args[0]) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	c, ok := commands()[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "certificate-dns: there is no command %q; certificate-dns help lists them\n", args[0])
		return exitUsage
	}
	if len(args) == 2 && isHelp(args[1]) {
		fmt.Fprint(stdout, c.usage)
		return exitOK
	}
	if len(args)-1 != c.args {
		fmt.Fprint(stderr, c.usage)
		return exitUsage
	}
	if err := c.run(ctx, args[1:], stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "certificate-dns: %v\n", err)
		return exitFault
	}
	return exitOK
}

func isHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "-help" || arg == "--help"
}

func check(_ context.Context, args []string, stdout, _ io.Writer) error {
	conf, err := readConfig(args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s is good: %d zones, %d tokens\n", args[0], len(conf.server.Zones), len(conf.server.Tokens))
	return nil
}

func printToken(_ context.Context, _ []string, stdout, _ io.Writer) error {
	token := rand.Text() + rand.Text() // 260 bits
	sum := sha256.Sum256([]byte(token))
	fmt.Fprintf(stdout, "token  = %q\nsha256 = %q\n", token, hex.EncodeToString(sum[:]))
	return nil
}

func printVersion(_ context.Context, _ []string, stdout, _ io.Writer) error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	fmt.Fprintf(stdout, "certificate-dns %s\n", version)
	return nil
}
