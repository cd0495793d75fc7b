#!/usr/bin/env bash
# Runs the OpenID certification plans against a real `latchkey serve` over TLS, from nothing to the table of results.
#
#   SUITE_JAR=path/to/fapi-test-suite.jar HARNESS=path/to/harness docs/conformance/run.sh [arguments of the runner]
#
# SUITE_JAR  the certification suite, built
# HARNESS    the folder that starts the suite, writes its configurations and runs its plans
# WORK       working folder for certificates, logs, data and results; default: a new one below the system's temporary folder
# MONGODB    a connection string: Latchkey runs on that instead of SQLite
# JAVA_HOME  a JDK of 21 or newer, for the suite
# GROUPS_RUN groups of plans to run; default: oidcc logout matrix static
#
# Ends everything it started and exits with the runner's status. $WORK/results/table.md has the results as docs/conformance.md
# shows them, made again from each run.
set -euo pipefail
: "${SUITE_JAR:?set SUITE_JAR to the suite built as fapi-test-suite.jar}" "${HARNESS:?set HARNESS to the folder of the harness}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
HARNESS=$(cd "$HARNESS" && pwd)
SUITE_JAR=$(cd "$(dirname "$SUITE_JAR")" && pwd)/$(basename "$SUITE_JAR")
WORK=${WORK:-$(mktemp -d -t latchkey-conformance.XXXXXX)}
export SUITE_JAR WORK PYTHONDONTWRITEBYTECODE=1
# release prints the number of a JDK's release, 0 for what is none.
release() { "$1/bin/java" -version 2>&1 | sed -n '1s/[^"]*"\([0-9]*\).*/\1/p' | grep . || echo 0; }
for jdk in "${JAVA_HOME:-/nowhere}" /usr/lib/jvm/*; do
  if [[ $(release "$jdk" 2>/dev/null) -ge 21 ]]; then export JAVA_HOME=$jdk; break; fi
done

(cd "$top" && CGO_ENABLED=0 go build -o "$WORK/latchkey" ./cmd/latchkey)

server=
finish() {
  if [[ -n $server ]]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
  "$HARNESS/suite" down >/dev/null 2>&1 || true
}
trap finish EXIT

"$HARNESS/suite" down >/dev/null 2>&1 || true
"$HARNESS/suite" up
python3 "$HARNESS/gen_configs.py" --out "$WORK/configs" --acr urn:latchkey:acr:password >/dev/null

# The clients of the static plans, in the form that `latchkey apply` reads.
python3 - "$WORK/configs/op-clients.json" >"$WORK/clients.yaml" <<'PY'
import json, sys
known = ("client_id client_secret token_endpoint_auth_method redirect_uris post_logout_redirect_uris backchannel_logout_uri "
         "frontchannel_logout_uri grant_types response_types scope jwks").split()
static = [c for c in json.load(open(sys.argv[1]))["clients"] if c["used_by"] == "oidcc-static.json"]
print(json.dumps({"clients": [{"type": "web", "client_name": c["client_id"], "without_pkce": True,
                               **{k: c[k] for k in known if k in c}} for c in static]}, indent=1))
PY

export LATCHKEY_DATA=$WORK/data LATCHKEY_TLS_CERT_FILE=$WORK/op.crt LATCHKEY_TLS_KEY_FILE=$WORK/op.key SSL_CERT_FILE=$WORK/suite.crt
if [[ -n ${MONGODB:-} ]]; then export LATCHKEY_MONGODB=$MONGODB; fi
latchkey() { "$WORK/latchkey" "$@" --config "$here/latchkey.yaml"; }
rm -rf "$WORK/data"
latchkey apply "$here/people.yaml" >/dev/null
latchkey apply "$WORK/clients.yaml" >/dev/null
"$WORK/latchkey" serve --config "$here/latchkey.yaml" >"$WORK/latchkey.log" 2>&1 &
server=$!
for _ in {1..100}; do
  curl -sk -o /dev/null --connect-timeout 1 --resolve op.localtest:8443:127.0.0.1 https://op.localtest:8443/readyz && break
  kill -0 "$server" 2>/dev/null || { echo "latchkey ended, see $WORK/latchkey.log" >&2; tail -5 "$WORK/latchkey.log" >&2; exit 2; }
  sleep 0.1
done

groups=()
for g in ${GROUPS_RUN:-oidcc logout matrix static}; do groups+=(--group "$g"); done
status=0
python3 "$HARNESS/run_plans.py" --configs "$WORK/configs" --out "$WORK/results" --jobs "${JOBS:-24}" \
  --rotate-cmd "'$WORK/latchkey' keys rotate --config '$here/latchkey.yaml'" "${groups[@]}" "$@" || status=$?

# The table of docs/conformance.md.
if [[ -s $WORK/results/summary.json ]]; then
  python3 - "$WORK/results/summary.json" >"$WORK/results/table.md" <<'PY'
import json, re, sys
columns = "PASSED REVIEW WARNING SKIPPED FAILED".split()
print("| plan | " + " | ".join(c.lower() for c in columns) + " |\n| --- |" + " ---: |" * len(columns))
sums = dict.fromkeys(columns, 0)
for p in json.load(open(sys.argv[1]))["plans"]:
    name, variants = p["plan"].split("[", 1) if "[" in p["plan"] else (p["plan"], "")
    variants = re.findall(r"(\w+)=([^\]]*)", variants)
    short = ", ".join(v for k, v in variants if k != "server_metadata")
    counts = {c: p["results"].get(c, 0) for c in columns}
    for c in columns:
        sums[c] += counts[c]
    print(f"| {name.removesuffix('-certification-test-plan').removesuffix('-test-plan')}{': ' + short if short else ''} | " + " | ".join(str(counts[c]) for c in columns) + " |")
print("| **all** | " + " | ".join(str(sums[c]) for c in columns) + " |")
PY
fi
echo "results and logs: $WORK"
exit $status
