#!/usr/bin/env bash
# From a fresh clone to a restore point that has been restored, in one command: installs what is missing (Debian
# packages; Rust must be there), builds, makes a key pair, and runs `runner plan` and `runner apply` on
# pipelines/quickstart.yaml. That pipeline starts a PostgreSQL server of its own, so no database is needed and none is touched.
#
# Usage: examples/quickstart.sh
#
# Everything it makes is under target/quickstart. A second run makes a second restore point with the same key.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PIPELINE=pipelines/quickstart.yaml
readonly FOLDER=target/quickstart
readonly RUNNER=target/debug/runner

headline() { printf '\n== %s\n' "$*"; }

headline "1 of 4: what is needed"
.ci/setup --quick
# Where rustup puts cargo; a fresh shell may not know it yet.
[[ -d $HOME/.cargo/bin ]] && PATH="$HOME/.cargo/bin:$PATH"

headline "2 of 4: build (about three minutes the first time)"
quiet=(--quiet)
[[ -t 2 ]] && quiet=()
cargo build --locked --bin runner "${quiet[@]}"
printf 'built %s\n' "$RUNNER"

# The private key opens the backups: it is made for its owner alone, and the backup itself needs only the public one.
mkdir -p "$FOLDER"
if [[ ! -s $FOLDER/age.key ]]; then
  (umask 077 && age-keygen -o "$FOLDER/age.key.new" 2>/dev/null && mv "$FOLDER/age.key.new" "$FOLDER/age.key")
fi
age-keygen -y "$FOLDER/age.key" >"$FOLDER/age.pub"
printf 'key pair %s (private, keep it safe) and %s\n' "$FOLDER/age.key" "$FOLDER/age.pub"

headline "3 of 4: what will be done"
"$RUNNER" plan "$PIPELINE"

headline "4 of 4: doing it"
# Ends with where the restore point is, its level, and the command that restores it without runner.
"$RUNNER" apply "$PIPELINE"
