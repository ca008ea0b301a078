#!/usr/bin/env bash
# Renews an OV certificate over simulated days, letter included; see main.tf.
set -euo pipefail
# shellcheck source=examples/story.sh
source "$(dirname "${BASH_SOURCE[0]}")/../story.sh"

initialize

say 'Monday or any other day: terraform apply pays and returns'
apply
expect status awaiting_document
printf 'expected by  %s\n' "$(output expected_by)"
say 'What was charged'
charged

say 'The letter to print, sign and stamp'
output letter | base64 -d >letter.docx
printf 'letter.docx, %d bytes\n' "$(wc -c <letter.docx)"
say 'Nobody has stamped it yet'
nothing_to_do

# What the scanner makes of it; the lab reads no further than the beginning.
{ printf '%%PDF-1.4\n' && head -c 2000 /dev/zero; } >letter.pdf
export TF_VAR_stamped_letter=$work/letter.pdf

say 'The scan is there: terraform apply uploads it'
apply
expect status organization_review

day=0
while [[ "$(output status)" != issued && $day -lt 12 ]]; do
	day=$((day + 1))
	later 24h
	say "Day $day: terraform apply, by schedule"
	apply
done
expect status issued
say 'What was charged: once'
charged
nothing_to_do
