#!/usr/bin/env bash
# Takes over a renewal that was paid for in the console; see main.tf.
set -euo pipefail
# shellcheck source=examples/story.sh
source "$(dirname "${BASH_SOURCE[0]}")/../story.sh"

initialize

say 'Today: terraform apply imports the certificate, which ends in 20 days, and buys nothing'
apply
expect status planned
charged
say 'Until somebody pays'
nothing_to_do

say 'Somebody renews it in the console and pays there'
"$CERTIFICATE_LAB" person renew "$TF_VAR_dv_certificate_id"
charged

say 'terraform apply finds the order and shows the CA its record'
apply
expect status issuing

say 'An hour later: terraform apply'
later 1h
apply
expect status issued
expect generation 2
say 'What was charged: by the console, once'
charged
nothing_to_do
