package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// NginxOptions describe an nginx or a server with its command line (OpenResty,
// Tengine).
type NginxOptions struct {
	FullchainPath  string // ssl_certificate
	PrivateKeyPath string // ssl_certificate_key; without both paths they are found by:
	ServerName     string // server_name; default: the name of the proof
	Binary         string // default "nginx", found on the machine's PATH
	ConfigPath     string // -c; default: the one compiled in
	Prefix         string // -p; default: the one compiled in, which Windows has not
	Service        string // the Windows service that runs it; empty for a process of its own

	Encryption PairFiles // ssl_enc_certificate and its key, of Tengine and Tongsuo
}

// Nginx is the target for nginx. Its test is reliable: a pair that does not
// match is refused before the running server hears of it.
type Nginx struct{ options NginxOptions }

var (
	_ FileTarget = (*Nginx)(nil)
	_ Starter    = (*Nginx)(nil)
	_ Grouped    = (*Nginx)(nil)
	_ Finder     = (*Nginx)(nil)
)

// NewNginx checks the options and returns the target.
func NewNginx(options NginxOptions) (*Nginx, error) {
	onWindows := options.Service != "" || anyWindows(options.FullchainPath, options.PrivateKeyPath, options.Binary, options.ConfigPath, options.Prefix)
	if onWindows && !windows(options.Prefix) {
		return nil, fmt.Errorf("%w: on Windows nginx needs its folder as prefix, such as C:\\nginx", ErrPath)
	}
	n := &Nginx{options}
	if n.Open() {
		return n, options.Encryption.checkOpen("nginx")
	}
	if options.FullchainPath == "" || options.PrivateKeyPath == "" {
		return nil, fmt.Errorf("%w: nginx needs the path of the full chain and of the private key, or neither", ErrPath)
	}
	if options.ServerName != "" {
		return nil, fmt.Errorf("%w: server_name is for finding them, and they are set", ErrPath)
	}
	return n, errors.Join(options.Encryption.check("nginx"), checkSlots(n.Slots()))
}

// Name implements Target.
func (*Nginx) Name() string { return "nginx" }

// Slots implements Target.
func (n *Nginx) Slots() []Slot {
	return append([]Slot{
		{Path: n.options.PrivateKeyPath, Format: PEM{Key: true}},
		{Path: n.options.FullchainPath, Format: PEM{Leaf: true, Chain: true}},
	}, n.options.Encryption.slots()...)
}

// Pair implements PairTarget.
func (n *Nginx) Pair() PairFiles { return n.options.Encryption }

// WithPair implements PairTarget.
func (n *Nginx) WithPair(p Pair) Target {
	options := n.options
	options.Encryption = options.Encryption.with(p)
	return &Nginx{options}
}

// Test implements Target with "nginx -t".
func (n *Nginx) Test(ctx context.Context, machine transport.Transport) (bool, error) {
	_, err := n.run(ctx, machine, "-t")
	return true, err
}

// Reload implements Target with "nginx -s reload".
func (n *Nginx) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	_, err := n.run(ctx, machine, "-s", "reload")
	return true, err
}

// Server implements Grouped.
func (n *Nginx) Server() string {
	return identity("nginx", n.options.Binary, n.options.ConfigPath, n.options.Prefix)
}

// Start implements Starter. On Windows nginx stays in the foreground.
func (n *Nginx) Start(ctx context.Context, machine transport.Transport) error {
	switch {
	case n.options.Service != "":
		return startService(ctx, machine, n.options.Service)
	case windows(n.options.Prefix):
		return startProcess(ctx, machine, n.argv(), n.options.Prefix)
	}
	_, err := n.run(ctx, machine)
	return err
}

// Alive implements Starter: by the process whose number is in the pid file.
func (n *Nginx) Alive(ctx context.Context, machine transport.Transport) (bool, error) {
	if n.options.Service != "" {
		return serviceRuns(ctx, machine, n.options.Service)
	}
	file, err := n.pidFile(ctx, machine)
	if err != nil {
		return false, err
	}
	return running(ctx, machine, file, "nginx")
}

// pidFile finds where the running configuration keeps the pid: the directive,
// else what was compiled in, both relative to the prefix.
func (n *Nginx) pidFile(ctx context.Context, machine transport.Transport) (string, error) {
	dump, err := n.run(ctx, machine, "-T")
	if err != nil {
		return "", fmt.Errorf("ask nginx for its pid file: %w", err)
	}
	file := pidDirective(dump)
	prefix := n.options.Prefix
	if absolute(file) || (file != "" && prefix != "") {
		return inPrefix(prefix, file), nil
	}
	build, err := n.run(ctx, machine, "-V")
	if err != nil {
		return "", fmt.Errorf("ask nginx for its pid file: %w", err)
	}
	file = cmp.Or(file, argument(build, "--pid-path="), "logs/nginx.pid")
	return inPrefix(cmp.Or(prefix, argument(build, "--prefix=")), file), nil
}

func inPrefix(prefix, file string) string {
	if absolute(file) {
		return file
	}
	return below(prefix, file)
}

// pidDirective finds the value of "pid" in a configuration dump.
func pidDirective(dump string) string {
	for line := range strings.Lines(dump) {
		line, _, _ = strings.Cut(line, "#")
		for _, statement := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(";{}", r) }) {
			if words := strings.Fields(statement); len(words) == 2 && words[0] == "pid" {
				return strings.Trim(words[1], `"'`)
			}
		}
	}
	return ""
}

// argument finds the value of a build argument in the words of "nginx -V".
func argument(build, name string) string {
	for _, word := range strings.Fields(build) {
		if value, ok := strings.CutPrefix(word, name); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

func (n *Nginx) run(ctx context.Context, machine transport.Transport, arguments ...string) (string, error) {
	return command(ctx, machine, n.argv(arguments...))
}

func (n *Nginx) argv(arguments ...string) []string {
	program := "nginx"
	if windows(n.options.Prefix) {
		program = below(n.options.Prefix, "nginx.exe")
	}
	argv := []string{cmp.Or(n.options.Binary, program)}
	if n.options.Prefix != "" {
		argv = append(argv, "-p", n.options.Prefix)
	}
	if n.options.ConfigPath != "" {
		argv = append(argv, "-c", n.options.ConfigPath)
	}
	return append(argv, arguments...)
}
