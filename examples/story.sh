# shellcheck shell=bash
# Sourced by the run.sh of examples that run in certificate-lab: what they tell
# their stories with. Outside of a lab, it starts one and the script again in it.

story=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)

if [[ -z "${CERTIFICATE_LAB_URL:-}" ]]; then
	lab=$(command -v certificate-lab || printf '%s' "$story/../../bin/certificate-lab")
	exec "$lab" -commercial-ca -- "$story/run.sh"
fi

terraform=${TF_ACC_TERRAFORM_PATH:-terraform}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$story"/*.tf "$work/"
cd "$work" || exit 1
export TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 TF_CLI_ARGS=-no-color

say() { printf '\n== %s\n' "$*"; }

# quiet runs a command and shows what it printed only when it fails.
quiet() {
	local rc=0
	"$@" >"$work/log" 2>&1 || rc=$?
	((rc)) && cat "$work/log" >&2
	return "$rc"
}

initialize() { quiet "$terraform" init; }

# apply applies and shows where the certificate stands then.
apply() {
	quiet "$terraform" apply -auto-approve "$@"
	"$terraform" output -raw standing
}

# nothing_to_do fails where a plan has something to do.
nothing_to_do() {
	quiet "$terraform" plan -detailed-exitcode && printf 'terraform plan: nothing to do\n'
}

output() { "$terraform" output -raw "$1"; }

# later lets time pass, for the CA and for the provider.
later() { "$CERTIFICATE_LAB" later "$1"; }

# charged shows what the CA took so far.
charged() {
	"$CERTIFICATE_LAB" ledger >"$work/ledger"
	if [[ -s "$work/ledger" ]]; then cat "$work/ledger"; else printf 'nothing was charged\n'; fi
}

# expect NAME VALUE fails where an output is something else.
expect() {
	local got
	got=$(output "$1")
	[[ "$got" == "$2" ]] || { printf '%s is %q, want %q\n' "$1" "$got" "$2" >&2; exit 1; }
}
