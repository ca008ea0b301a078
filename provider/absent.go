package provider

import (
	"context"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/issuer"
)

var (
	_ custody.Store     = noStore{}
	_ issuer.Solver     = noSolver{}
	_ challenge.Locator = noSolver{}
)

// noStore stands for a storage that is not there, and says why to whoever needs
// one: a plan with nothing due does not.
type noStore struct{ why error }

func (s noStore) Put(context.Context, string, []byte) error          { return s.why }
func (s noStore) Get(context.Context, string) ([]byte, error)        { return nil, s.why }
func (s noStore) Delete(context.Context, string) error               { return s.why }
func (s noStore) List(context.Context, string) ([]string, error)     { return nil, s.why }
func (s noStore) Lock(context.Context, string) (func() error, error) { return nil, s.why }

// noSolver stands for a validation that is not configured.
type noSolver struct{ why error }

func (s noSolver) Type() string { return challenge.DNS01 } // which every CA offers

func (s noSolver) Locate(context.Context, []challenge.Record) ([]challenge.Record, error) {
	return nil, s.why
}
func (s noSolver) Present(context.Context, []challenge.Record) error  { return s.why }
func (s noSolver) Withdraw(context.Context, []challenge.Record) error { return s.why }
