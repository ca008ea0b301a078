#!/usr/bin/env bash
# The whole product in a minute, offline: issue, deploy, prove, renew, replace.
# Run by make demo, which builds bin/ first.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

if [ -z "${CERTIFICATE_LAB_URL:-}" ]; then
	exec "$root/bin/certificate-lab" -- "$root/tools/demo.sh"
fi

terraform=${TF_ACC_TERRAFORM_PATH:-terraform}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp examples/quickstart/main.tf "$work/"
cd "$work"
export TF_IN_AUTOMATION=1
[ -t 1 ] || export TF_CLI_ARGS=-no-color

step() { printf '\n== %s\n' "$*"; }
served() {
	"$root/bin/certificate-lab" served "$TF_VAR_web_address" www.example.test
}

step "Before: what the web server serves"
served

step "terraform init"
"$terraform" init -input=false >/dev/null
echo "done"

step "terraform apply: order, validate, install, prove"
"$terraform" apply -input=false -auto-approve
first=$("$terraform" output -raw serial_number)

step "What the web server serves now"
served

step "terraform plan: nothing to do"
"$terraform" plan -input=false -detailed-exitcode

step "The CA opens the renewal window (ARI)"
"$root/bin/certificate-lab" open-window "$TF_VAR_fullchain_path"

step "terraform plan says why"
status=0
"$terraform" plan -input=false -detailed-exitcode -out=renewal.plan || status=$?
[ "$status" -eq 2 ] || { echo "demo: the plan should have found a renewal to do (exit status $status)" >&2; exit 1; }

step "terraform apply: renew and replace"
"$terraform" apply -input=false renewal.plan
second=$("$terraform" output -raw serial_number)

step "What the web server serves now"
served
printf '\nfirst serial number:  %s\nsecond serial number: %s\n' "$first" "$second"
[ "$first" != "$second" ] || { echo "demo: the certificate was not renewed" >&2; exit 1; }

step "terraform plan: No changes"
"$terraform" plan -input=false -detailed-exitcode
