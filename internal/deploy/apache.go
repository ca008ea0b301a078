package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// ApacheOptions describe an Apache httpd.
type ApacheOptions struct {
	FullchainPath   string // SSLCertificateFile with the chain in it (2.4.8 and later)
	CertificatePath string // SSLCertificateFile without the chain, beside ChainPath
	ChainPath       string // SSLCertificateChainFile
	PrivateKeyPath  string // SSLCertificateKeyFile; without any of the paths they are found by:
	ServerName      string // ServerName or ServerAlias; default: the name of the proof
	Binary          string // default "apachectl" ("httpd" for a service), found on the machine's PATH
	ConfigPath      string // -f; default: the one compiled in
	ServerRoot      string // -d; default: the one compiled in
	DryStart        bool   // start a second server with the same TLS configuration before the reload
	Service         string // the Windows service (-n); default on Windows "Apache2.4", empty elsewhere

	Encryption PairFiles // the second SSLCertificateFile and its key, of builds with SM2
}

// Apache is the target for Apache httpd. Its test passes a key that belongs to
// another certificate, and the server then exits at the reload: the pair is
// checked before anything is written, and a server that is gone is started.
type Apache struct{ options ApacheOptions }

var (
	_ FileTarget = (*Apache)(nil)
	_ Starter    = (*Apache)(nil)
	_ Grouped    = (*Apache)(nil)
	_ Finder     = (*Apache)(nil)
)

// NewApache checks the options and returns the target.
func NewApache(options ApacheOptions) (*Apache, error) {
	if options.Service == "" && anyWindows(options.FullchainPath, options.CertificatePath, options.PrivateKeyPath, options.Binary, options.ConfigPath, options.ServerRoot) {
		options.Service = "Apache2.4"
	}
	a := &Apache{options}
	switch {
	case options.DryStart && options.Service != "":
		return nil, errors.New("a dry start is not to be had of a Windows service")
	case a.Open():
		return a, options.Encryption.checkOpen("apache")
	case options.ServerName != "":
		return nil, fmt.Errorf("%w: server_name is for finding them, and they are set", ErrPath)
	case options.PrivateKeyPath == "":
		return nil, fmt.Errorf("%w: apache needs the path of the private key", ErrPath)
	case (options.FullchainPath == "") == (options.CertificatePath == ""):
		return nil, fmt.Errorf("%w: apache needs the path of the full chain, or those of certificate and chain", ErrPath)
	case options.FullchainPath != "" && options.ChainPath != "":
		return nil, fmt.Errorf("%w: the chain is in the full chain already", ErrPath)
	}
	return a, errors.Join(options.Encryption.check("apache"), checkSlots(a.Slots()))
}

// Name implements Target.
func (*Apache) Name() string { return "apache" }

// Slots implements Target.
func (a *Apache) Slots() []Slot {
	slots := []Slot{
		{Path: a.options.PrivateKeyPath, Format: PEM{Key: true}},
		{Path: a.options.CertificatePath, Format: PEM{Leaf: true}},
		{Path: a.options.ChainPath, Format: PEM{Chain: true}},
		{Path: a.options.FullchainPath, Format: PEM{Leaf: true, Chain: true}},
	}
	slots = slices.DeleteFunc(slots, func(s Slot) bool { return s.Path == "" })
	return append(slots, a.options.Encryption.slots()...)
}

// Pair implements PairTarget.
func (a *Apache) Pair() PairFiles { return a.options.Encryption }

// WithPair implements PairTarget.
func (a *Apache) WithPair(p Pair) Target {
	options := a.options
	options.Encryption = options.Encryption.with(p)
	return &Apache{options}
}

// Test implements Target with "-t", and a dry start where one is asked for.
func (a *Apache) Test(ctx context.Context, machine transport.Transport) (bool, error) {
	_, err := a.run(ctx, machine, "-t")
	if err == nil && a.options.DryStart {
		err = a.rehearse(ctx, machine)
	}
	return true, err
}

// Reload implements Target: gracefully, and on Windows by the restart that a
// service has for it.
func (a *Apache) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	how := "graceful"
	if a.options.Service != "" {
		how = "restart"
	}
	_, err := a.run(ctx, machine, "-k", how)
	return true, err
}

// Server implements Grouped.
func (a *Apache) Server() string {
	return identity("apache", a.options.Binary, a.options.ConfigPath, a.options.ServerRoot, a.options.Service)
}

// Start implements Starter.
func (a *Apache) Start(ctx context.Context, machine transport.Transport) error {
	_, err := a.run(ctx, machine, "-k", "start")
	return err
}

// Alive implements Starter: by the process whose number is in the pid file, or
// by what Windows says of the service.
func (a *Apache) Alive(ctx context.Context, machine transport.Transport) (bool, error) {
	if a.options.Service != "" {
		return serviceRuns(ctx, machine, a.options.Service)
	}
	dump, err := a.run(ctx, machine, "-t", "-D", "DUMP_RUN_CFG")
	if err != nil {
		return false, fmt.Errorf("ask apache for its pid file: %w", err)
	}
	file := quotedAfter(dump, "PidFile:")
	if !absolute(file) {
		file = below(cmp.Or(quotedAfter(dump, "ServerRoot:"), a.options.ServerRoot), file)
	}
	return running(ctx, machine, file, "apache", "httpd")
}

func (a *Apache) run(ctx context.Context, machine transport.Transport, arguments ...string) (string, error) {
	program := "apachectl"
	if a.options.Service != "" {
		program = "httpd"
		if a.options.ServerRoot != "" {
			program = below(a.options.ServerRoot, `bin\httpd.exe`)
		}
	}
	argv := []string{cmp.Or(a.options.Binary, program)}
	if a.options.ServerRoot != "" {
		argv = append(argv, "-d", a.options.ServerRoot)
	}
	if a.options.ConfigPath != "" {
		argv = append(argv, "-f", a.options.ConfigPath)
	}
	argv = append(argv, arguments...)
	if a.options.Service != "" {
		argv = append(argv, "-n", a.options.Service)
	}
	return command(ctx, machine, argv)
}

// quotedAfter finds the value in quotes on the line that begins with a word.
func quotedAfter(text, word string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), word); ok {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// running reports whether the process whose number is in a file exists and has
// one of the names in its command line. Asking the server itself would mean a
// signal to whatever process has that number now.
func running(ctx context.Context, machine transport.Transport, pidFile string, names ...string) (bool, error) {
	content, _, err := machine.ReadFile(ctx, pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the pid file: %w", err)
	}
	pid, _, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return false, nil
	}
	if windows(pidFile) {
		return processRuns(ctx, machine, pid, names)
	}
	title, _, err := machine.ReadFile(ctx, "/proc/"+pid+"/cmdline")
	if err == nil {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(string(title), name) }), nil
	}
	// No such process, or a system without /proc.
	out, err := machine.Run(ctx, []string{"kill", "-0", pid}, nil)
	return err == nil && out.ExitCode == 0, err
}
