#!/usr/bin/awk -f
# Turns the output of go test -bench into a table, one figure a row, and sets
# our order of one certificate against lego's. Fails when a benchmark failed.
function row(name, figure, unit) { printf "%-44s %14s %s\n", name, figure, unit }
/^(FAIL|panic:|--- FAIL)/ { failed = 1 }
/^Benchmark/ && NF >= 4 {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) {
		value = $i; unit = $(i + 1)
		if (unit == "ns/op") {
			time[name] = value
			if (value >= 1e6) { value = sprintf("%.1f", value / 1e6); unit = "ms" }
			else { value = sprintf("%.2f", value / 1e3); unit = "us" }
		}
		row(name, value, unit)
	}
	next
}
/^(ok|pkg:|goos:|goarch:|PASS|\?)/ { next }
/^cpu:/ { if (!cpu) { print; cpu = 1 } next }
failed { print }
END {
	one = time["Order/names=1"]
	if (one && time["Order/names=21"]) row("21 names / one name", sprintf("%.2f", time["Order/names=21"] / one), "ratio")
	if (one && time["Peer"]) row("lego Obtain / ours, one name", sprintf("%.0f", time["Peer"] / one), "ratio")
	exit failed
}
