package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// result is what the rounds saw of one server.
type result struct {
	cpu       []float64 // µs a query, at full load
	perSecond []float64 // queries, at full load
	p50, p99  []float64 // µs, paced
	memory    float64   // MB, when all queries are done
	start     float64   // s
	sent      int       // queries
	lost      int       // of them

	updates     []float64 // acknowledged a second, by all clients
	updateP50   []float64 // µs until the acknowledgement
	visible     []float64 // µs, by one client
	acmeDNS     []float64 // updates a second
	updating    flooded
	registering flooded
}

// flooded is what the rounds saw of queries while there was something else to do.
type flooded struct {
	p99       []float64 // µs
	perSecond []float64 // how many of the others there were
}

// measure runs all rounds.
func (b *bench) measure(ctx context.Context) error {
	for round := range b.rounds {
		for _, s := range b.servers {
			if err := b.ask(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "queries, round %d of %d\n", round+1, b.rounds)
	}
	for _, s := range b.servers {
		bytes, err := memory(s.pids)
		if err != nil {
			return err
		}
		b.results[s.name].memory, b.results[s.name].start = float64(bytes)/1e6, s.start.Seconds()
	}
	for round := range b.rounds {
		for _, s := range b.servers {
			if s.updates {
				if err := b.change(ctx, s, round); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
		fmt.Fprintf(os.Stderr, "updates, round %d of %d\n", round+1, b.rounds)
	}
	return ctx.Err()
}

// ask measures queries.
func (b *bench) ask(ctx context.Context, s *server) error {
	r := b.results[s.name]
	before, err := cpuTime(s.pids)
	if err != nil {
		return err
	}
	full, err := b.perf(ctx, s, true)
	if err != nil {
		return err
	}
	after, err := cpuTime(s.pids)
	if err != nil {
		return err
	}
	idle, err := b.perf(ctx, s, false)
	if err != nil {
		return err
	}
	if wrong := full.wrong + idle.wrong; wrong > 0 {
		b.faults = append(b.faults, fmt.Errorf("%s: %d of %d queries were not answered right", s.name, wrong, full.completed+idle.completed))
	}
	if err := b.spotCheck(s); err != nil {
		return err
	}
	r.sent += full.completed + full.lost + idle.completed + idle.lost
	r.lost += full.lost + idle.lost
	r.cpu = append(r.cpu, micros(after-before)/float64(full.completed))
	r.perSecond = append(r.perSecond, full.perSecond)
	r.p50, r.p99 = append(r.p50, idle.p50), append(r.p99, idle.p99)
	return nil
}

// spotCheck looks at some of the records.
func (b *bench) spotCheck(s *server) error {
	if s.echo {
		return nil
	}
	for i := range 100 {
		name := owner(i * (b.names - 1) / 99)
		reply, err := s.ask(name, uint16(i), 5*time.Second)
		if err == nil {
			err = checkTXT(reply, uint16(i), name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// change measures updates.
func (b *bench) change(ctx context.Context, s *server, round int) error {
	r := b.results[s.name]
	d := time.Duration(b.seconds) * time.Second
	many, err := s.update(fmt.Sprintf("u%d", round), updaters, d)
	if err != nil {
		return err
	}
	if many.wrong > 0 {
		b.faults = append(b.faults, fmt.Errorf("%s: %d updates failed: %w", s.name, many.wrong, many.first))
	}
	seen, err := s.visible(fmt.Sprintf("v%d", round), d)
	if err != nil {
		return err
	}
	r.updates, r.updateP50 = append(r.updates, many.perSecond), append(r.updateP50, many.p50)
	r.visible = append(r.visible, median(seen))
	if s.name == ours {
		return b.changeOurs(ctx, s, round)
	}
	return ctx.Err()
}

// How many updates, or registrations, a second are made while queries are timed.
const (
	updateFlood   = 10_000
	registerFlood = 2_000
)

// changeOurs measures what only our server has a target for.
func (b *bench) changeOurs(ctx context.Context, s *server, round int) error {
	r := b.results[s.name]
	if b.accounts == nil {
		var err error
		if b.accounts, err = b.register(updaters); err != nil {
			return err
		}
	}
	rate, err := b.acmeDNS(b.accounts, fmt.Sprintf("a%d", round), time.Duration(b.seconds)*time.Second)
	if err != nil {
		return err
	}
	r.acmeDNS = append(r.acmeDNS, rate)
	err = b.during(ctx, s, &r.updating, func(ctx context.Context) (float64, error) {
		return s.flood(ctx, fmt.Sprintf("f%d", round), updateFlood)
	})
	if err != nil {
		return err
	}
	return b.during(ctx, s, &r.registering, func(ctx context.Context) (float64, error) {
		return b.floodRegister(ctx, round, registerFlood)
	})
}

// during times queries while there is a flood, which lasts until its context ends
// and returns how much of it there was a second.
func (b *bench) during(ctx context.Context, s *server, to *flooded, flood func(context.Context) (float64, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var flooding sync.WaitGroup
	var perSecond float64
	var floodErr error
	flooding.Go(func() { perSecond, floodErr = flood(ctx) })
	queries, err := b.perf(ctx, s, false)
	stop()
	flooding.Wait()
	to.p99, to.perSecond = append(to.p99, queries.p99), append(to.perSecond, perSecond)
	return errors.Join(err, floodErr)
}

// median is that of numbers in any order, 0 without any.
func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return quantile(sorted, 0.5)
}
