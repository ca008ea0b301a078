// Command benchdns compares certificate-dns with Knot, NSD and BIND on this
// machine: each server alone on one processor, dnsperf on another, one after
// the other and again, with the same zones. It prints figures and their ratios
// to the better of Knot and NSD.
//
// It is not a test: it never fails for being slow, and says nothing about other
// machines. Run it with make bench-dns; Debian's packages knot, nsd, bind9 and
// dnsperf are what it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// plan is what is measured.
type plan struct {
	binary  string // certificate-dns
	servers []string
	sizes   []int // names in the zone
	rounds  int
	seconds int
	dir     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	var p plan
	servers := flag.String("servers", "certificate-dns,nsd,knot,bind", "which servers run, in this order")
	sizes := flag.String("sizes", "10000,1000000,1", "names in the zone, one run each")
	flag.StringVar(&p.binary, "certificate-dns", "bin/certificate-dns", "the program to measure")
	flag.IntVar(&p.rounds, "rounds", 3, "how often each server is measured; the median counts")
	flag.IntVar(&p.seconds, "seconds", 5, "how long one measurement takes")
	updates := flag.Bool("updates", true, "measure dynamic updates too")
	flag.Parse()
	p.servers = strings.Split(*servers, ",")
	for _, text := range strings.Split(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil {
			return fmt.Errorf("-sizes: %w", err)
		}
		p.sizes = append(p.sizes, n)
	}
	dir, err := os.MkdirTemp("", "benchdns")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p.dir = dir
	for _, size := range p.sizes {
		if err := p.queries(ctx, size); err != nil {
			return err
		}
	}
	if !*updates {
		return nil
	}
	return p.updates(ctx, slices.Max(p.sizes))
}

// figures are those of one server with one zone; of several rounds each is the
// median.
type figures struct {
	qps, cpu    float64 // queries a second, CPU µs for each
	p50, p99    float64 // µs at a quiet rate
	memory      float64 // MB
	start       float64 // seconds until the first answer
	updates     float64 // a second
	updateP50   float64 // ms
	busyP99     float64 // µs of queries while updates come
	interrupted bool
}

// quietRate is at how many queries a second latency is measured.
const quietRate = 3000

// queries measures every server with a zone of size names.
func (p plan) queries(ctx context.Context, size int) error {
	questions, err := writeQuestions(p.dir, size)
	if err != nil {
		return err
	}
	runs := map[string][]figures{}
	for range p.rounds {
		for _, name := range p.servers {
			s, err := p.launch(ctx, name, size)
			if err != nil {
				return fmt.Errorf("%s with %d names: %w", name, size, err)
			}
			f, err := s.measure(ctx, questions, p.seconds)
			s.stop()
			if err != nil {
				return fmt.Errorf("%s with %d names: %w", name, size, err)
			}
			runs[name] = append(runs[name], f)
		}
	}
	fmt.Printf("\n%d names, TXT, %d rounds of %d s\n", size, p.rounds, p.seconds)
	p.table(runs, []column{
		{"QPS", "%.0f", true, func(f figures) float64 { return f.qps }},
		{"CPU µs/query", "%.2f", false, func(f figures) float64 { return f.cpu }},
		{"p50 µs", "%.0f", false, func(f figures) float64 { return f.p50 }},
		{"p99 µs", "%.0f", false, func(f figures) float64 { return f.p99 }},
		{"memory MB", "%.0f", false, func(f figures) float64 { return f.memory }},
		{"start s", "%.2f", false, func(f figures) float64 { return f.start }},
	})
	return nil
}

// updates measures signed updates by 32 clients, and queries beside them.
func (p plan) updates(ctx context.Context, size int) error {
	questions, err := writeQuestions(p.dir, size)
	if err != nil {
		return err
	}
	runs := map[string][]figures{}
	for range p.rounds {
		for _, name := range p.servers {
			if name == "nsd" {
				continue // it takes none
			}
			s, err := p.launch(ctx, name, size)
			if err != nil {
				return fmt.Errorf("%s with %d names: %w", name, size, err)
			}
			f, err := s.measureUpdates(ctx, questions, p.seconds)
			s.stop()
			if err != nil {
				return fmt.Errorf("updates of %s with %d names: %w", name, size, err)
			}
			runs[name] = append(runs[name], f)
		}
	}
	fmt.Printf("\n%d names, TSIG updates by %d clients, %d rounds of %d s\n", size, updateClients, p.rounds, p.seconds)
	p.table(runs, []column{
		{"updates/s", "%.0f", true, func(f figures) float64 { return f.updates }},
		{"p50 ms", "%.2f", false, func(f figures) float64 { return f.updateP50 }},
		{"query p99 µs idle", "%.0f", false, func(f figures) float64 { return f.p99 }},
		{"query p99 µs busy", "%.0f", false, func(f figures) float64 { return f.busyP99 }},
	})
	return nil
}

// column is one figure of a table.
type column struct {
	title, format string
	more          bool // more is better
	of            func(figures) float64
}

// table prints medians, and the ratio of certificate-dns to the better of Knot
// and NSD.
func (p plan) table(runs map[string][]figures, columns []column) {
	fmt.Printf("%-18s", "")
	for _, c := range columns {
		fmt.Printf("%20s", c.title)
	}
	fmt.Println()
	for _, name := range p.servers {
		if len(runs[name]) == 0 {
			continue
		}
		fmt.Printf("%-18s", name)
		for _, c := range columns {
			fmt.Printf("%20s", fmt.Sprintf(c.format, median(runs[name], c.of)))
		}
		fmt.Println()
	}
	if len(runs["certificate-dns"]) == 0 || len(runs["knot"])+len(runs["nsd"]) == 0 {
		return
	}
	fmt.Printf("%-18s", "ratio")
	for _, c := range columns {
		var best float64
		for _, name := range []string{"knot", "nsd"} {
			if v := median(runs[name], c.of); v > 0 && (best == 0 || (v > best) == c.more) {
				best = v
			}
		}
		if best == 0 {
			fmt.Printf("%20s", "-")
			continue
		}
		fmt.Printf("%20.2f", median(runs["certificate-dns"], c.of)/best)
	}
	fmt.Println()
}

func median(runs []figures, of func(figures) float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	var values []float64
	for _, f := range runs {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// settle is how long a server is left alone after its start.
const settle = 500 * time.Millisecond
