-- The backup log as a new installation has it. {schema} is the schema's name, quoted.
create table {schema}.backup_log (
    id             bigint generated always as identity primary key,
    run_id         text        not null,            -- the run, and so the restore point
    pipeline       text        not null,
    type           text        not null,            -- dump, globals, verify, restore or run
    key            text        not null default '', -- the object's key in its store; empty where nothing was stored
    store          text        not null default '', -- the store's name in the pipeline
    size_bytes     bigint,                          -- bytes stored
    plain_bytes    bigint,                          -- bytes the tool produced
    started_at     timestamptz not null,
    finished_at    timestamptz not null,
    duration       interval    not null,
    status         text        not null,            -- success, warned or failed
    error          text,
    level          text,                            -- stored, read-back, decoded, restored or proven; null for what is no restore point
    verified_at    timestamptz,                     -- when a verification last succeeded
    uploaded       boolean     not null default false,
    host           text        not null,
    runner_version text        not null
);
