package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// rivals are the servers whose better figure ours is compared with.
func rivals() []string { return []string{"NSD", "Knot"} }

// report prints the table, then ours against the targets.
func (b *bench) report(w io.Writer) {
	fmt.Fprintf(w, "\n%d names, medians of %d rounds of %d s; server on processor %s, clients on %s.\n", b.names, b.rounds, b.seconds, serverCPU, clientCPU)
	fmt.Fprintf(w, "%s has its records from signed updates of %d TXT each and was started again; the others read a zone file.\n", ours, perFill)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil { // only to judge the figures by
		average, _, _ := strings.Cut(string(load), " ")
		fmt.Fprintf(w, "load average %s before, %s after; measure on a quiet machine, where the first is near 0.\n", b.load, average)
	}
	for _, missing := range b.missing {
		fmt.Fprintln(w, "left out:", missing)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "server\tCPU µs/query\tqueries/s\tp50 µs\tp99 µs\tmemory MB\tstart s\tupdates/s\tack p50 µs\tvisible p50 µs\t")
	for _, s := range b.servers {
		r := b.results[s.name]
		fmt.Fprintf(t, "%s\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%s\t%s\t%s\t\n", s.name, median(r.cpu), median(r.perSecond), median(r.p50), median(r.p99),
			r.memory, r.start, known("%.0f", r.updates), known("%.0f", r.updateP50), known("%.0f", r.visible))
	}
	_ = t.Flush() // what cannot be printed is not measured
	fmt.Fprintf(w, "\np50 and p99 at %d queries/s; updates/s: %d clients, one TXT each, TSIG over UDP, acknowledged when durable;\nvisible: one client, from sending an update to the first answer with it.\n\n", paced, updaters)
	for _, s := range b.servers {
		if r := b.results[s.name]; r.lost > 0 {
			fmt.Fprintf(w, "%s: %d of %d queries were lost.\n", s.name, r.lost, r.sent)
		}
	}
	b.targets(w)
}

func known(format string, numbers []float64) string {
	if len(numbers) == 0 {
		return "-"
	}
	return fmt.Sprintf(format, median(numbers))
}

// target is one figure that ours shall have.
type target struct {
	what string
	got  float64
	ask  string  // in words
	want float64 // 0: there is nothing to compare with
	most bool    // got must be at most want, else at least
}

// targets prints what is wanted, and what was measured.
func (b *bench) targets(w io.Writer) {
	r := b.results[ours]
	if r == nil {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\tmeasured\twanted\t\t")
	for _, g := range b.goals(r) {
		verdict, limit := "nothing to compare with", "-"
		if g.want > 0 {
			limit = fmt.Sprintf("%.4g", g.want)
			verdict = "reached"
			if g.most && g.got > g.want || !g.most && g.got < g.want {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(t, "%s\t%.4g\t%s = %s\t%s\n", g.what, g.got, g.ask, limit, verdict)
	}
	_ = t.Flush() // as above
}

func (b *bench) goals(r *result) []target {
	goals := []target{
		{"CPU µs/query", median(r.cpu), "≤ 1.0 × the better of NSD and Knot", b.better(func(r *result) float64 { return median(r.cpu) }, true), true},
		{"queries/s", median(r.perSecond), "≥ 1.0 × the better of NSD and Knot", b.better(func(r *result) float64 { return median(r.perSecond) }, false), false},
		{"p99 µs", median(r.p99), "≤ 1.2 × the better of NSD and Knot", 1.2 * b.better(func(r *result) float64 { return median(r.p99) }, true), true},
	}
	for name, echo := range b.results {
		if strings.HasPrefix(name, "C echo") {
			goals = append(goals, target{"queries/s", median(r.perSecond), "≥ 0.65 × the C echo", 0.65 * median(echo.perSecond), false})
		}
	}
	goals = append(goals,
		target{"updates/s", median(r.updates), "≥ 15k at 1M names", 15000, false},
		target{"acme-dns /update/s", median(r.acmeDNS), "≥ 10k", 10000, false},
		target{"visible p50 µs", median(r.visible), "≤ 0.8 ms", 800, true},
	)
	if bind := b.results["BIND"]; bind != nil {
		goals = append(goals, target{"updates/s", median(r.updates), "≥ 2.7 × BIND", 2.7 * median(bind.updates), false})
	}
	during := func(what string, f flooded) target {
		return target{fmt.Sprintf("p99 µs with %.0f %s", median(f.perSecond), what), median(f.p99), "≤ 2.0 × without", 2 * median(r.p99), true}
	}
	return append(goals, during("updates/s", r.updating), during("registrations/s", r.registering), target{"memory MB", r.memory, "≤ 300 MB at 1M names", 300, true})
}

// better is the better of the rivals' figures, 0 where there is none.
func (b *bench) better(figure func(*result) float64, less bool) float64 {
	best := 0.0
	for _, name := range rivals() {
		if r := b.results[name]; r != nil {
			if got := figure(r); best == 0 || less && got < best || !less && got > best {
				best = got
			}
		}
	}
	return best
}
