#!/bin/sh
# Restores the backups of the pipeline "@PIPELINE@" without `runner`: with a POSIX shell, PostgreSQL's own programs, and the
# public tools that undo what was done to the bytes. Version @VERSION@ of the recovery kit; RESTORE.md beside this file says more.
#
# It reads recipes (<run>.recipe.txt), changes nothing in the store, and restores only into a database that is not there yet.
# Secrets are never arguments: passwords come from libpq's environment, keys from files and keyrings, passphrases from the terminal.
set -eu
umask 077

pipeline='@PIPELINE@'
known_form=1
tab=$(printf '\t')
newline='
'

usage() {
  cat <<'END'
usage: sh restore.sh list
       sh restore.sh check   [--at RUN]
       sh restore.sh restore [--at RUN] --to DATABASE [--identity FILE] [--jobs N] [--globals] [--step STEP]

  list             the restore points there are, newest first
  check            size and SHA-256 of every object of a restore point
  restore          a restore point into a new database

  --at RUN         which restore point; the newest unless given
  --to DATABASE    the database to create; refused if it exists
  --identity FILE  the private key for age (gpg takes its keys from your keyring)
  --jobs N         restore with N connections, where the format can
  --globals        restore roles and tablespaces first
  --step STEP      which dump, where a restore point holds several
  --store PLACE    a folder that holds the store, s3://bucket/prefix (by aws), or rclone:remote:path;
                   unless given, the store that this file lies in

The server is the one that PGHOST, PGPORT, PGUSER and PGPASSWORD or PGPASSFILE name. Scratch files go to TMPDIR.
END
}

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [EXIT CODE]
die() {
  printf 'restore.sh: %s\n' "$1" >&2
  exit "${2:-10}"
}

refuse_usage() {
  printf 'restore.sh: %s\n\n' "$1" >&2
  usage >&2
  exit 64
}

# need PROGRAM DEBIAN-PACKAGE
need() {
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing: install it (Debian: apt-get install $2)" 69
}

options() {
  at='' to='' identity='' jobs=1 globals='' wanted='' store=''
  while [ $# -gt 0 ]; do
    case $1 in
      --at | --to | --identity | --jobs | --step | --store)
        [ $# -ge 2 ] && [ -n "$2" ] || refuse_usage "$1 needs a value"
        option=$1 value=$2
        shift
        ;;
      *) option=$1 value='' ;;
    esac
    case $option in
      --at) at=$value ;;
      --to) to=$value ;;
      --identity) identity=$value ;;
      --jobs) jobs=$value ;;
      --step) wanted=$value ;;
      --store) store=$value ;;
      --globals) globals=yes ;;
      *) refuse_usage "what is $option?" ;;
    esac
    shift
  done
  case $jobs in *[!0-9]* | 0*) refuse_usage "--jobs takes a number from 1 on, not $jobs" ;; esac
}

# --- the store

open_store() {
  case $store in
    s3://*)
      way=aws
      need aws awscli
      ;;
    rclone:*)
      way=rclone
      store=${store#rclone:}
      need rclone rclone
      ;;
    *)
      way=folder
      [ -n "$store" ] || store=$(dirname -- "$0")/../../..
      [ -d "$store/.runner/$pipeline" ] ||
        die "there is no $store/.runner/$pipeline, so no restore point of $pipeline: say with --store where the store is" 66
      store=$(cd -- "$store" && pwd -P)
      ;;
  esac
  store=${store%/}
}

# place KEY: how the tool calls an object.
place() {
  case $store in
    *:) printf '%s%s' "$store" "$1" ;;
    *) printf '%s/%s' "$store" "$1" ;;
  esac
}

# Older versions of aws do not read this variable themselves; its Python must not stumble over names that are not ASCII.
by_aws() {
  PYTHONUTF8=1 PYTHONIOENCODING=UTF-8 aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@" </dev/null
}

# content KEY: the bytes of an object.
content() {
  case $way in
    folder) cat <"$store/$1" ;;
    aws) by_aws s3 cp --only-show-errors "$(place "$1")" - ;;
    rclone) rclone cat "$(place "$1")" </dev/null ;;
  esac
}

# Every file of this pipeline below .runner, relative to its folder there. An empty one in a manifest's place is none: it rules its run out.
listing() {
  case $way in
    folder) (cd -- "$store/.runner/$pipeline" && find . -type f -size +0c) ;;
    aws) by_aws s3 ls --recursive "$(place ".runner/$pipeline/")" >"$work/listed" && sed '/^[-0-9]* *[:0-9]*  *0 /d' "$work/listed" ;;
    rclone) rclone lsf -R --files-only --min-size 1B "$(place ".runner/$pipeline")" </dev/null ;;
  esac
}

# points KIND: the runs that have such a file (manifest.json, recipe.txt) in the folder of their month, newest first.
points() {
  sed -n 's|^\(.*/\)*\([0-9]\{4\}\)-\([0-9][0-9]\)/\(\2\3[0-9][0-9]T[0-9]\{6\}Z-[0-9a-f]\{6\}\)\.'"$1"'$|\4|p' "$work/listing" | LC_ALL=C sort -r
}

look() {
  listing >"$work/listing" || die "the store $store can not be listed" 69
  points 'manifest\.json' >"$work/points"
  points 'recipe\.txt' >"$work/recipes"
  [ -s "$work/points" ] || die "there is no restore point of $pipeline in $store" 66
}

# --- recipes

month_of() { printf '%s\n' "$1" | sed 's/^\(....\)\(..\).*/\1-\2/'; }

# open_point RUN: its recipe, which must be whole, of a known form, and about what the manifest commits.
open_point() {
  run=$1
  grep -qxF -e "$run" "$work/points" || die "$run is no restore point of $pipeline: \`sh restore.sh list\` shows those there are" 66
  grep -qxF -e "$run" "$work/recipes" ||
    die "$run has no recipe, so this kit can not restore it: use runner, or choose another with --at" 66
  beside=.runner/$pipeline/$(month_of "$run")/$run
  content "$beside.recipe.txt" >"$work/recipe" || die "$beside.recipe.txt can not be read" 69
  content "$beside.manifest.json" >"$work/manifest" || die "$beside.manifest.json can not be read" 69
  first=$(sed -n 1p "$work/recipe") last=$(sed -n '$p' "$work/recipe")
  [ "${first%%"$tab"*}" = runner-recipe ] && [ "$last" = end ] || die "$beside.recipe.txt is damaged: it is no whole recipe" 11
  [ "$first" = "runner-recipe$tab$known_form" ] ||
    die "$beside.recipe.txt has form ${first#*"$tab"} and this kit knows $known_form: use the newest kit in $store/.runner/$pipeline" 69
  { grep -qxF -e "pipeline$tab$pipeline" "$work/recipe" && grep -qxF -e "run$tab$run" "$work/recipe"; } ||
    die "$beside.recipe.txt is the recipe of another restore point" 11
}

choose_point() {
  look
  [ -n "$at" ] || at=$(sed -n 1p "$work/points")
  open_point "$at"
}

# steps KIND: the steps whose objects are of this kind.
steps() {
  while IFS=$tab read -r word step kind _; do
    if [ "$word" = artifact ] && [ "$kind" = "$1" ]; then printf '%s\n' "$step"; fi
  done <"$work/recipe"
}

# open_artifact STEP: what the recipe says about one object; the stages to undo go to a file.
open_artifact() {
  format='' plain=0 encoding='' here=''
  : >"$work/stages"
  : >"$work/recipients"
  : >"$work/roles"
  : >"$work/schemas"
  while IFS=$tab read -r word a b c d e f g h; do
    case $here$word in
      artifact | yesartifact)
        here=''
        [ "$a" = "$1" ] || continue
        here=yes kind=$b format=$c database=$d key=$e bytes=$f sha256=$g major=$h
        ;;
      yesplain) plain=$a ;;
      yeslocale) encoding=$a collate=$b ctype=$c provider=$d locale=$e ;;
      yesundo) printf '%s\t%s\n' "$a" "${b:--}" >>"$work/stages" ;;
      yesrecipient) printf '%s\n' "$a" >>"$work/recipients" ;;
      yesrole) printf '%s\n' "$a" >>"$work/roles" ;;
      yesschema) printf '%s\n' "$a" >>"$work/schemas" ;;
      yeselsewhere) here='' ;;
    esac
  done <"$work/recipe"
  [ -n "$format" ] || die "the recipe of $run knows no step $1" 11
  grep -qF -e "\"$sha256\"" "$work/manifest" ||
    die "the recipe of $run is not about what its manifest commits (SHA-256 $sha256): one of the two was changed" 11
}

# --- objects

digest_of() { sha256sum | cut -d ' ' -f 1; }

# intact FILE: whether it has the size and the digest that the recipe tells.
intact() {
  found=$(($(wc -c <"$1")))
  [ "$found" -eq "$bytes" ] || die "$key has $found bytes where $bytes were stored: it was cut short or replaced" 11
  found=$(digest_of <"$1")
  [ "$found" = "$sha256" ] || die "$key does not hold the bytes that were stored: its SHA-256 is $found, not $sha256" 11
}

# fetch: the object of the artifact that is open, checked, as the file `$object`.
fetch() {
  say "checking $key ($bytes bytes, SHA-256 $sha256)"
  if [ "$way" = folder ]; then
    object=$store/$key
    [ -f "$object" ] || die "$key is not in $store" 11
  else
    object=$work/object.$kind
    room "$bytes" "the object"
    content "$key" >"$object" || die "$key can not be read from $store" 69
  fi
  intact "$object"
}

# room BYTES WHAT: refuses to begin what TMPDIR can not hold.
room() {
  free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
  say "needs $1 bytes in ${TMPDIR:-/tmp} for $2"
  [ $(($1 / 1024)) -lt "$free" ] || die "${TMPDIR:-/tmp} has only $free KiB left: set TMPDIR to a folder with room for $2 ($1 bytes)" 69
}

# --- undoing stages

# Before anything begins: every tool that the stages need, and the key.
equip() {
  while IFS=$tab read -r stage with; do
    case $stage in
      age)
        need age age
        [ "$with" = passphrase ] || need_identity
        ;;
      gpg) need gpg gnupg ;;
      zstd | gzip | lz4) need "$stage" "$stage" ;;
      sha256 | sha512) need "${stage}sum" coreutils ;;
      blake3) command -v b3sum >/dev/null 2>&1 || say "b3sum is missing (Debian: b3sum): the BLAKE3 digest inside is not checked" ;;
      *) die "the recipe of $run has a stage $stage that this kit does not know: it was changed, or needs a newer kit" 11 ;;
    esac
  done <"$work/stages"
  [ "$format" != directory-tar ] || need tar tar
}

need_identity() {
  [ -n "$identity" ] || {
    say "$key is encrypted with age to:"
    sed 's/^/  /' "$work/recipients" >&2
    die "give the private key of one of them: --identity FILE" 77
  }
  [ -r "$identity" ] || die "the private key $identity can not be read" 77
}

# with_digest ALGORITHM DIGEST N: passes the bytes on, and fails if they are not those that were digested.
with_digest() {
  if ! command -v "$1" >/dev/null 2>&1; then
    cat
    return
  fi
  mkfifo "$work/bytes.$3" || return
  "$1" <"$work/bytes.$3" >"$work/sum.$3" &
  tee "$work/bytes.$3" || return
  wait "$!" || return
  read -r found _ <"$work/sum.$3" || return
  [ "$found" = "$2" ] || {
    say "$1 is $found where $2 was recorded"
    return 1
  }
}

# undo STAGE WITH N: from stdin to stdout.
undo() {
  case $1 in
    age) if [ "$2" = passphrase ]; then age -d; else age -d -i "$identity"; fi ;;
    gpg) gpg --quiet --decrypt ;;
    zstd) zstd -d -q -c ;;
    gzip) gzip -d -c ;;
    lz4) lz4 -d -q -c ;;
    sha256 | sha512) with_digest "${1}sum" "$2" "$3" ;;
    blake3) with_digest b3sum "$2" "$3" ;;
    *) return 1 ;;
  esac
}

# A pipe hides how its parts ended. So each leaves a mark when it ended well; and because it holds its ends of the pipes until it has
# said how it ended, the first that complains is the cause and not a consequence.
guarded() {
  mark=$1
  shift
  if "$@"; then
    : >"$work/done.$mark"
  else
    # On a full disk this can not be written; the mark is missing all the same.
    printf '%s ended with exit code %s\n' "$2" "$?" >>"$work/failed" || :
  fi
}

# undone N: undoes the stages from the Nth on.
undone() {
  IFS=$tab read -r stage with <<END
$(sed -n "$1p" "$work/stages")
END
  if [ "$1" -ge "$stages" ]; then
    guarded "$1" undo "$stage" "$with" "$1"
  else
    guarded "$1" undo "$stage" "$with" "$1" | undone $(($1 + 1))
  fi
}

# into COMMAND…: the plain bytes of `$object` into a command; everything must end well.
into() {
  stages=$(($(wc -l <"$work/stages")))
  rm -f "$work/failed" "$work"/done.* "$work"/bytes.*
  if [ "$stages" -eq 0 ]; then
    guarded end run "$@" <"$object"
  else
    undone 1 <"$object" | guarded end run "$@"
  fi
  [ ! -s "$work/failed" ] || die "$key could not be restored: $(sed -n 1p "$work/failed"); what it said is above" 11
  n=1
  while [ "$n" -le "$stages" ]; do
    [ -e "$work/done.$n" ] || die "$key could not be restored: stage $n did not end well; what it said is above" 11
    n=$((n + 1))
  done
  [ -e "$work/done.end" ] || die "$key could not be restored: the last program did not end well; what it said is above" 11
}

# The name comes first, for the complaint.
run() { "$@"; }

scratch_file() { cat >"$1"; }

# --- PostgreSQL

# conninfo DATABASE: a name may look like a connection string, so it is never passed bare.
conninfo() {
  printf "dbname='%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"
}

# ask SQL [NAME=VALUE]…: one answer a line, from the database postgres.
ask() { ask_in postgres "$@"; }

# ask_in CONNINFO SQL [NAME=VALUE]…: the same from another database.
ask_in() {
  where=$1 sql=$2
  shift 2
  for value in "$@"; do
    shift
    set -- "$@" -v "$value"
  done
  printf '%s\n' "$sql" | PGCLIENTENCODING=UTF8 psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" -d "$where" -f -
}

reach() {
  need psql postgresql-client
  need pg_restore postgresql-client
  server=$(ask 'show server_version_num') || die "the server can not be reached: set PGHOST, PGPORT, PGUSER and PGPASSWORD" 69
  client=$(pg_restore --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
  [ "$client" -ge "$major" ] || say "note: pg_restore is of PostgreSQL $client and the dump of $major: if it does not understand it, install postgresql-client-$major"
  [ $((server / 10000)) -ge "$major" ] || say "note: the server is PostgreSQL $((server / 10000)) and the dump of $major: it may hold what an older server does not know"
}

refuse_existing() {
  [ "$(($(printf '%s' "$to" | wc -c)))" -le 63 ] || die "the name $to is longer than the 63 bytes that PostgreSQL takes" 64
  case $to in *"$newline"*) die "a name of a database with a line break in it is not taken" 64 ;; esac
  there=$(ask "select 1 from pg_database where datname = :'name'" "name=$to") || die "the server does not answer" 69
  [ -z "$there" ] || die "the database $to exists already: choose another name; nothing was changed" 10
}

# The dump says who owns what, and that is an error where the owner is not there.
tell_missing_roles() {
  ask 'select rolname from pg_roles' >"$work/there" || die "the roles can not be read" 69
  grep -vxF -f "$work/there" "$work/roles" >"$work/missing" || return 0
  say "note: these roles of the source are not on this server; if the dump needs one, the restore will fail:"
  sed 's/^/  /' "$work/missing" >&2
  if [ -n "$(steps globals)" ]; then say "  --globals makes them"; else say "  make them first: createuser --no-login NAME"; fi
}

# create OPTIONS: what psql said is kept, to see why it failed.
create() {
  ask "\\set VERBOSITY verbose${newline}create database :\"name\" template template0 $1" "name=$to" "encoding=$encoding" \
    "collate=$collate" "ctype=$ctype" "locale=$locale" 2>"$work/said"
}

create_database() {
  say "creating the database $to"
  if [ -z "$encoding" ]; then
    collate='' ctype='' locale=''
    create '' || refused_database
  else
    like="encoding :'encoding' lc_collate :'collate' lc_ctype :'ctype'"
    how=''
    [ "$server" -lt 150000 ] || how=' locale_provider libc'
    case $provider in
      i) own=" locale_provider icu icu_locale :'locale'" ;;
      b) own=" locale_provider builtin builtin_locale :'locale'" ;;
      *) own=$how ;;
    esac
    create "$like$own" || create_in_c
  fi
  created=yes
}

# What the server says of a locale or provider that it does not have: syntax (an older server), invalid parameter, wrong object type,
# not supported, undefined object.
create_in_c() {
  grep -qE ': *(42601|22023|42809|0A000|42704):' "$work/said" || refused_database
  sed -n 1p "$work/said" >&2
  say "note: this server does not have the locale $collate of the source, so $to sorts in locale C"
  collate=C ctype=C
  create "$like$how" || refused_database
}

refused_database() {
  cat "$work/said" >&2
  die "the database $to could not be created"
}

# The dump of chosen tables does not make the schemas that they lie in.
create_schemas() {
  while IFS= read -r schema <&3; do
    ask_in "$(conninfo "$to")" 'create schema if not exists :"schema"' "schema=$schema" || die "the schema $schema could not be created"
  done 3<"$work/schemas"
}

# --- restoring

# new_globals ROLES TABLESPACES SCRIPT: what a dump of globals says of roles and tablespaces that are not there yet; the two files name those
# that are. A membership is new where one of its two roles is. Roles are made all or none, so that whoever runs this again finds none
# half made; a tablespace can not be made in a transaction.
new_globals() {
  awk '
    # Takes a pattern off the beginning of `text`, if it is there.
    function takes(pattern) {
      if (!match(text, "^" pattern)) return 0
      text = substr(text, RLENGTH + 1)
      return 1
    }
    # Takes off a name, and answers it without its quotes.
    function name(   found, end) {
      found = text
      if (takes("[^ \"]+")) return substr(found, 1, RLENGTH)
      found = ""
      text = substr(text, 2)
      while ((end = index(text, "\"")) > 0) {
        found = found substr(text, 1, end - 1)
        text = substr(text, end + 1)
        if (!takes("\"")) return found
        found = found "\""
      }
      return found
    }
    function of_role() { return name() in role ? "" : "role" }
    function of_place() { return name() in place ? "" : "place" }
    # What a statement is about: role, place, the session; nothing where it is about what is there.
    function about(statement,   of) {
      text = statement
      if (takes("(CREATE|ALTER|COMMENT ON) ROLE ")) return of_role()
      if (takes("(CREATE|ALTER|COMMENT ON) TABLESPACE ")) return of_place()
      if (takes("SECURITY LABEL FOR ")) {
        name()
        return takes(" ON ROLE ") ? of_role() : takes(" ON TABLESPACE ") ? of_place() : ""
      }
      if (!takes("(GRANT|REVOKE) ")) return "session"
      if (takes("[A-Z, ]+ ON TABLESPACE ")) return of_place()
      if (takes("[A-Z, ]+ ON PARAMETER ")) {
        name()
        return takes(" (TO|FROM) PUBLIC$") || !takes(" (TO|FROM) ") ? "" : of_role()
      }
      of = of_role()
      takes(" TO ")
      return of == "" ? of_role() : of
    }
    function tell(statement,   what) {
      sub(/^[ \n]+/, "", statement)
      what = about(statement)
      if (what == "role" && !begun) { print "begin;"; begun = 1 }
      if (what == "place" && begun) { print "commit;"; begun = 0 }
      if (what != "") print statement ";"
    }
    FNR == 1 { file++ }
    file == 1 { role[$0]; next }
    file == 2 { place[$0]; next }
    # A line that is for psql itself.
    quote == "" && held ~ /^[ \n]*$/ && /^\\/ { print; next }
    {
      rest = $0
      while (match(rest, quote == "" ? "[\"\047;]|--" : quote)) {
        found = substr(rest, RSTART, RLENGTH)
        if (found == "--") {
          rest = substr(rest, 1, RSTART - 1)
          break
        }
        held = held substr(rest, 1, RSTART - (found == ";"))
        rest = substr(rest, RSTART + 1)
        if (found == ";") {
          tell(held)
          held = ""
        } else quote = quote == "" ? found : ""
      }
      held = held rest "\n"
    }
    END {
      if (begun) print "commit;"
      if (quote != "" || held !~ /^[ \n]*$/) exit 1
    }
  ' "$1" "$2" "$3"
}

restore_globals() {
  step=$(steps globals | sed -n 1p)
  [ -n "$step" ] || die "$run holds no globals in this store: leave out --globals" 66
  open_artifact "$step"
  equip
  fetch
  say "restoring roles and tablespaces"
  into scratch_file "$work/globals.sql"
  # A name with a line break can not be told from two; the server refuses to make it again.
  { ask "select rolname from pg_roles where rolname !~ E'\\n'" >"$work/there" &&
    ask "select spcname from pg_tablespace where spcname !~ E'\\n'" >"$work/places"; } || die "the roles can not be read" 69
  new_globals "$work/there" "$work/places" "$work/globals.sql" >"$work/new.sql" || die "$key is no whole script" 11
  say "left as they are: roles and tablespaces that exist, with their passwords, settings and rights"
  psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d postgres -f "$work/new.sql" ||
    die "roles and tablespaces could not be restored; mend what psql complains of and run this again"
}

load() {
  target=$(conninfo "$to")
  set -- pg_restore --exit-on-error --no-tablespaces -d "$target"
  case $format in
    plain) into psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d "$target" -f - ;;
    tar) into "$@" --format=t ;;
    custom)
      if [ "$jobs" -eq 1 ]; then
        into "$@" --format=c
      else
        room "$plain" "the plain archive"
        into scratch_file "$work/archive"
        "$@" --jobs="$jobs" "$work/archive" || die "pg_restore failed; what it said is above"
      fi
      ;;
    directory-tar)
      room "$plain" "the folder of the archive"
      mkdir "$work/archive"
      into tar -x -f - -C "$work/archive"
      "$@" --format=d --jobs="$jobs" "$work/archive" || die "pg_restore failed; what it said is above"
      ;;
    *) die "the recipe of $run has the format $format, which this kit does not know" 11 ;;
  esac
}

choose_dump() {
  dumps=$(steps dump)
  [ -n "$dumps" ] || die "$run holds no dump in this store: its recipe says where else its objects are" 66
  [ -n "$wanted" ] || case $dumps in *"$newline"*)
    say "$run holds several dumps, by the steps:"
    printf '%s\n' "$dumps" | sed 's/^/  /' >&2
    die "choose one with --step" 64
    ;;
  esac
  printf '%s\n' "$dumps" | grep -qxF -e "${wanted:-$dumps}" || die "$run holds no dump of a step $wanted; its dumps: $dumps" 66
  dump=${wanted:-$dumps}
}

command_restore() {
  [ -n "$to" ] || refuse_usage "say with --to which database to create"
  choose_point
  choose_dump
  open_artifact "$dump"
  say "restoring $run: database $database of PostgreSQL $major, $format format, into $to"
  equip
  reach
  refuse_existing
  fetch
  if [ -n "$globals" ]; then
    dump_object=$object
    restore_globals
    open_artifact "$dump"
    object=$dump_object
  fi
  tell_missing_roles
  create_database
  create_schemas
  say "loading it; this takes as long as it takes"
  load
  created=''
  printf 'restored %s into %s\n' "$run" "$to"
  say "next: analyze it (vacuumdb --analyze-only), look at it, and only then point anybody at it"
}

command_check() {
  choose_point
  while IFS=$tab read -r word step _; do
    [ "$word" = artifact ] || continue
    open_artifact "$step"
    if [ "$way" = folder ]; then
      fetch
    else
      say "checking $key ($bytes bytes, SHA-256 $sha256)"
      found=$( (content "$key" || : >"$work/unread") | digest_of)
      [ ! -e "$work/unread" ] || die "$key can not be read from $store" 69
      [ "$found" = "$sha256" ] || die "$key does not hold the bytes that were stored: its SHA-256 is $found, not $sha256" 11
    fi
    printf 'OK %s\n' "$key"
  done <"$work/recipe"
  while IFS=$tab read -r word step name key; do
    [ "$word" != elsewhere ] || say "not here but in the store $name: $key (step $step)"
  done <"$work/recipe"
}

command_list() {
  look
  while read -r run <&3; do
    printf '%s\n' "$run"
    if ! grep -qxF -e "$run" "$work/recipes"; then
      printf '  no recipe: only runner can restore it\n'
      continue
    fi
    content ".runner/$pipeline/$(month_of "$run")/$run.recipe.txt" >"$work/recipe" || die "the recipe of $run can not be read" 69
    while IFS=$tab read -r word step kind format database key bytes _; do
      [ "$word" != artifact ] || printf '  %s: %s of %s, %s, %s bytes, %s\n' "$step" "$kind" "$database" "$format" "$bytes" "$key"
    done <"$work/recipe"
  done 3<"$work/points"
}

# --- beginning and end

leave() {
  code=$?
  trap '' HUP INT TERM
  set +e
  if [ -n "$created" ]; then
    if ask 'drop database :"name" with (force)' "name=$to"; then
      say "the half-made database $to was dropped"
    else
      say "the half-made database $to is still there: drop it before you try again"
    fi
  fi
  rm -rf "$work"
  exit "$code"
}

main() {
  command=${1:-help}
  [ $# -eq 0 ] || shift
  case $command in
    list | check | restore) options "$@" ;;
    help | -h | --help)
      usage
      exit 0
      ;;
    *) refuse_usage "what is $command?" ;;
  esac
  created=''
  need sha256sum coreutils
  open_store
  work=$(mktemp -d "${TMPDIR:-/tmp}/restore.XXXXXX") || die "no folder can be made in ${TMPDIR:-/tmp}: set TMPDIR" 69
  trap leave EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  "command_$command"
}

main "$@"
