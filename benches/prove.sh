#!/usr/bin/env bash
# What the proof costs, on one database, in turns:
#   with      runner apply: custom dump, fingerprint, zstd 3, sha256, age, local folder store, committed
#   without   the same with `fingerprint: false`
#   bare      pg_restore -j2 of the same plain archive into a scratch server tuned as runner tunes its own; nothing else is timed
#   verify    runner's whole verify-restore with `prove: full`: server, fetch, decrypt, unpack, restore, check, compare, receipt
# The settings of the bare server are those that runner gave its own: they are read from the file in which PostgreSQL keeps them.
# It starts throw-away PostgreSQL servers of its own, fills one, and removes them whatever happens.
#
# Usage: benches/prove.sh [--runs N] [--size MEGABYTES] [--only apply|verify]
#   --runs N            how often each is run; medians are printed (default 5)
#   --size MEGABYTES    size of the uncompressed dump stream (default 1260)
#   --only PART         only the first pair, or only the second
#
# RUNNER   the program (default: target/release/runner)
# PG_BIN   the folder of initdb, postgres, pg_dump … (default: the newest in /usr/lib/postgresql)
# TMPDIR   where the servers and the backups go; needs about five times the size (default: /tmp)
set -euo pipefail
cd "$(dirname "$0")/.."

runs=5
size=1260
only=both
while [[ $# -gt 0 ]]; do
  case $1 in
    --runs) runs=$2 && shift 2 ;;
    --size) size=$2 && shift 2 ;;
    --only) only=$2 && shift 2 ;;
    *)
      sed -n 's/^# \{0,1\}//p' "$0" | sed -n '/^Usage/,/^  --only/p' >&2
      exit 64
      ;;
  esac
done
readonly RUNNER=${RUNNER:-$PWD/target/release/runner}

stop() {
  printf 'prove: %s\n' "$*" >&2
  exit 69
}

[[ -x $RUNNER ]] || stop "$RUNNER is missing: cargo build --release"
for tool in age age-keygen zstd python3; do
  command -v "$tool" >/dev/null || stop "$tool is missing: run .ci/setup"
done
if [[ -z ${PG_BIN:-} ]]; then
  PG_BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n1)
fi
[[ -x $PG_BIN/initdb ]] || stop "no PostgreSQL server found: run .ci/setup, or set PG_BIN"
PATH="$PG_BIN:$PATH"
# Runner is to take the very same programs.
export RUNNER_PG_BINDIR=$PG_BIN

# --- the servers

work=$(mktemp -d "${TMPDIR:-/tmp}/runner-prove-XXXXXX")
readonly WORK=$work
export TMPDIR=$WORK/tmp

# PostgreSQL refuses to run as root.
as_postgres() {
  if [[ $(id -u) -eq 0 ]]; then (cd "$WORK" && runuser -u postgres -- "$@"); else "$@"; fi
}

# halt FOLDER: what is in it is about to be removed.
halt() {
  if [[ -f $1/postmaster.pid ]]; then
    as_postgres "$PG_BIN/pg_ctl" --pgdata "$1" --mode immediate stop >/dev/null || true
  fi
}

clean() {
  halt "$WORK/server"
  halt "$WORK/bare"
  rm -rf "$WORK"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# make FOLDER: an empty server, not started.
make() {
  mkdir "$1"
  if [[ $(id -u) -eq 0 ]]; then chown postgres "$1"; fi
  as_postgres "$PG_BIN/initdb" --pgdata "$1" --username postgres --auth trust --no-sync --encoding UTF8 --no-locale >/dev/null
}

# start FOLDER ARGUMENT…
start() {
  local folder=$1 options
  shift
  printf -v options ' %q' "$@"
  as_postgres "$PG_BIN/pg_ctl" --pgdata "$folder" --log "$folder/log" --wait --options "$options" start >/dev/null ||
    stop "the server did not start: $(tail -n3 "$folder/log")"
}

start_source() {
  mkdir "$WORK/out" "$WORK/tmp"
  chmod 755 "$WORK"
  chmod 1777 "$WORK/tmp"
  make "$WORK/server"
  # Reachable by its unix socket only. Without durability it is seeded faster; reading is what is compared.
  start "$WORK/server" -c listen_addresses= -c "unix_socket_directories=$WORK/server" -c fsync=off -c full_page_writes=off \
    -c shared_buffers=256MB -c max_wal_size=8GB -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off
  export PGHOST=$WORK/server PGUSER=postgres PGPORT=5432
}

# --- the contestants

# write_pipeline NAME FINGERPRINT
write_pipeline() {
  cat >"$WORK/$1.yaml" <<YAML
version: 1
name: $1
connections:
  source: { postgres: { host: $WORK/server, port: 5432, user: postgres, database: bench } }
stores:
  folder: { local: { path: $WORK/out/$1 } }
steps:
  - { id: dump,     uses: dump,     with: { connection: source, format: custom, fingerprint: $2 } }
  - { id: compress, uses: compress, with: { codec: zstd, level: 3 } }
  - { id: checksum, uses: checksum, with: { algorithm: sha256 } }
  - { id: encrypt,  uses: encrypt,  with: { age: { recipients_file: $WORK/key.pub } } }
  - { id: upload,   uses: upload,   with: { store: folder, key: "{{ run.id }}.dump.zst.age" } }
YAML
}

runner() {
  "$RUNNER" "$@" --state-dir "$WORK/state" >"$WORK/runner.log" 2>&1 || {
    cat "$WORK/runner.log" >&2
    stop "runner $1 failed"
  }
}

run_with() { rm -rf "$WORK/out/with" && timed runner apply "$WORK/with.yaml"; }

run_without() { rm -rf "$WORK/out/without" && timed runner apply "$WORK/without.yaml"; }

# timed COMMAND…: prints the seconds it took.
timed() {
  TIMEFORMAT='%R'
  # What the program says goes to the terminal, what the shell measured to the answer.
  { time "$@" 2>&3; } 3>&2 2>"$WORK/time"
  tail -n1 "$WORK/time"
}

# The time from the first event of the verification to the last, without what a command does before and after.
run_verify() {
  rm -f "$WORK/events"
  runner verify "$WORK/with.yaml" --identity "$WORK/key.txt" --jobs 2 --prove full --events "$WORK/events"
  grep -q 'level.* proven' "$WORK/runner.log" || stop "it was not proven: $(tail -n5 "$WORK/runner.log")"
  python3 - "$WORK/events" <<'PYTHON'
import json, sys
from datetime import datetime

nodes = [json.loads(line) for line in open(sys.argv[1])]
nodes = [event for event in nodes if event["event"] in ("node-started", "node-ended")]
time = lambda event: datetime.fromisoformat(event["at"].replace("Z", "+00:00")[:26] + "+00:00")
print(f"{(time(nodes[-1]) - time(nodes[0])).total_seconds():.2f}")
for event in nodes:
    if event["event"] == "node-ended":
        took = event["took"]
        print(f"           {event['node']:<14} {took['secs'] + took['nanos'] / 1e9:6.2f} s", file=sys.stderr)
PYTHON
}

run_bare() {
  make "$WORK/bare"
  start "$WORK/bare" "${tuning[@]}" -c "unix_socket_directories=$WORK/bare"
  createdb --host "$WORK/bare" restored
  timed pg_restore --host "$WORK/bare" --exit-on-error --no-tablespaces --jobs 2 --dbname restored "$WORK/archive.dump"
  halt "$WORK/bare"
  rm -rf "$WORK/bare"
}

# The arguments of the scratch server that a verification starts, but for its folder.
learn_tuning() {
  "$RUNNER" verify "$WORK/with.yaml" --identity "$WORK/key.txt" --jobs 2 --prove off --state-dir "$WORK/state" >"$WORK/runner.log" 2>&1 &
  local verifying=$! found=""
  while [[ -z $found ]] && kill -0 "$verifying" 2>/dev/null; do
    found=$(find "$WORK/tmp" -path '*/data/postmaster.opts' -print -quit 2>/dev/null || true)
    if [[ -n $found ]] && ! cp "$found" "$WORK/postmaster.opts" 2>/dev/null; then found=""; fi
    sleep 0.02
  done
  wait "$verifying" || stop "a verification failed: $(tail -n5 "$WORK/runner.log")"
  [[ -n $found ]] || stop "the settings of runner's scratch server were not seen"
  # postmaster.opts (CreateOptsFile of postmaster.c): the program, and each argument in double quotes.
  mapfile -t tuning < <(python3 - "$WORK/postmaster.opts" <<'PYTHON'
import re, sys

arguments = re.findall(r'"((?:[^"\\]|\\.|"(?=[^ \n]))*)"', open(sys.argv[1]).read())
settings = [value for flag, value in zip(arguments, arguments[1:]) if flag == "-c"]
for setting in settings:
    if not setting.startswith(("unix_socket_directories", "port")):
        print("-c", setting, sep="\n")
PYTHON
  )
  [[ ${#tuning[@]} -ge 20 ]] || stop "only ${#tuning[@]} arguments of runner's scratch server were understood"
}

# measure NAME
measure() {
  sync -f "$WORK"
  local seconds
  seconds=$("run_$1")
  printf '%s\n' "$seconds" >>"$WORK/$1.times"
  printf '  %-8s %6.2f s\n' "$1" "$seconds"
}

# --- the numbers

median() {
  sort -n "$WORK/$1.times" | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# ratio A B BOUND
ratio() {
  awk -v n="$1" -v m="$2" -v a="$(median "$1")" -v b="$(median "$2")" -v t="$3" \
    'BEGIN { printf "%s %.2f s, %s %.2f s: ratio %s/%s = %.2f (must be <= %s)\n", n, a, m, b, n, m, a / b, t }'
}

tuning=()
start_source
age-keygen -o "$WORK/key.txt" 2>/dev/null
chmod 600 "$WORK/key.txt"
age-keygen -y "$WORK/key.txt" >"$WORK/key.pub"
printf 'seeding %s MB …\n' "$size"
createdb bench
PGDATABASE=bench benches/seed.sh "$size"
write_pipeline with true
write_pipeline without false
# Also warms up: the first to read the database would be slower.
runner apply "$WORK/with.yaml"
age --decrypt --identity "$WORK/key.txt" "$WORK"/out/with/*.dump.zst.age | zstd --quiet --decompress >"$WORK/archive.dump"
archive_bytes=$(stat --format %s "$WORK/archive.dump")

contestants=(with without verify bare)
case $only in
  apply) contestants=(with without) ;;
  verify) contestants=(verify bare) ;;
esac
if [[ $only != apply ]]; then learn_tuning; fi
for ((run = 1; run <= runs; run++)); do
  printf 'run %s of %s\n' "$run" "$runs"
  for contestant in "${contestants[@]}"; do measure "$contestant"; done
done

printf '\n%s runs each, medians; %s cores; archive %s bytes; %s\n' "$runs" "$(nproc)" "$archive_bytes" "$(pg_dump --version)"
if [[ $only != verify ]]; then ratio with without 1.05; fi
if [[ $only != apply ]]; then ratio verify bare 1.45; fi
