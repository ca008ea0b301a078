package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// HAProxyOptions describe a HAProxy.
type HAProxyOptions struct {
	CombinedPath  string   // crt of a bind line: certificate, chain and key in one file
	ConfigPaths   []string // -f; default /etc/haproxy/haproxy.cfg
	Binary        string   // default "haproxy", found on the machine's PATH
	Socket        string   // the runtime API's admin socket; empty to reload the process
	PIDFile       string   // of the master process, for a reload by signal
	ReloadCommand []string // instead of a signal; default "systemctl reload haproxy"
}

// HAProxy is the target for HAProxy. Its test is reliable. Through the runtime
// API the certificate is exchanged without a reload, so that even idle
// connections stay; socat, which speaks to sockets, has to be on the machine.
type HAProxy struct{ options HAProxyOptions }

var (
	_ FileTarget = (*HAProxy)(nil)
	_ Starter    = (*HAProxy)(nil)
	_ Grouped    = (*HAProxy)(nil)
)

// NewHAProxy checks the options and returns the target.
func NewHAProxy(options HAProxyOptions) (*HAProxy, error) {
	if options.Socket != "" && !absolute(options.Socket) {
		return nil, fmt.Errorf("%w: the socket %q is not absolute", ErrPath, options.Socket)
	}
	h := &HAProxy{options}
	return h, checkSlots(h.Slots())
}

// Name implements Target.
func (*HAProxy) Name() string { return "haproxy" }

// Slots implements Target.
func (h *HAProxy) Slots() []Slot {
	return []Slot{{Path: h.options.CombinedPath, Format: PEM{Leaf: true, Chain: true, Key: true}}}
}

// Test implements Target with "-c".
func (h *HAProxy) Test(ctx context.Context, machine transport.Transport) (bool, error) {
	argv := []string{cmp.Or(h.options.Binary, "haproxy"), "-c"}
	for _, file := range h.configs() {
		argv = append(argv, "-f", file)
	}
	_, err := command(ctx, machine, argv)
	return true, err
}

func (h *HAProxy) configs() []string {
	if len(h.options.ConfigPaths) == 0 {
		return []string{"/etc/haproxy/haproxy.cfg"}
	}
	return h.options.ConfigPaths
}

// Reload implements Target.
func (h *HAProxy) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	switch {
	case h.options.Socket != "":
		return true, h.exchange(ctx, machine)
	case len(h.options.ReloadCommand) > 0:
		return maybe(ctx, machine, h.options.ReloadCommand)
	case h.options.PIDFile != "":
		pid, err := h.pid(ctx, machine)
		if err != nil {
			return false, err
		}
		return maybe(ctx, machine, []string{"kill", "-USR2", pid})
	}
	return maybe(ctx, machine, []string{"systemctl", "reload", "haproxy"})
}

// Server implements Grouped. Through the runtime API each certificate is exchanged
// by itself.
func (h *HAProxy) Server() string {
	if h.options.Socket != "" {
		return ""
	}
	words := append([]string{"haproxy", h.options.Binary, h.options.PIDFile}, h.configs()...)
	return identity(append(words, h.options.ReloadCommand...)...)
}

// exchange hands the new content of the file to the running process: a
// transaction of "set ssl cert" and "commit ssl cert". The key goes to the
// socket on stdin.
func (h *HAProxy) exchange(ctx context.Context, machine transport.Transport) error {
	content, _, err := machine.ReadFile(ctx, h.options.CombinedPath)
	if err != nil {
		return fmt.Errorf("read the new certificate: %w", err)
	}
	// An empty line ends the payload.
	lines := slices.DeleteFunc(bytes.Split(content, []byte("\n")), func(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 })
	file := h.options.CombinedPath
	set := slices.Concat([]byte("set ssl cert "+file+" <<\n"), bytes.Join(lines, []byte("\n")), []byte("\n\n"))
	if err := h.say(ctx, machine, set, "Transaction"); err != nil {
		return err
	}
	err = h.say(ctx, machine, []byte("commit ssl cert "+file+"\n"), "Success")
	if err != nil {
		err = errors.Join(err, h.say(ctx, machine, []byte("abort ssl cert "+file+"\n"), ""))
	}
	return err
}

// say sends one command to the runtime API and wants a word in the answer.
func (h *HAProxy) say(ctx context.Context, machine transport.Transport, text []byte, want string) error {
	argv := []string{"socat", "-t10", "-", "UNIX-CONNECT:" + h.options.Socket}
	out, err := machine.Run(ctx, argv, text)
	if err != nil {
		return err
	}
	out.Text = withoutKeys(out.Text)
	if err := transport.ExitError(argv, out); err != nil {
		return err
	}
	if !strings.Contains(out.Text, want) {
		verb, _, _ := strings.Cut(string(text), "\n")
		return fmt.Errorf("haproxy answers %q to %q", strings.TrimSpace(out.Text), strings.TrimSuffix(verb, " <<"))
	}
	return nil
}

// Alive implements Starter: by the admin socket or the pid file, and without
// both it is taken to run.
func (h *HAProxy) Alive(ctx context.Context, machine transport.Transport) (bool, error) {
	switch {
	case h.options.Socket != "":
		out, err := machine.Run(ctx, []string{"socat", "-t5", "-", "UNIX-CONNECT:" + h.options.Socket}, []byte("show info\n"))
		return err == nil && out.ExitCode == 0 && strings.Contains(out.Text, "Uptime"), err
	case h.options.PIDFile != "":
		return running(ctx, machine, h.options.PIDFile, "haproxy")
	}
	return true, nil
}

// Start implements Starter, as a daemon that a master process watches.
func (h *HAProxy) Start(ctx context.Context, machine transport.Transport) error {
	if len(h.options.ReloadCommand) == 0 && h.options.PIDFile == "" && h.options.Socket == "" {
		_, err := command(ctx, machine, []string{"systemctl", "start", "haproxy"})
		return err
	}
	argv := []string{cmp.Or(h.options.Binary, "haproxy"), "-W", "-D"}
	if h.options.PIDFile != "" {
		argv = append(argv, "-p", h.options.PIDFile)
	}
	for _, file := range h.configs() {
		argv = append(argv, "-f", file)
	}
	_, err := command(ctx, machine, argv)
	return err
}

func (h *HAProxy) pid(ctx context.Context, machine transport.Transport) (string, error) {
	content, _, err := machine.ReadFile(ctx, h.options.PIDFile)
	if err != nil {
		return "", fmt.Errorf("read the pid file: %w", err)
	}
	pid, _, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return "", fmt.Errorf("the pid file %s holds no process number", h.options.PIDFile)
	}
	return pid, nil
}
