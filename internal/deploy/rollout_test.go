package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fleet reads states from letters: w waiting, r running, d done, f failed. The
// hosts are called a, b, c and so on.
func fleet(letters string) map[string]HostState {
	states := map[string]HostState{}
	for i, letter := range letters {
		states[string(rune('a'+i))] = map[rune]HostState{'w': HostWaiting, 'r': HostRunning, 'd': HostDone, 'f': HostFailed}[letter]
	}
	return states
}

func TestRollout_Next(t *testing.T) {
	for sentence, test := range map[string]struct {
		rollout Rollout
		states  string
		want    string
	}{
		"one is first":             {Rollout{}, "www", "a"},
		"one at a time":            {Rollout{}, "rww", ""},
		"the next after the first": {Rollout{}, "dww", "b"},
		"one that failed ends it":  {Rollout{}, "dfw", ""},
		"all are done":             {Rollout{}, "ddd", ""},
		"no host at all":           {Rollout{}, "", ""},
		"the canary alone, however many may be at work":   {Rollout{MaxParallel: 5}, "wwwwww", "a"},
		"the others wait for the canary":                  {Rollout{MaxParallel: 5}, "rwwwww", ""},
		"the others after the canary":                     {Rollout{MaxParallel: 3}, "dwwwww", "b c d"},
		"as many as are free":                             {Rollout{MaxParallel: 3}, "drrwww", "d"},
		"a canary of several":                             {Rollout{Canary: 2, MaxParallel: 5}, "wwwwww", "a b"},
		"a canary of several, as many as may be at work":  {Rollout{Canary: 3, MaxParallel: 2}, "wwwwww", "a b"},
		"half of the canary is not the canary":            {Rollout{Canary: 2, MaxParallel: 5}, "drwwww", ""},
		"a canary that fails ends it, whatever may fail":  {Rollout{MaxParallel: 5, MaxFailures: 5}, "fwwwww", ""},
		"one of the canary fails while another is done":   {Rollout{Canary: 2, MaxParallel: 5, MaxFailures: 5}, "dfwwww", ""},
		"a canary as large as the fleet":                  {Rollout{Canary: 9, MaxParallel: 9}, "www", "a b c"},
		"a failure within the budget":                     {Rollout{MaxParallel: 2, MaxFailures: 1}, "dfwww", "c d"},
		"the budget is used up":                           {Rollout{MaxParallel: 2, MaxFailures: 1}, "dffww", ""},
		"those at work when the budget is used up":        {Rollout{MaxParallel: 3, MaxFailures: 0}, "dfrww", ""},
		"a run that resumes passes the canary":            {Rollout{MaxParallel: 3}, "ddwdww", "c e f"},
		"a run that resumes a failed canary begins there": {Rollout{MaxParallel: 3}, "wwww", "a"},
		"a host that was added later":                     {Rollout{MaxParallel: 3}, "dddw", "d"},
		"a rollout that cannot be begins nothing":         {Rollout{MaxParallel: -1}, "www", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := strings.Join(test.rollout.Next(fleet(test.states)), " "); got != test.want {
				t.Errorf("next = %q, want %q", got, test.want)
			}
		})
	}
}

// TestRollout_neverTooMany plays random rollouts to their end.
func TestRollout_neverTooMany(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		r := Rollout{Canary: 1 + random.IntN(3), MaxParallel: 1 + random.IntN(4), MaxFailures: random.IntN(3)}
		states := fleet(strings.Repeat("w", 1+random.IntN(9)))
		began := map[string]bool{}
		for {
			for _, host := range r.Next(states) {
				if began[host] {
					t.Fatalf("seed %d: %s begins twice", seed, host)
				}
				began[host], states[host] = true, HostRunning
			}
			var running []string
			failed, done := 0, 0
			for host, state := range states {
				switch state {
				case HostRunning:
					running = append(running, host)
				case HostFailed:
					failed++
				case HostDone:
					done++
				}
			}
			switch {
			case len(running) > r.MaxParallel:
				t.Fatalf("seed %d: %d at a time, want at most %d", seed, len(running), r.MaxParallel)
			case done == 0 && len(running) > r.Canary:
				t.Fatalf("seed %d: %d before the canary of %d is done", seed, len(running), r.Canary)
			case failed > r.MaxFailures+r.MaxParallel:
				t.Fatalf("seed %d: %d failed, want an end after %d", seed, failed, r.MaxFailures)
			}
			if len(running) == 0 {
				if failed == 0 && done != len(states) {
					t.Fatalf("seed %d: ends with %v, and nothing failed", seed, states)
				}
				break
			}
			slices.Sort(running)
			states[running[random.IntN(len(running))]] = []HostState{HostDone, HostDone, HostFailed}[random.IntN(3)]
		}
	}
}

var errBroken = errors.New("the disk is full")

func TestRollout_Run(t *testing.T) {
	for sentence, test := range map[string]struct {
		rollout Rollout
		states  string
		fails   string // hosts
		want    string // states in the end
		begun   string // hosts, in any order
		says    []string
	}{
		"all succeed":                {Rollout{MaxParallel: 3}, "wwww", "", "dddd", "abcd", nil},
		"nothing is left to do":      {Rollout{}, "ddd", "", "ddd", "", nil},
		"the canary fails":           {Rollout{MaxParallel: 3, MaxFailures: 2}, "wwww", "a", "fwww", "a", []string{"a: the disk is full", "not tried, and as before: b, c, d"}},
		"host c of five fails":       {Rollout{}, "wwwww", "c", "ddfww", "abc", []string{"c: the disk is full", "not tried, and as before: d, e"}},
		"one may fail":               {Rollout{MaxFailures: 1}, "wwwww", "c", "ddfdd", "abcde", []string{"c: the disk is full"}},
		"the next apply":             {Rollout{}, "ddwww", "", "ddddd", "cde", nil},
		"the next apply fails again": {Rollout{}, "ddwww", "c", "ddfww", "c", []string{"c: the disk is full", "d, e"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			var mu sync.Mutex
			var begun []string
			var log bytes.Buffer
			results, err := test.rollout.Run(t.Context(), fleet(test.states), func(_ context.Context, host string) (Result, error) {
				mu.Lock()
				defer mu.Unlock()
				begun = append(begun, host)
				if strings.Contains(test.fails, host) {
					return Result{}, errBroken
				}
				return Result{Fingerprint: "of " + host}, nil
			}, slog.New(slog.NewTextHandler(&log, nil)))
			slices.Sort(begun)
			if got := strings.Join(begun, ""); got != test.begun {
				t.Errorf("deployed to %q, want %q", got, test.begun)
			}
			states := map[string]HostState{}
			for host, result := range results {
				states[host] = result.State
				if slices.Contains(begun, host) && result.State == HostDone && result.Result.Fingerprint != "of "+host {
					t.Errorf("the result of %s is %+v", host, result.Result)
				}
			}
			if want := fleet(test.want); !maps.Equal(states, want) {
				t.Errorf("states = %v, want %v", states, want)
			}
			if (err != nil) != (len(test.says) > 0) || err != nil && !errors.Is(err, errBroken) {
				t.Errorf("error = %v", err)
			}
			for _, words := range test.says {
				if err != nil && !strings.Contains(err.Error(), words) {
					t.Errorf("error = %v, want %q in it", err, words)
				}
			}
			for _, host := range begun {
				if !strings.Contains(log.String(), "host="+host) {
					t.Errorf("the log does not tell of %s: %s", host, log.String())
				}
			}
		})
	}
}

func TestRollout_canceledFinishesWhatIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		results, err := Rollout{MaxParallel: 2}.Run(ctx, fleet("wwwww"), func(context.Context, string) (Result, error) {
			<-time.After(time.Second) // a rollback that takes its time
			return Result{}, nil
		}, slog.New(slog.DiscardHandler))
		var missing *FleetError
		if !errors.As(err, &missing) || !errors.Is(err, context.Canceled) {
			t.Fatalf("error = %v, want a FleetError for the end of ctx", err)
		}
		if got := fmt.Sprint(missing.NotTried); got != "[d e]" {
			t.Errorf("not tried %s, want d and e", got)
		}
		if results["c"].State != HostDone || results["e"].State != HostWaiting {
			t.Errorf("results = %v", results)
		}
	})
}

func TestRollout_cannotBe(t *testing.T) {
	if _, err := (Rollout{MaxFailures: -1}).Run(t.Context(), fleet("w"), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("ran with a budget below 0")
	}
}
