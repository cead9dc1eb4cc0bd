#!/usr/bin/env bash
# Fills an empty PostgreSQL database with data like a shop's, always the same: events with words (some Hangul), UUIDs
# and jsonb, narrow rows of order lines, and a few of pgbench's accounts. zstd -3 makes about a quarter of it.
#
# Usage: benches/seed.sh MEGABYTES      size of the uncompressed dump stream, about (100 = 100 million bytes)
#
# The database is the one that PGHOST, PGPORT, PGUSER and PGDATABASE name.
set -euo pipefail

if [[ $# -ne 1 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
  printf 'usage: %s MEGABYTES\n' "$0" >&2
  exit 64
fi
readonly MEGABYTES=$1
# Measured, in bytes of dump stream: a unit of pgbench's scale is 9.7 MB, an order line 54, an event 528.
readonly SCALE=$((MEGABYTES * 5 / 970 > 0 ? MEGABYTES * 5 / 970 : 1))
readonly ORDER_LINES=$((MEGABYTES * 300000 / 54))
readonly EVENTS=$((MEGABYTES * 650000 / 528))

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"; }

sql <<'SQL'
create table word (id int primary key, text text not null);
select setseed(0.25) \g /dev/null
insert into word
select i, case when i % 7 = 0
  then (array['주문','배송','결제','고객','반품','창고','서울','부산'])[1 + floor(random() * 8)::int] || i
  else (select string_agg(substr('aeioubcdfghklmnprstvwz', 1 + floor(random() * 22)::int, 1), '')
        from generate_series(1, 3 + (i * 7919) % 8) g where i > 0) end
from generate_series(1, 400) i;

create table event (
  id bigint not null, created_at timestamptz not null, customer int not null, kind text not null,
  amount numeric(12, 2) not null, token uuid not null, body text not null, payload jsonb not null
) partition by range (id);
create table line (
  purchase bigint not null, number int not null, product int not null, quantity int not null, price numeric(10, 2) not null,
  at timestamptz not null
);
SQL

# fill PART FROM TO: each part in a session of its own, so that the rows are in the same order every time.
fill() {
  sql --set part="event_$1" --set from="$2" --set to="$3" --set seed="0.$1" <<'SQL'
set max_parallel_workers_per_gather = 0;
set synchronous_commit = off;
create table :part partition of event for values from (:from) to (:to);
select setseed(:seed) \g /dev/null
with vocabulary as materialized (select array_agg(text order by id) as w from word)
insert into :part
select i, timestamptz '2026-01-01 00:00+00' + make_interval(secs => i * 7.3), floor(random() * 50000),
  (array['order','payment','delivery','return','배송'])[1 + floor(random() * 5)::int], round((random() * 900)::numeric, 2),
  md5(i::text)::uuid, text.body,
  jsonb_build_object('status', 200 + (i % 5) * 100, 'agent', 'Mozilla/5.0 (X11; Linux x86_64)', 'path', '/v2/orders/' || i % 99991,
    'latency_ms', round((random() * 500)::numeric, 3), 'tags', jsonb_build_array(w[1 + i % 400], w[1 + i % 397], '야간'),
    'address', jsonb_build_object('city', w[7 + 7 * (i % 50)::int], 'zip', lpad((i % 63000)::text, 5, '0')))
from vocabulary, generate_series(:from::bigint, :to::bigint - 1) i,
  lateral (select string_agg(w[1 + floor(random() * 400)::int + 0 * g], ' ') as body from generate_series(1, 30) g where i > 0) text;
SQL
}

fill_lines() {
  sql --set lines="$ORDER_LINES" <<'SQL'
set max_parallel_workers_per_gather = 0;
set synchronous_commit = off;
select setseed(0.75) \g /dev/null
insert into line
select i / 3, i % 3, floor(random() * 20000), 1 + floor(random() * 5), round((random() * 400)::numeric, 2),
  timestamptz '2026-01-01 00:00+00' + make_interval(secs => i * 2)
from generate_series(1, :lines) i;
SQL
}

{
  pgbench --initialize --init-steps=dtgvp --quiet --scale="$SCALE" 2>/dev/null
  fill_lines
} &
rest=$!
half=$((EVENTS / 2))
fill 1 1 $((half + 1)) &
first=$!
fill 2 $((half + 1)) $((EVENTS + 1)) &
second=$!
# One by one, because a wait for several reports only the last.
wait "$rest"
wait "$first"
wait "$second"

sql <<'SQL'
alter table event add primary key (id);
alter table line add primary key (purchase, number);
create index on event (customer, created_at);
vacuum (analyze) event, line;
checkpoint;
SQL
printf 'seed: %s events, %s order lines, pgbench scale %s, %s on disk\n' "$EVENTS" "$ORDER_LINES" "$SCALE" \
  "$(sql --tuples-only --no-align --command 'select pg_size_pretty(pg_database_size(current_database()))')"
