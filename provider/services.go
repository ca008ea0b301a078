package provider

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/issuer"
	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// services is the configured provider, shared by all its resources.
type services struct {
	issuers map[string]issuer.Config
	store   custody.Store // a noStore where there is none
	solver  issuer.Solver // a noSolver where there is none
	now     func() time.Time
	shifted bool // the clock was moved for a test
	// incomplete says that a part of the configuration is only known at apply.
	incomplete bool
	logger     *slog.Logger
	// transports are the ways to the hosts of a deployment.
	transports []kind.Kind[transport.Transport, schema.Attribute]

	// locks has deployments to one machine take turns.
	locks deploy.Locks

	mu      sync.Mutex
	opened  map[string]issuer.Issuer
	clocked map[string]bool // issuers whose clock was warned of
}

// issuerName resolves the name a renewal gives: its own, or the only one there
// is.
func (s *services) issuerName(configured types.String) (string, error) {
	names := slices.Sorted(maps.Keys(s.issuers))
	if !configured.IsNull() {
		if _, ok := s.issuers[configured.ValueString()]; !ok {
			return "", fmt.Errorf("the provider has no issuer %q, it has %s", configured.ValueString(), quoted(names))
		}
		return configured.ValueString(), nil
	}
	if len(names) != 1 {
		return "", fmt.Errorf("the provider has the issuers %s: say which one", quoted(names))
	}
	return names[0], nil
}

// issuer opens a configured issuer once for all resources.
func (s *services) issuer(name string) (issuer.Issuer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open, ok := s.opened[name]; ok {
		return open, nil
	}
	config, ok := s.issuers[name]
	if !ok {
		return nil, fmt.Errorf("the provider has no issuer %q", name)
	}
	open, err := config.Open(s.store, s.solver, s.logger)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", name, err)
	}
	s.opened[name] = open
	return open, nil
}

// maxSkew is how far the clocks of this machine and of a CA may be apart without
// a word: renewals are a matter of days.
const maxSkew = 10 * time.Minute

// checkClock warns, once for each issuer, of a clock that is not the CA's: when
// certificates are due is decided by this machine's.
func (s *services) checkClock(name string, open issuer.Issuer, diags *diag.Diagnostics) {
	keeper, ok := open.(issuer.Timekeeper)
	if !ok || s.shifted {
		return
	}
	machine := time.Now()
	ahead, known := keeper.Ahead()
	ours := s.now()
	theirs := machine.Add(ahead)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !known || theirs.Sub(ours).Abs() <= maxSkew || s.clocked[name] {
		return
	}
	s.clocked[name] = true
	const form = "2006-01-02 15:04 MST"
	diags.AddWarning("The clocks of this machine and of the CA differ",
		fmt.Sprintf("It is %s here and %s at issuer %q. Certificates are renewed by the clock of this machine: too early or too late by the difference. Set the clock, for instance by NTP.",
			ours.UTC().Format(form), theirs.UTC().Format(form), name))
}

// Why there is no storage or validation.
var (
	errStoreUnknown  = errors.New("the provider's storage is not known yet: it depends on something that is not applied")
	errSolverUnknown = errors.New("the provider's validation is not known yet: it depends on something that is not applied")
	errNoSolver      = errors.New("the provider's validation is not configured: add validation = { responder = { url = …, token = … } } to it, or rfc2136, http_01 or tls_alpn_01")
)

// ready returns what keeps orders from being placed with an issuer.
func (s *services) ready(name string) error {
	if absent, ok := s.store.(noStore); ok {
		return absent.why
	}
	if absent, ok := s.solver.(noSolver); ok {
		return absent.why
	}
	return s.issuers[name].Ready()
}

// suits returns why a name cannot be validated in the configured way; nil also
// where that is not known.
func (s *services) suits(name string) error {
	if _, absent := s.solver.(noSolver); absent {
		return nil
	}
	return challenge.Suits(s.solver.Type(), name)
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return `"` + strings.Join(names, `", "`) + `"`
}

// hasUnknown reports whether any part of an object is not known yet.
func hasUnknown(object types.Object) bool {
	if object.IsUnknown() {
		return true
	}
	for _, value := range object.Attributes() {
		if nested, ok := value.(types.Object); ok && hasUnknown(nested) || value.IsUnknown() {
			return true
		}
		if list, ok := value.(types.List); ok && slices.ContainsFunc(list.Elements(), attr.Value.IsUnknown) {
			return true
		}
		if all, ok := value.(types.Map); ok && slices.ContainsFunc(slices.Collect(maps.Values(all.Elements())), attr.Value.IsUnknown) {
			return true
		}
	}
	return false
}

func diagError(diags diag.Diagnostics) error {
	var problems []error
	for _, d := range diags.Errors() {
		problems = append(problems, fmt.Errorf("%s: %s", d.Summary(), d.Detail()))
	}
	return errors.Join(problems...)
}

func invalidPort(text string) error {
	return fmt.Errorf("%s is %q, want a port number", envNameServerPort, text)
}
