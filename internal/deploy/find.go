package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// What can be wrong with paths that are read from a server's configuration.
var (
	// ErrFind says that the configuration does not tell which files are meant.
	ErrFind = errors.New("the server's configuration does not tell which files are meant")
	// ErrPathsMoved says that it names other files than it did when it was planned.
	ErrPathsMoved = errors.New("the server's configuration names other files than in the plan")
)

// Paths are files found in a server's configuration, by the attribute that would
// have set them.
type Paths map[string]string

// String lists the paths.
func (p Paths) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		all = append(all, name+" = "+p[name])
	}
	return strings.Join(all, ", ")
}

// Finder is a FileTarget whose paths can be left out: they are read from the
// server's own configuration then, for a server name.
type Finder interface {
	FileTarget

	// Open reports whether the paths were left out.
	Open() bool

	// Find reads them on the machine, changing nothing. The name is that of the
	// proof, for a target that has none of its own.
	Find(ctx context.Context, machine transport.Transport, name string) (FileTarget, Paths, error)

	// At returns the target with paths that were found before. It lacks passwords
	// that only the configuration has.
	At(paths Paths) (FileTarget, error)
}

// isOpen reports whether a target's paths are still to be found.
func isOpen(target Target) bool {
	finder, ok := target.(Finder)
	return ok && finder.Open()
}

// Locate returns a target with its paths, which are read from the server's
// configuration where they were left out; paths are nil where they were not.
func Locate(ctx context.Context, machine transport.Transport, target Target, name string) (Target, Paths, error) {
	finder, ok := target.(Finder)
	if !ok || !finder.Open() {
		return target, nil, nil
	}
	found, paths, err := finder.Find(ctx, machine, name)
	if err != nil {
		return nil, nil, fmt.Errorf("read the paths of %s from its configuration: %w", target.Name(), err)
	}
	return found, paths, checkSlots(found.Slots())
}

// LocateInTurn is Locate while no deployment of this process writes to the machine.
func LocateInTurn(ctx context.Context, locks *Locks, host string, machine transport.Transport, target Target, name string) (Target, Paths, error) {
	unlock, err := locks.Lock(ctx, Job{Host: host, Machine: machine}.place())
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	return Locate(ctx, machine, target, name)
}

// Remembered returns a target with the paths that Locate found before.
func Remembered(target Target, paths Paths) (Target, error) {
	finder, ok := target.(Finder)
	if !ok || !finder.Open() || len(paths) == 0 {
		return target, nil
	}
	return finder.At(paths)
}

// locate finds the paths of a job's target. The configuration is asked anew for
// each deployment: it can name other files than it did.
func (j Job) locate(ctx context.Context) (Job, error) {
	target, paths, err := Locate(ctx, j.Machine, j.Target, j.Proof.Endpoint.ServerName)
	if err != nil {
		return j, err
	}
	if paths != nil && len(j.Paths) > 0 && !maps.Equal(paths, j.Paths) {
		return j, fmt.Errorf("%w: %s; in the plan: %s; plan again", ErrPathsMoved, paths, j.Paths)
	}
	j.Target, j.Paths = target, paths
	return j, nil
}

// candidate is a place in a configuration that a name may mean.
type candidate struct {
	names   []string
	paths   Paths
	at      string // file:line
	problem string // why its files cannot be taken
}

func (c candidate) String() string {
	what := c.paths.String()
	if c.problem != "" {
		what = c.problem
	}
	return fmt.Sprintf("%s at %s (%s)", strings.Join(c.names, " "), c.at, what)
}

// choose returns the one candidate that a name means: those that have it as it is
// go before those with a pattern that covers it, and longer patterns before
// shorter ones. Several are no matter where they have the same files.
func choose(all []candidate, name, set string) (candidate, error) {
	if name == "" {
		return candidate{}, fmt.Errorf("%w: there is no server name to look for; set server_name", ErrFind)
	}
	var best []candidate
	most := 0
	for _, c := range all {
		rank := 0
		for _, pattern := range c.names {
			rank = max(rank, covers(pattern, name))
		}
		switch {
		case rank == 0 || rank < most:
		case rank > most:
			best, most = []candidate{c}, rank
		default:
			best = append(best, c)
		}
	}
	switch {
	case len(best) == 0 && len(all) == 0:
		return candidate{}, fmt.Errorf("%w: it has no server with TLS; %s", ErrFind, set)
	case len(best) == 0:
		return candidate{}, fmt.Errorf("%w: no server with TLS has the name %s; there are %s; set server_name to one of them, or %s", ErrFind, name, listed(all), set)
	}
	for _, c := range best {
		if c.problem != "" {
			return candidate{}, fmt.Errorf("%w: %s; %s", ErrFind, c, set)
		}
		if !maps.Equal(c.paths, best[0].paths) {
			return candidate{}, fmt.Errorf("%w: %d servers have the name %s and different files: %s; %s", ErrFind, len(best), name, listed(best), set)
		}
	}
	return best[0], nil
}

// covers ranks how well a name of a configuration fits: 0 is not at all.
func covers(pattern, name string) int {
	const exact = 1 << 20
	pattern, name = strings.ToLower(pattern), strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case pattern == name:
		return exact
	case strings.HasPrefix(pattern, "."): // nginx: the domain and all below
		if name == pattern[1:] || strings.HasSuffix(name, pattern) {
			return len(pattern)
		}
	case strings.ContainsAny(pattern, "*?") && !strings.HasPrefix(pattern, "~"):
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return len(pattern)
		}
	}
	return 0
}

func listed(all []candidate) string {
	var said []string
	for _, c := range all {
		said = append(said, c.String())
	}
	return strings.Join(said, "; ")
}
