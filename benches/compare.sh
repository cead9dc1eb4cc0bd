#!/usr/bin/env bash
# Compares `runner apply` with what people use instead, on the same database, in turns:
#   runner   custom dump, zstd 3, sha256, age, local folder store, committed
#   shell    pg_dump -Fc -Z0 | zstd -3 -T0 | tee >(sha256sum) | age > file
#   classic  pg_dump --format=custom --compress=9, then sha256sum, then cp
#   dump     pg_dump -Fc -Z0 to nowhere: no single connection can be faster
# Beside wall time it shows CPU seconds, of the programs and of the server, which a busy machine disturbs less.
# It starts a throw-away PostgreSQL server of its own, fills it, and removes it whatever happens.
#
# Usage: benches/compare.sh [--runs N] [--size MEGABYTES] [--memory] [--without-runner]
#   --runs N            how often each is run; medians are printed (default 3)
#   --size MEGABYTES    size of the uncompressed dump stream (default 1260)
#   --memory            also measure runner's peak memory at 100 and 2000 MB
#   --without-runner    all but runner, when the program is not built yet
#
# RUNNER   the program (default: target/release/runner)
# PG_BIN   the folder of initdb, postgres, pg_dump … (default: the newest in /usr/lib/postgresql)
# TMPDIR   where the server and the backups go; needs about three times the size (default: /tmp)
set -euo pipefail
cd "$(dirname "$0")/.."

runs=3
size=1260
memory=no
with_runner=yes
while [[ $# -gt 0 ]]; do
  case $1 in
    --runs) runs=$2 && shift 2 ;;
    --size) size=$2 && shift 2 ;;
    --memory) memory=yes && shift ;;
    --without-runner) with_runner=no && shift ;;
    *)
      sed -n 's/^# \{0,1\}//p' "$0" | sed -n '/^Usage/,/^  --without/p' >&2
      exit 64
      ;;
  esac
done
readonly RUNNER=${RUNNER:-$PWD/target/release/runner}

stop() {
  printf 'compare: %s\n' "$*" >&2
  exit 69
}

[[ $with_runner == no || -x $RUNNER ]] || stop "$RUNNER is missing: cargo build --release (or --without-runner)"
for tool in age age-keygen zstd sha256sum python3; do
  command -v "$tool" >/dev/null || stop "$tool is missing: run .ci/setup"
done
if [[ -z ${PG_BIN:-} ]]; then
  PG_BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n1)
fi
[[ -x $PG_BIN/initdb ]] || stop "no PostgreSQL server found: run .ci/setup, or set PG_BIN"
PATH="$PG_BIN:$PATH"

# --- the server

work=$(mktemp -d "${TMPDIR:-/tmp}/runner-compare-XXXXXX")
readonly WORK=$work

# PostgreSQL refuses to run as root.
as_postgres() {
  if [[ $(id -u) -eq 0 ]]; then (cd "$WORK" && runuser -u postgres -- "$@"); else "$@"; fi
}

clean() {
  if [[ -f $WORK/server/postmaster.pid ]]; then
    as_postgres "$PG_BIN/pg_ctl" --pgdata "$WORK/server" --mode immediate stop >/dev/null || true
  fi
  rm -rf "$WORK"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_server() {
  mkdir "$WORK/server" "$WORK/out"
  chmod 755 "$WORK"
  if [[ $(id -u) -eq 0 ]]; then chown postgres "$WORK/server"; fi
  as_postgres "$PG_BIN/initdb" --pgdata "$WORK/server" --username postgres --auth trust --no-sync --encoding UTF8 \
    --no-locale >/dev/null
  # Reachable by its unix socket only. Without durability it is seeded faster; reading is what is compared.
  local options="-c listen_addresses= -c unix_socket_directories=$WORK/server -c fsync=off -c full_page_writes=off"
  options+=" -c shared_buffers=256MB -c max_wal_size=8GB -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off"
  as_postgres "$PG_BIN/pg_ctl" --pgdata "$WORK/server" --log "$WORK/server/log" --wait --options "$options" start >/dev/null ||
    stop "the server did not start: $(tail -n3 "$WORK/server/log")"
  export PGHOST=$WORK/server PGUSER=postgres PGPORT=5432
}

# seed NAME MEGABYTES
seed() {
  printf 'seeding %s MB …\n' "$2"
  createdb "$1"
  PGDATABASE=$1 benches/seed.sh "$2"
}

# --- the contestants; each leaves its output in $WORK/out

# write_pipeline NAME: the pipeline that backs up the database of that name.
write_pipeline() {
  cat >"$WORK/$1.yaml" <<YAML
version: 1
name: $1
connections:
  source: { postgres: { host: $WORK/server, port: 5432, user: postgres, database: $1 } }
stores:
  folder: { local: { path: $WORK/out } }
steps:
  - { id: dump,     uses: dump,     with: { connection: source, format: custom } }
  - { id: compress, uses: compress, with: { codec: zstd, level: 3 } }
  - { id: checksum, uses: checksum, with: { algorithm: sha256 } }
  - { id: encrypt,  uses: encrypt,  with: { age: { recipients_file: $WORK/key.pub } } }
  - { id: upload,   uses: upload,   with: { store: folder, key: "{{ pipeline }}/{{ run.id }}.dump.zst.age" } }
YAML
}

run_runner() {
  "$RUNNER" apply "$WORK/bench.yaml" >"$WORK/runner.log" 2>&1 || {
    cat "$WORK/runner.log" >&2
    stop "runner apply failed"
  }
}

run_shell() {
  pg_dump -Fc -Z0 bench | zstd -q -3 -T0 | tee >(sha256sum >"$WORK/out/shell.sha256") | age -R "$WORK/key.pub" >"$WORK/out/shell.age"
}

run_classic() {
  pg_dump --format=custom --compress=9 --file="$WORK/classic.dump" bench
  (cd "$WORK" && sha256sum classic.dump >out/classic.sha256)
  cp "$WORK/classic.dump" "$WORK/out/"
}

run_dump() {
  pg_dump -Fc -Z0 bench | cat >"$WORK/out/null"
}

# CPU seconds of the server's sessions that have ended: the kernel adds them to the postmaster's account (proc(5), cutime and cstime).
server_cpu() {
  awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) / tick }' "/proc/$(head -n1 "$WORK/server/postmaster.pid")/stat"
}

# measure NAME: one run; adds "wall cpu" in seconds to $WORK/NAME.times and notes the size of what was stored.
measure() {
  rm -rf "$WORK/out" "$WORK/classic.dump"
  mkdir "$WORK/out"
  ln -s /dev/null "$WORK/out/null"
  sync -f "$WORK"
  local before
  before=$(server_cpu)
  TIMEFORMAT='%R %U %S'
  # What the programs say goes to the terminal, what the shell measured to the file.
  { time "run_$1" 2>&3; } 3>&2 2>"$WORK/time"
  # A session's account is closed a moment after its client has gone.
  sleep 0.2
  tail -n1 "$WORK/time" | awk -v server="$(server_cpu)" -v before="$before" '{ printf "%.2f %.2f\n", $1, $2 + $3 + server - before }' \
    >>"$WORK/$1.times"
  tail -n1 "$WORK/$1.times" | awk -v n="$1" '{ printf "  %-8s %6.2f s, CPU %6.2f s\n", n, $1, $2 }'
  find "$WORK/out" -type f -printf '%s\n' | sort -n | tail -n1 >"$WORK/$1.bytes"
}

# --- the numbers

# median NAME COLUMN
median() {
  cut -d' ' -f"$2" "$WORK/$1.times" | sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

row() {
  awk -v n="$1" -v s="$(median "$1" 1)" -v c="$(median "$1" 2)" -v b="$(cat "$WORK/$1.bytes")" -v d="$dump_bytes" \
    'BEGIN { printf "%-8s %9.2f %9.2f %14.0f %10.0f\n", n, s, c, d / s / 1e6, b / 1e6 }'
}

# ratio LABEL A B BOUND: the median wall time of A over that of B.
ratio() {
  awk -v l="$1" -v a="$(median "$2" 1)" -v b="$(median "$3" 1)" -v t="$4" 'BEGIN { printf "ratio %s = %.2f (%s)\n", l, a / b, t }'
}

# peak_memory NAME: the peak memory of runner itself, without pg_dump, as the kernel counted it (VmHWM), in MiB.
peak_memory() {
  rm -rf "$WORK/out"
  mkdir "$WORK/out"
  python3 - "$RUNNER" apply "$WORK/$1.yaml" <<'PYTHON'
import subprocess, sys, time

process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
peak = 0
while process.poll() is None:
    try:
        with open(f"/proc/{process.pid}/status") as status:
            peak = max([peak] + [int(line.split()[1]) for line in status if line.startswith("VmHWM:")])
    except (FileNotFoundError, ProcessLookupError):
        pass
    time.sleep(0.01)
if process.returncode != 0:
    sys.exit(f"runner apply ended with {process.returncode}")
print(f"{peak / 1024:.1f}")
PYTHON
}

start_server
age-keygen -o "$WORK/key.txt" 2>/dev/null
age-keygen -y "$WORK/key.txt" >"$WORK/key.pub"
seed bench "$size"
write_pipeline bench
dump_bytes=$(pg_dump -Fc -Z0 bench | wc -c)

contestants=(shell classic dump)
[[ $with_runner == yes ]] && contestants=(runner shell classic dump)
for ((run = 1; run <= runs; run++)); do
  printf 'run %s of %s\n' "$run" "$runs"
  for contestant in "${contestants[@]}"; do measure "$contestant"; done
done

printf '\n%s runs each, medians; %s cores; dump stream %s bytes; %s\n' "$runs" "$(nproc)" "$dump_bytes" "$(pg_dump --version)"
printf '%-8s %9s %9s %14s %10s\n' "" "wall s" "CPU s" "MB/s of dump" "MB stored"
for contestant in "${contestants[@]}"; do row "$contestant"; done
if [[ $with_runner == yes ]]; then
  ratio "apply/shell" runner shell "must be <= 0.85"
  ratio "classic/apply" classic runner "must be >= 4"
fi

if [[ $memory == yes && $with_runner == yes ]]; then
  printf '\npeak memory of runner itself (must be <= 128 MiB, and flat)\n'
  for megabytes in 100 2000; do
    seed "m$megabytes" "$megabytes" >/dev/null
    write_pipeline "m$megabytes"
    printf '%6s MB  %8s MiB\n' "$megabytes" "$(peak_memory "m$megabytes")"
    dropdb "m$megabytes"
  done
  printf '%6s MB  %8s MiB\n' "$size" "$(peak_memory bench)"
fi
