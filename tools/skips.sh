#!/usr/bin/env bash
# Fails when a test was skipped. Reads the output of `go test -json`, one event
# a line; an event of a package without tests is no skipped test.
set -euo pipefail

skipped="$(grep '"Action":"skip"' "$1" | grep '"Test":' |
	sed -E 's/.*"Package":"([^"]*)".*"Test":"([^"]*)".*/  \1 \2/' || true)"
if [[ -n "$skipped" ]]; then
	printf 'skipped tests, which counts as a failure here:\n%s\n' "$skipped" >&2
	printf 'Install what they need (.ci/run does), or remove them.\n' >&2
	exit 1
fi
