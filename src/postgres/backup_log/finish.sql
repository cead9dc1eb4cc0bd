-- What the table needs whether it was just made or was there already. {schema} is the schema's name, quoted.
create unique index if not exists backup_log_once on {schema}.backup_log (run_id, type, store, key);
create index if not exists backup_log_started_at on {schema}.backup_log (started_at);
create index if not exists backup_log_status on {schema}.backup_log (status);

-- Restore points a day, by the time zone of whoever asks.
create or replace view {schema}.backup_stats as
select started_at::date                                                   as day,
       count(*)                                                           as backups,
       round(avg(size_bytes))::bigint                                     as average_bytes,
       max(size_bytes)                                                    as maximum_bytes,
       min(size_bytes)                                                    as minimum_bytes
from {schema}.backup_log
where uploaded and level is not null
group by 1
order by 1 desc;

-- The last seven days, newest first.
create or replace view {schema}.v_backup_status as
select started_at, pipeline, run_id, type, status, level, size_bytes, duration, store, key, verified_at, error, host
from {schema}.backup_log
where started_at >= now() - interval '7 days'
order by started_at desc, id desc;

-- The last thirty days, a row a type.
create or replace view {schema}.v_backup_statistics as
select type,
       count(*)                                                           as total,
       count(*) filter (where status in ('success', 'warned'))            as succeeded,
       count(*) filter (where status = 'failed')                          as failed,
       coalesce(sum(size_bytes) filter (where level is not null), 0)::bigint as total_bytes,
       round(avg(size_bytes) filter (where level is not null))::bigint    as average_bytes,
       avg(duration)                                                      as average_duration,
       count(*) filter (where level = 'proven')                           as proven,
       max(started_at) filter (where status in ('success', 'warned'))     as newest_success
from {schema}.backup_log
where started_at >= now() - interval '30 days'
group by type
order by type;

comment on view {schema}.backup_stats is 'Restore points a day. Made by runner.';
comment on view {schema}.v_backup_status is 'Backups of the last 7 days. Made by runner.';
comment on view {schema}.v_backup_statistics is 'Backups of the last 30 days by type. Made by runner.';
comment on table {schema}.backup_log is 'What backup runs stored and found out. Written by runner, table version 1.';
