package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// Rollout says in which order and how many at a time hosts of a fleet get a
// certificate. The zero value is one host after the other, none may fail.
type Rollout struct {
	Canary      int // hosts that must have succeeded before the others begin; default 1
	MaxParallel int // hosts at a time; default 1
	MaxFailures int // hosts that may fail before no further one begins
}

// HostState is how far one host of a fleet is.
type HostState string

// The states of a host. Only waiting ones are begun.
const (
	HostWaiting HostState = "waiting" // not tried, or to be tried again
	HostRunning HostState = "running"
	HostDone    HostState = "done" // by this run or, when it resumes, by an earlier one
	HostFailed  HostState = "failed"
)

// withDefaults fills what was left out and refuses what cannot be.
func (r Rollout) withDefaults() (Rollout, error) {
	if r.Canary < 0 || r.MaxParallel < 0 || r.MaxFailures < 0 {
		return r, fmt.Errorf("a rollout cannot have a canary of %d, %d at a time and %d failures: none may be below 0", r.Canary, r.MaxParallel, r.MaxFailures)
	}
	r.Canary, r.MaxParallel = cmp.Or(r.Canary, 1), cmp.Or(r.MaxParallel, 1)
	return r, nil
}

// Next names the hosts to begin now, in the order of their names. It depends on
// the states alone: what an earlier run has done counts, so a rollout that was
// stopped goes on with what is left, past the canary if that was good.
//
// While fewer hosts than the canary are done, no more are begun than it takes,
// and a failure ends the rollout. After that as many are at work as may be, until
// more have failed than may fail.
func (r Rollout) Next(states map[string]HostState) []string {
	r, err := r.withDefaults()
	if err != nil {
		return nil
	}
	count := map[HostState]int{}
	for _, state := range states {
		count[state]++
	}
	free := r.MaxParallel - count[HostRunning]
	switch canary := count[HostDone] < min(r.Canary, len(states)); {
	case canary && count[HostFailed] > 0, count[HostFailed] > r.MaxFailures:
		return nil
	case canary:
		free = min(free, r.Canary-count[HostDone]-count[HostRunning])
	}
	var next []string
	for _, host := range slices.Sorted(maps.Keys(states)) {
		if states[host] == HostWaiting && len(next) < free {
			next = append(next, host)
		}
	}
	return next
}

// HostResult is what became of one host.
type HostResult struct {
	State  HostState
	Result Result // when this run deployed to it
	Err    error  // when it failed
}

// FleetError is a rollout that did not reach every host.
type FleetError struct {
	Failed   map[string]error
	NotTried []string // sorted; they have what they had before
	Stopped  error    // why none was begun any more: ctx's error, or nil
}

// Error implements error.
func (f *FleetError) Error() string {
	var said []string
	for _, host := range slices.Sorted(maps.Keys(f.Failed)) {
		said = append(said, fmt.Sprintf("%s: %v", host, f.Failed[host]))
	}
	if f.Stopped != nil {
		said = append(said, fmt.Sprintf("the rollout was ended: %v", f.Stopped))
	}
	if len(f.NotTried) > 0 {
		said = append(said, "not tried, and as before: "+strings.Join(f.NotTried, ", "))
	}
	return strings.Join(said, "; ")
}

// Unwrap returns the errors of the hosts, and that of ctx.
func (f *FleetError) Unwrap() []error {
	problems := slices.Collect(maps.Values(f.Failed))
	if f.Stopped != nil {
		problems = append(problems, f.Stopped)
	}
	return problems
}

// Run deploys to the hosts that wait. Hosts that are done are left alone. Of the
// results there is one for every host, whatever happened; the error is a
// *FleetError. When ctx ends, no further host is begun, and those at work come to
// their own end: each puts its old certificate back.
func (r Rollout) Run(ctx context.Context, states map[string]HostState, deploy func(ctx context.Context, host string) (Result, error), logger *slog.Logger) (map[string]HostResult, error) {
	r, err := r.withDefaults()
	if err != nil {
		return nil, err
	}
	states = maps.Clone(states)
	results := map[string]HostResult{}
	type finished struct {
		host   string
		result Result
		err    error
	}
	done := make(chan finished)
	for running := 0; ; running-- {
		if ctx.Err() == nil {
			for _, host := range r.Next(states) {
				states[host] = HostRunning
				running++
				logger.InfoContext(ctx, "deploying to a host", "host", host)
				go func() {
					result, err := deploy(ctx, host)
					done <- finished{host, result, err}
				}()
			}
		}
		if running == 0 {
			break
		}
		one := <-done
		states[one.host] = HostDone
		if one.err != nil {
			states[one.host] = HostFailed
			logger.WarnContext(ctx, "a host failed", "host", one.host, "error", one.err)
		}
		results[one.host] = HostResult{states[one.host], one.result, one.err}
		logger.InfoContext(ctx, "a host is finished", "host", one.host, "state", states[one.host], "finished", len(results), "hosts", len(states))
	}
	return conclude(ctx, states, results)
}

// conclude completes the results and says what is missing.
func conclude(ctx context.Context, states map[string]HostState, results map[string]HostResult) (map[string]HostResult, error) {
	missing := &FleetError{Failed: map[string]error{}}
	for host, state := range states {
		switch state {
		case HostWaiting:
			missing.NotTried = append(missing.NotTried, host)
		case HostFailed:
			missing.Failed[host] = cmp.Or(results[host].Err, errFailedBefore)
		}
		if _, ok := results[host]; !ok {
			results[host] = HostResult{State: state}
		}
	}
	slices.Sort(missing.NotTried)
	if len(missing.Failed)+len(missing.NotTried) == 0 {
		return results, nil
	}
	if len(missing.NotTried) > 0 {
		missing.Stopped = ctx.Err()
	}
	return results, missing
}

var errFailedBefore = errors.New("it failed in an earlier run and was not tried again")
