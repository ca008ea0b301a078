#!/usr/bin/env bash
# The paid renewal of an SM2 pair in a minute, offline:
#   make build && bin/certificate-lab -commercial-ca -- examples/sm2-nginx/run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${CERTIFICATE_LAB_URL:?run this in a lab: certificate-lab -commercial-ca -- $0}"

terraform=${TF_ACC_TERRAFORM_PATH:-terraform}
lab=${CERTIFICATE_LAB:-$here/../../bin/certificate-lab}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/main.tf" "$work/"
cd "$work"
mkdir tls
export TF_IN_AUTOMATION=1 TF_VAR_folder="$work/tls"
[ -t 1 ] || export TF_CLI_ARGS=-no-color

step() { printf '\n== %s\n' "$*"; }
apply() { "$terraform" apply -input=false -auto-approve; }
stands() { # the status has to be one of these
	local status
	status=$("$terraform" output -raw status)
	case " $* " in *" $status "*) ;; *)
		echo "run.sh: the status is $status, want one of: $*" >&2
		exit 1
		;;
	esac
}

"$terraform" init -input=false >/dev/null

step "terraform apply: buy the renewal with points"
apply
stands awaiting_validation organization_review

step "The CNAME of validation_records is published, by whoever can"
"$lab" person publish-records "$("$terraform" output -raw order_id)"

step "terraform plan: the people at the CA work, there is nothing to do"
"$terraform" apply -input=false -auto-approve -refresh-only >/dev/null
"$terraform" plan -input=false -detailed-exitcode

step "A week passes"
"$lab" later 168h
apply
stands issued

step "The pair goes into place"
export TF_VAR_deploy=true
apply
for half in sign enc; do
	openssl pkey -in "tls/$half.key" -pubout >"$half.of-key"
	openssl x509 -in "tls/$half.pem" -noout -pubkey >"$half.of-certificate"
	cmp "$half.of-key" "$half.of-certificate"
	openssl x509 -in "tls/$half.pem" -noout -subject -enddate -ext keyUsage
done

step "Nearly a year later: identical details, so neither records nor a review"
"$lab" later 8640h # 360 days
apply
stands issuing issued
"$lab" later 2h
apply
stands issued

step "What was charged"
"$lab" ledger

step "terraform plan: No changes"
"$terraform" plan -input=false -detailed-exitcode
