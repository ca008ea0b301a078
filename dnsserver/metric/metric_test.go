package metric_test

import (
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

func TestWriter_writesTheTextFormat(t *testing.T) {
	var w metric.Writer
	w.Family("queries_total", metric.Counter, "Queries,\nof all kinds.")
	w.Sample(3, "zone", "a\"b\\c\nd", "type", "TXT")
	w.Sample(1e9, "zone", "\xff", "type", "A")
	w.Single("up", metric.Gauge, "Whether it is up.", 1)
	w.Family("seconds", metric.Histogram, "How long.")
	w.Distribution([]float64{0.001, 0.01}, []uint64{2, 0, 1}, 0.5, "transport", "udp")
	var got strings.Builder
	if _, err := w.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	want := `# HELP queries_total Queries,\nof all kinds.
# TYPE queries_total counter
queries_total{zone="a\"b\\c\nd",type="TXT"} 3
queries_total{zone="` + "\uFFFD" + `",type="A"} 1e+09
# HELP up Whether it is up.
# TYPE up gauge
up 1
# HELP seconds How long.
# TYPE seconds histogram
seconds_bucket{transport="udp",le="0.001"} 2
seconds_bucket{transport="udp",le="0.01"} 2
seconds_bucket{transport="udp",le="+Inf"} 3
seconds_sum{transport="udp"} 0.5
seconds_count{transport="udp"} 3
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &got, want)
	}
}
