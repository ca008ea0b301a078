#!/usr/bin/env bash
# Renews a paid DV certificate, installs it, and does it again; see main.tf.
set -euo pipefail
# shellcheck source=examples/story.sh
source "$(dirname "${BASH_SOURCE[0]}")/../story.sh"

served() { "$CERTIFICATE_LAB" served "$TF_VAR_web_address" www.dv.test; }

initialize

say 'Today: the certificate in the account ends in 20 days. terraform apply'
apply
expect status issuing
say 'What was charged'
charged
say 'While the CA works'
nothing_to_do

say 'An hour later: terraform apply'
later 1h
apply
expect status issued
say 'What the web server serves'
served
say 'And then'
nothing_to_do

say '175 days later it is due again: terraform apply pays'
later 4200h
apply
expect status issuing
say 'The certificate before stays served meanwhile'
served
say 'An hour later: terraform apply'
later 1h
apply
expect status issued
served
say 'What was charged: once a certificate'
charged
nothing_to_do
