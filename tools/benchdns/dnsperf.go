package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// load is what one run of dnsperf saw.
type load struct {
	completed int
	wrong     int // replies other than NOERROR
	lost      int // queries without a reply, for a buffer was full
	perSecond float64
	p50, p99  float64 // µs, where each reply was listed
}

// paced is how many queries a second latency is measured at.
const paced = 3000

// outstanding is how many queries a run at full load keeps under way.
const outstanding = 200

// perf runs dnsperf for some seconds: at full load, or paced with each latency.
func (b *bench) perf(ctx context.Context, s *server, full bool) (load, error) {
	args := []string{"-s", "127.0.0.1", "-p", strconv.Itoa(s.port), "-d", b.queries, "-l", strconv.Itoa(b.seconds), "-t", "2"}
	if full {
		args = append(args, "-q", strconv.Itoa(outstanding))
	} else {
		args = append(args, "-Q", strconv.Itoa(paced), "-v")
	}
	// The list goes to a file: a pipe's reader would take time from both.
	path := filepath.Join(b.dir, "dnsperf.out")
	file, err := os.Create(path)
	if err != nil {
		return load{}, err
	}
	defer func() { _ = file.Close() }() // only read below
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", clientCPU, "dnsperf"}, args...)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(path)
		return load{}, fmt.Errorf("dnsperf: %w\n%s", err, text)
	}
	return readPerf(path)
}

// readPerf reads the output of dnsperf: its statistics, and with -v a line for
// each query, as in "> NOERROR www.example.com TXT 0.000060".
func readPerf(path string) (load, error) {
	file, err := os.Open(path)
	if err != nil {
		return load{}, err
	}
	defer func() { _ = file.Close() }() // only read
	var l load
	var latencies []float64
	noerror, sent := 0, 0
	number := regexp.MustCompile(`[0-9.]+`)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if listed, ok := strings.CutPrefix(line, "> "); ok {
			fields := strings.Fields(listed)
			if seconds, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil && fields[0] == "NOERROR" {
				latencies = append(latencies, seconds*1e6)
			}
			continue
		}
		title, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch first := number.FindString(rest); title {
		case "Queries sent":
			sent, err = strconv.Atoi(first)
		case "Queries completed":
			l.completed, err = strconv.Atoi(first)
		case "Queries per second":
			l.perSecond, err = strconv.ParseFloat(first, 64)
		case "Response codes":
			if _, after, ok := strings.Cut(rest, "NOERROR "); ok {
				noerror, err = strconv.Atoi(number.FindString(after))
			}
		}
		if err != nil {
			return load{}, fmt.Errorf("read what dnsperf says in %q: %w", line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return load{}, err
	}
	if l.completed == 0 {
		return load{}, fmt.Errorf("%w: dnsperf got no reply to %d queries", errAnswer, sent)
	}
	l.wrong, l.lost = l.completed-noerror, sent-l.completed
	slices.Sort(latencies)
	l.p50, l.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	return l, nil
}

// quantile is that of sorted numbers, 0 without any.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
