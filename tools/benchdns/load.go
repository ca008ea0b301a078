package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// writeQuestions writes what dnsperf asks: the zone's names in random order.
func writeQuestions(dir string, size int) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("questions-%d", size))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	random := rand.New(rand.NewPCG(1, uint64(size))) //nolint:gosec // the same questions each time
	for range 300000 {
		fmt.Fprintf(w, "%s TXT\n", nameOf(random.IntN(size)))
	}
	return path, errors.Join(w.Flush(), f.Close())
}

// dnsperf runs it on processor 1 and returns what it prints. rate 0 is as fast
// as the server answers.
func (s *server) dnsperf(ctx context.Context, questions string, seconds, rate int) (string, error) {
	host, port, _ := strings.Cut(s.addr, ":")
	argv := []string{"-c", "1", "dnsperf", "-s", host, "-p", port, "-d", questions, "-l", strconv.Itoa(seconds), "-c", "20", "-T", "1", "-q", "200"}
	if rate > 0 {
		argv = append(argv, "-Q", strconv.Itoa(rate), "-v")
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "taskset", argv...) //nolint:gosec // the arguments are ours
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dnsperf: %w: %s", err, errs.String())
	}
	return out.String(), nil
}

// measure measures queries: as many as there can be, then some in a quiet
// while.
func (s *server) measure(ctx context.Context, questions string, seconds int) (figures, error) {
	f := figures{start: s.took.Seconds()}
	if err := wait(ctx, settle); err != nil {
		return f, err
	}
	if _, err := s.dnsperf(ctx, questions, 1, 0); err != nil { // what is read for the first time
		return f, err
	}
	before, _, err := s.usage()
	if err != nil {
		return f, err
	}
	out, err := s.dnsperf(ctx, questions, seconds, 0)
	if err != nil {
		return f, err
	}
	after, bytes, err := s.usage()
	if err != nil {
		return f, err
	}
	f.qps = number(out, "Queries per second:")
	f.memory = float64(bytes) / 1e6
	if done := number(out, "Queries completed:"); done > 0 {
		f.cpu = float64((after - before).Microseconds()) / done
	}
	f.p50, f.p99, err = s.latency(ctx, questions, seconds)
	return f, err
}

// latency returns percentiles at the quiet rate, in µs.
func (s *server) latency(ctx context.Context, questions string, seconds int) (p50, p99 float64, err error) {
	out, err := s.dnsperf(ctx, questions, seconds, quietRate)
	if err != nil {
		return 0, 0, err
	}
	var all []float64
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "> "); ok {
			fields := strings.Fields(rest)
			if v, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil {
				all = append(all, v*1e6)
			}
		}
	}
	if len(all) == 0 {
		return 0, 0, errors.New("dnsperf shows no latencies")
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], nil
}

// number finds a figure in what dnsperf prints.
func number(out, title string) float64 {
	_, rest, ok := strings.Cut(out, title)
	if !ok {
		return 0
	}
	fields := strings.Fields(rest)
	v, _ := strconv.ParseFloat(fields[0], 64)
	return v
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
