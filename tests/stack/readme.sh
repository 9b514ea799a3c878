#!/usr/bin/env bash
# What README.md tells operators, line by line as it stands there, in a copy of this repository: the functions are built
# and deployed to a local AWS, give a key, and answer the command line. Takes as long as a release build.
#
#   readme.sh TARGET    TARGET: the folder that holds venv-sam-build, venv-ministack and debug/sameroom
set -eu
target=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
export PATH="$target/venv-sam-build/bin:$PATH" SAM_CLI_TELEMETRY=0
# As on a machine where nothing is set up; and none of this machine's credentials are to be used.
unset CARGO_TARGET_DIR AWS_PROFILE AWS_SESSION_TOKEN
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

die() { printf '%s\n' "$*" >&2; exit 1; }

# What was built the last time stays, so that another time is quicker.
copy=$target/sam-build
mkdir -p "$copy"
find "$copy" -mindepth 1 -maxdepth 1 ! -name target ! -name .aws-sam -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C "$copy"
cd "$copy"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
files=$(mktemp -d)
GATEWAY_PORT=$port BIND_HOST=127.0.0.1 LAMBDA_EXECUTOR=local SFTP_ENABLED=0 IOT_MTLS_ENABLED=0 AUTH=true \
    S3_DATA_DIR=$files setpriv --pdeathsig=TERM -- "$target/venv-ministack/bin/ministack" >"$files/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$files"' EXIT
for _ in $(seq 300); do
    curl -sf "$AWS_ENDPOINT_URL/_ministack/health" >/dev/null && break
    sleep 0.2
done

# The commands of README.md, without what is said of them.
mapfile -t lines < <(awk '/^## /{on = /^## On AWS/} on && /^```sh/{in_block = 1; next} /^```/{in_block = 0} on && in_block' README.md |
    sed 's/ *# .*//')
[ "${#lines[@]}" -ge 4 ] || die "README.md has no commands under 'On AWS'"
for line in "${lines[@]}"; do
    printf '$ %s\n' "$line"
    case $line in
        'sam deploy') (yes || true) | timeout 600 sam deploy ;;
        'sam remote invoke '*) said=$(eval "timeout 120 $line") ;;
        *) eval "timeout 3600 $line" ;;
    esac
    # A local AWS runs functions as this machine does.
    case $line in cp*) [ "$(uname -m)" != x86_64 ] || sed -i 's/"Architecture=arm64"/"Architecture=x86_64"/' samconfig.toml ;; esac
done

for function in Inbound Relay ApiFunction; do
    [ -x ".aws-sam/build/$function/bootstrap" ] || die "sam build made no bootstrap of $function"
    printf '%s: %s bytes\n' "$function" "$(stat -c %s ".aws-sam/build/$function/bootstrap")"
done
key=$(printf '%s' "$said" | python3 -c 'import json, sys
text = sys.stdin.read()
print(json.loads(text[text.index("{"):])["token"])')
url=$(sam list stack-outputs --stack-name sameroom --output json | python3 -c 'import json, sys
print(next(o["OutputValue"] for o in json.load(sys.stdin) if o["OutputKey"] == "Url"))')
# Its host leads nowhere here.
host=${url#https://}
here=$AWS_ENDPOINT_URL/_aws/lambda-url/${host%%.*}
curl -sSf --max-time 60 "$here/healthz"
SAMEROOM_KEY=$key "$target/debug/sameroom" --url "$here" rooms add local:one
SAMEROOM_KEY=$key "$target/debug/sameroom" --url "$here" rooms list | grep -q '^one ' || die "the room is not listed"

# `sam delete` does the same on AWS; it does not know the addresses that a local AWS gives to nested templates.
timeout 600 sam deploy --no-confirm-changeset --parameter-overrides DeletionProtection=false
"$target/venv-sam-build/bin/python" - <<'PY'
import time, tomllib
import boto3
region = tomllib.load(open("samconfig.toml", "rb"))["default"]["global"]["parameters"]["region"]
cloud = boto3.client("cloudformation", region_name=region)
cloud.delete_stack(StackName="sameroom")
until = time.time() + 120
while True:
    try:
        state = cloud.describe_stacks(StackName="sameroom")["Stacks"][0]["StackStatus"]
    except cloud.exceptions.ClientError:
        break
    if state == "DELETE_COMPLETE":
        break
    assert state != "DELETE_FAILED" and time.time() < until, state
    time.sleep(0.5)
PY
printf 'deployed, asked and deleted\n'
