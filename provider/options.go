package provider

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options are the seams tests use. The zero value is right for everybody else.
type Options struct {
	// Now is the clock; nil for the system's.
	Now func() time.Time
	// Getenv reads the environment; nil for the process's.
	Getenv func(string) string
}

// The environment variables of the provider itself. Issuers, validation methods
// and storages name their own.
const (
	envAgeIdentity = "CERTIFICATE_AGE_IDENTITY"
	envResolvers   = "CERTIFICATE_RESOLVERS"
	// envClockOffset moves the provider's clock, for tests and the lab: by a
	// duration, or by the one in a file that is named after an @.
	envClockOffset = "CERTIFICATE_CLOCK_OFFSET"
	// envNameServerPort is where authoritative name servers listen in the lab.
	envNameServerPort = "CERTIFICATE_NAME_SERVER_PORT"
)

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return o
}

// clock returns the clock to use with CAs at the given URLs. A moved clock is
// refused unless all of them are on this machine: an order placed by a wrong
// clock costs a real CA's patience.
func (o Options) clock(endpoints []string) (now func() time.Time, shifted bool, err error) {
	text := o.Getenv(envClockOffset)
	if text == "" {
		return o.Now, false, nil
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", envClockOffset, err)
		}
		text = strings.TrimSpace(string(content))
	}
	offset, err := time.ParseDuration(text)
	if err != nil {
		return nil, false, fmt.Errorf("%s is %q, want a duration such as 1440h", envClockOffset, text)
	}
	if offset == 0 {
		return o.Now, false, nil
	}
	for _, endpoint := range endpoints {
		if !isLoopback(endpoint) {
			return nil, false, fmt.Errorf("%s moves the clock, which is only allowed when every issuer is on this machine; %s is not: unset the variable", envClockOffset, endpoint)
		}
	}
	if len(endpoints) == 0 {
		return nil, false, errors.New(envClockOffset + " is set and no issuer is known: unset the variable")
	}
	return func() time.Time { return o.Now().Add(offset) }, true, nil
}

func isLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback()
}
