-- What the table needs whether it was just made or was there already. {schema} is the schema's name, quoted.
create unique index if not exists backup_log_once on {schema}.backup_log (run_id, type, store, key);
create index if not exists backup_log_started_at on {schema}.backup_log (started_at);
create index if not exists backup_log_status on {schema}.backup_log (status);

-- Restore points a day, by the time zone of whoever asks. A point is all that a run stored; one that several stores keep is one
-- backup, and has a size in each of them.
create or replace view {schema}.backup_stats as
with points as (
    select pipeline, run_id, sum(size_bytes) as bytes,
           min(min(started_at)) over (partition by pipeline, run_id)      as started_at
    from {schema}.backup_log
    where uploaded and level is not null
    group by pipeline, run_id, store
)
select started_at::date                                                   as day,
       count(distinct (pipeline, run_id))                                 as backups,
       round(avg(bytes))::bigint                                          as average_bytes,
       max(bytes)::bigint                                                 as maximum_bytes,
       min(bytes)::bigint                                                 as minimum_bytes
from points
group by 1
order by 1 desc;

-- The last seven days, newest first, a row an object.
create or replace view {schema}.v_backup_status as
select started_at, pipeline, run_id, type, status, level, size_bytes, duration, store, key, verified_at, error, host, uploaded
from {schema}.backup_log
where started_at >= now() - interval '7 days'
order by started_at desc, id desc;

-- The last thirty days, a row a type. What a run stored of one type is one backup, in however many objects and stores. That a run
-- stored nothing counts no more once it was gone on with and did. A row that another program wrote has no run and is one of its own.
create or replace view {schema}.v_backup_statistics as
with parts as (
    select type, coalesce(run_id, 'row ' || id) as run, sum(size_bytes) filter (where level is not null) as bytes,
           max(duration) as duration, min(started_at) as started_at,
           bool_and(bool_and(status in ('success', 'warned'))) over of_run as good,
           bool_or(bool_or(status = 'failed')) over of_run as failed,
           bool_or(coalesce(bool_and(level = 'proven') filter (where level is not null), false)) over of_run as proven
    from {schema}.backup_log as log
    where started_at >= now() - interval '30 days'
      and not (key = '' and exists (
          select from {schema}.backup_log as stored where stored.run_id = log.run_id and stored.type = log.type and stored.key <> ''))
    group by type, coalesce(run_id, 'row ' || id), store
    window of_run as (partition by type, coalesce(run_id, 'row ' || id))
)
select type,
       count(distinct run)                                                as total,
       count(distinct run) filter (where good)                            as succeeded,
       count(distinct run) filter (where failed)                          as failed,
       coalesce(sum(bytes), 0)::bigint                                    as total_bytes,
       round(avg(bytes))::bigint                                          as average_bytes,
       avg(duration)                                                      as average_duration,
       count(distinct run) filter (where proven)                          as proven,
       max(started_at) filter (where good)                                as newest_success
from parts
group by type
order by type;

comment on view {schema}.backup_stats is 'Restore points a day. Made by runner.';
comment on view {schema}.v_backup_status is 'Backups of the last 7 days. Made by runner.';
comment on view {schema}.v_backup_statistics is 'Backups of the last 30 days by type. Made by runner.';
comment on table {schema}.backup_log is 'What backup runs stored and found out. Written by runner, table version 2.';
