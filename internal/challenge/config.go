package challenge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Config is a configured way of validation.
type Config interface {
	// Open prepares the solver; it touches nothing. Who asks DNS calls resolve.
	Open(resolve func() (*Resolver, error), logger *slog.Logger) (Solver, error)
}

// publishing is validation by TXT records, whoever publishes them.
type publishing struct{ publisher Publisher }

func (p publishing) Open(resolve func() (*Resolver, error), logger *slog.Logger) (Solver, error) {
	resolver, err := resolve()
	if err != nil {
		return nil, err
	}
	return &DNSSolver{Publisher: p.publisher, Resolver: resolver, Logger: logger}, nil
}

// listening is validation at an address of this machine.
type listening struct{ kind, address string }

func (l listening) Open(_ func() (*Resolver, error), logger *slog.Logger) (Solver, error) {
	if l.kind == TLSALPN01 {
		return NewTLSSolver(l.address, logger), nil
	}
	return NewHTTPSolver(l.address, logger), nil
}

// writing is validation by files in a folder.
type writing struct{ root string }

func (w writing) Open(func() (*Resolver, error), *slog.Logger) (Solver, error) {
	return NewWebrootSolver(w.root), nil
}

// FromEnvironment is the way of validation when none is configured; nil when the
// environment names none.
func FromEnvironment(getenv func(string) string) (Config, error) {
	var found []string
	var read func(func(string) string) (Config, error)
	for _, way := range []struct {
		variables []string
		read      func(func(string) string) (Config, error)
	}{
		{[]string{EnvResponderURL}, responderFromEnvironment},
		{[]string{EnvUpdateServer}, updateFromEnvironment},
		{[]string{EnvHTTPListen, EnvHTTPWebroot}, httpFromEnvironment},
		{[]string{EnvTLSListen}, tlsFromEnvironment},
	} {
		for _, variable := range way.variables {
			if getenv(variable) != "" {
				found, read = append(found, variable), way.read
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return read(getenv)
	}
	return nil, fmt.Errorf("the environment has several ways of validation, %s: unset all but one, or choose with validation in the provider's configuration", strings.Join(found, " and "))
}

// checkListen refuses what is no address to listen at.
func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address to listen at; write one like :80 or 192.0.2.1:80", address)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("%q has the port %q; write a number from 1 to 65535", address, port)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return fmt.Errorf("%q has the host %q; write an IP address of this machine, or nothing for all of them", address, host)
	}
	return nil
}

var errListenOrWebroot = errors.New("set exactly one of listen and webroot")
