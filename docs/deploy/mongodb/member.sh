#!/usr/bin/env bash
# Starts one member of the replica set. mongod wants the key that members know each other by in a file that only its own user can read.
set -euo pipefail
: "${MONGODB_KEY:?is missing; docs/deploy/new-env writes one}"
(umask 077 && printf '%s\n' "$MONGODB_KEY" >/run/mongodb/key)
unset MONGODB_KEY
chown mongodb:mongodb /run/mongodb /run/mongodb/key
exec docker-entrypoint.sh "$@"
