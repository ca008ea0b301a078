// Package metric writes what a program counts in the text format that
// Prometheus reads (version 0.0.4).
//
// It is not a registry: whoever is asked for metrics writes those it has, in
// the order it likes. The official library would bring a registry, protocol
// buffers and a dozen modules for what are these few lines. Its invariant: what
// was written is well-formed, whatever bytes labels hold.
package metric

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ContentType is that of the format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Kinds of families.
const (
	Counter   = "counter"
	Gauge     = "gauge"
	Histogram = "histogram"
)

// Writer gathers families and samples. Its zero value is ready.
type Writer struct {
	buf    bytes.Buffer
	family string
}

// Family begins a family; the samples that follow are of it.
func (w *Writer) Family(name, kind, help string) {
	w.family = name
	fmt.Fprintf(&w.buf, "# HELP %s %s\n# TYPE %s %s\n", name, strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(help), name, kind)
}

// Sample writes a value with pairs of a label's name and value.
func (w *Writer) Sample(value float64, labels ...string) { w.sample("", value, labels) }

// Single writes a family that has one value.
func (w *Writer) Single(name, kind, help string, value float64, labels ...string) {
	w.Family(name, kind, help)
	w.Sample(value, labels...)
}

// Distribution writes the samples of a histogram: counts has one more element
// than bounds, and none of them includes another.
func (w *Writer) Distribution(bounds []float64, counts []uint64, sum float64, labels ...string) {
	total := uint64(0)
	for i, n := range counts {
		total += n
		bound := math.Inf(1)
		if i < len(bounds) {
			bound = bounds[i]
		}
		w.sample("_bucket", float64(total), append(labels[:len(labels):len(labels)], "le", number(bound)))
	}
	w.sample("_sum", sum, labels)
	w.sample("_count", float64(total), labels)
}

func (w *Writer) sample(suffix string, value float64, labels []string) {
	w.buf.WriteString(w.family + suffix)
	for i := 0; i+1 < len(labels); i += 2 {
		w.buf.WriteByte("{,"[min(i, 1)])
		w.buf.WriteString(labels[i] + `="` + escape(labels[i+1]) + `"`)
	}
	if len(labels) > 1 {
		w.buf.WriteByte('}')
	}
	w.buf.WriteString(" " + number(value) + "\n")
}

func escape(value string) string {
	return strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(value, "\uFFFD"))
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// WriteTo writes what was gathered.
func (w *Writer) WriteTo(to io.Writer) (int64, error) { return w.buf.WriteTo(to) }
