//! The backup log: what runs write into a database, what `log sync` writes from the stores, and that SQL answers what `list` shows.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use runner::store::commit::add_receipt;
use runner::store::failed::{End, FailedRun, add_failed};
use runner::store::lease::rule_out;
use runner::store::local::LocalStore;
use runner::store::manifest::{Fault, Level, Receipt, manifest_key};
use runner::store::{ObjectStore, manifest};
use serde_json::Value;

use crate::apply_support::{Bench, NAME, Ran, shop};
use crate::servers::postgres::{SUPERUSER, TestServer};
use crate::store_conformance::local_spec;
use crate::store_shelf::{self as shelf, PIPELINE, Point, point};

const STORED: &str = "  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";
const VERIFIED: &str = "  - { id: verify, uses: verify-restore }\n";
const RECORDED: &str = "  - { id: record, uses: record, when: always, with: { connection: logs } }\n";

/// A server with the databases `shop` and `ops`, and a place to run in.
fn rig() -> (TestServer, Bench) {
    let (server, bench) = (shop(1), Bench::new());
    server.psql("postgres", "create database ops");
    (server, bench)
}

/// A pipeline that dumps `shop` and knows `ops` as `logs`, for this role.
fn pipeline_for(server: &TestServer, bench: &Bench, role: &str, steps: &str) {
    let at = |user: &str, database: &str| {
        format!(
            "{{ postgres: {{ host: {}, port: {}, user: {user}, database: {database} }} }}",
            server.socket_folder().display(),
            server.port
        )
    };
    bench.text(&format!(
        "version: 1\nname: {NAME}\nconnections:\n  shop: {}\n  logs: {}\nstores:\n  vault: {{ local: {{ path: @/store }} }}\nsteps:\n{steps}",
        at(SUPERUSER, "shop"),
        at(role, "ops")
    ));
}

fn pipeline(server: &TestServer, bench: &Bench, steps: &str) {
    pipeline_for(server, bench, SUPERUSER, steps);
}

/// Run ids sort by the second in which a run started.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

fn points(bench: &Bench) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&bench.run(&["list", "pipeline.yaml", "--format", "json"]).stdout).unwrap();
    listed["listings"][0]["points"].as_array().unwrap().clone()
}

/// What `runner list` shows: run, level and bytes of each point, newest first.
fn listed(bench: &Bench) -> String {
    let told = |point: &Value| format!("{}|{}|{}", point["run"].as_str().unwrap(), point["level"].as_str().unwrap(), point["bytes"]);
    points(bench).iter().map(told).collect::<Vec<_>>().join("\n")
}

fn sync(bench: &Bench, more: &[&str]) -> Ran {
    bench.run(&[&["log", "sync", "pipeline.yaml", "--to", "logs"], more].concat())
}

#[test]
fn apply_records_each_run_and_sql_on_the_views_answers_what_list_shows() {
    let (server, bench) = rig();
    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    bench.apply().is(0, &["made public.backup_log and its views", "recorded 1 row"]);
    next_second();
    pipeline(&server, &bench, &format!("{STORED}{VERIFIED}{RECORDED}"));
    bench.apply().is(0, &["recorded 1 row"]);
    next_second();
    let failing = "  - { id: verify, uses: verify-restore, with: { min_tables: 99 } }\n";
    pipeline(&server, &bench, &format!("{STORED}{failing}{RECORDED}"));
    bench.apply().is(11, &["recorded 1 row"]);
    next_second();
    let broken = STORED.replace("connection: shop }", "connection: shop, tables: [nothing_like_it] }");
    pipeline(&server, &bench, &format!("{broken}{RECORDED}"));
    bench.apply().is(10, &["recorded 1 row"]);

    let ops = |sql: &str| server.psql("ops", sql);
    let views = "select run_id, level, size_bytes from v_backup_status where level is not null";
    assert_eq!(ops(views), listed(&bench));
    assert_eq!(
        ops("select status, level, uploaded, verified_at is not null from backup_log where level is not null order by run_id"),
        "success|stored|t|f\nsuccess|proven|t|t\nfailed|decoded|t|f"
    );
    assert!(ops("select error from backup_log where level = 'decoded'").contains("at least 99 tables"));
    let failed = ops("select type, status, key, uploaded, size_bytes is null, error from backup_log where level is null");
    assert!(failed.starts_with("dump|failed||f|t|") && failed.contains("nothing_like_it"), "{failed}");

    let bytes: Vec<u64> = points(&bench).iter().map(|point| point["bytes"].as_u64().unwrap()).collect();
    let (sum, most, least) = (bytes.iter().sum::<u64>(), bytes.iter().max().unwrap(), bytes.iter().min().unwrap());
    let stats = ops("select sum(backups), max(maximum_bytes), min(minimum_bytes) from backup_stats");
    assert_eq!(stats, format!("3|{most}|{least}"));
    let statistics = ops("select type, total, succeeded, failed, total_bytes, proven, average_duration > '0' from v_backup_statistics");
    assert_eq!(statistics, format!("dump|4|2|2|{sum}|1|t"));
    assert_eq!(
        ops(
            "select count(*) from backup_log where duration <> finished_at - started_at or plain_bytes <= 0 or host = '' or runner_version = ''"
        ),
        "0"
    );

    // The stores say the same of what they keep, and leave alone what only the run knew.
    let before = ops("select * from backup_log order by id");
    let synced = sync(&bench, &[]);
    synced.is(0, &[]);
    assert!(synced.stdout.starts_with(&format!("{NAME}: 3 rows of 3 restore points in public.backup_log at ")), "{}", synced.stdout);
    let told = "select id, run_id, status, level, size_bytes, uploaded, started_at, error is null from backup_log order by id";
    let after = ops(told);
    sync(&bench, &[]).is(0, &[]);
    assert_eq!((ops(told), ops("select count(*) from backup_log")), (after, before.lines().count().to_string()));
    assert_eq!(ops(views), listed(&bench));
}

#[test]
fn apply_records_a_run_whose_plan_was_refused_and_a_log_that_is_down_keeps_no_backup_from_being_made() {
    let (server, bench) = rig();
    let missing = "  - { id: dump, uses: dump, with: { connection: gone } }
  - { id: upload, uses: upload, with: { store: vault } }
";
    pipeline(&server, &bench, &format!("{missing}{RECORDED}"));
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    let yaml = yaml.replace("  shop:", "  gone:").replace("database: shop", "database: '없는 것'");
    bench.text(&yaml);
    bench.apply().is(10, &["없는 것", "recorded 1 row"]);
    let row = server.psql("ops", "select type, status, uploaded, level is null, error from backup_log");
    assert!(row.starts_with("dump|failed|f|t|") && row.contains("없는 것"), "{row}");

    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap().replace("database: ops", "database: no_log");
    bench.text(&yaml.replace("when: always", "when: always, retry: { attempts: 1 }"));
    bench.apply().is(12, &["the run will not be recorded there", "failed, which is only a warning"]);
    assert_eq!(bench.points().len(), 1, "the backup is made");

    // Who wants a log at any price says so.
    bench.text(&yaml.replace("when: always", "when: always, on_failure: fail"));
    let refused = bench.apply();
    assert!(refused.code != 0 && refused.code != 12, "{}", refused.stderr);
    assert_eq!(bench.points().len(), 1, "nothing more was stored");
}

#[test]
fn apply_records_a_later_verification_by_raising_the_level_of_the_row_that_is_there() {
    let (server, bench) = rig();
    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    bench.apply().is(0, &[]);
    let run = bench.points()[0].run.to_string();
    let drill = "  - { id: drill, uses: verify-restore, with: { from: { store: vault, at: latest } } }\n";
    pipeline(&server, &bench, &format!("{drill}{RECORDED}"));
    bench.apply().is(0, &["recorded 1 row", &format!("level of {run} is now proven")]);
    let rows = server.psql("ops", "select type, status, level, uploaded, verified_at is not null from backup_log order by id");
    assert_eq!(rows, "dump|success|proven|t|t\nverify|success|proven|f|t");
    assert_eq!(server.psql("ops", "select backups from backup_stats"), "1", "a verification is no backup");

    // And one that no step recorded, from its receipt.
    next_second();
    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    bench.apply().is(0, &[]);
    bench.run(&["verify", "pipeline.yaml"]).is(0, &[]);
    let newest = "select level, verified_at is not null from backup_log where type = 'dump' order by started_at desc limit 1";
    assert_eq!(server.psql("ops", newest), "stored|f");
    sync(&bench, &["--format", "json"]).is(0, &[]);
    assert_eq!(server.psql("ops", newest), "proven|t");
    assert_eq!(server.psql("ops", "select run_id, level, size_bytes from v_backup_status where type = 'dump'"), listed(&bench));
}

#[test]
fn apply_records_into_a_table_that_somebody_made_by_hand_and_loses_none_of_it() {
    let (server, bench) = rig();
    server.psql(
        "ops",
        "create table backup_log (id serial primary key, type varchar(20), file text, size_bytes integer, status varchar(7), started_at timestamptz, note text);
         comment on table backup_log is '우리 백업';
         insert into backup_log (type, file, size_bytes, status, started_at, note) values ('dump', '/옛것.dump', 77, 'success', now() - interval '2 days', '지우지 마')",
    );
    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    bench.apply().is(0, &["recorded 1 row"]);
    let rows = server.psql("ops", "select type, file, size_bytes > 0, note, run_id is null from backup_log order by id");
    assert_eq!(rows, "dump|/옛것.dump|t|지우지 마|t\ndump||t||f");
    let version = "select obj_description('backup_log'::regclass, 'pg_class')";
    assert!(server.psql("ops", version).ends_with("table version 2."), "{}", server.psql("ops", version));
    assert_eq!(server.psql("ops", "select total, succeeded from v_backup_statistics"), "2|2");
    // A second time there is nothing to make.
    let again = bench.apply();
    again.is(0, &["recorded 1 row"]);
    assert!(!again.stderr.contains("made public.backup_log"), "{}", again.stderr);

    for (schema, sql, words) in [
        ("time", "create table time.backup_log (started_at timestamp)", "started_at of time.backup_log is timestamp without time zone"),
        ("strict", "create table strict.backup_log (who text not null)", "the column who of strict.backup_log may not be null"),
        ("view", "create view view.backup_log as select 1", "view.backup_log is not a table"),
        ("stats", "create view stats.backup_stats as select 1", "stats.backup_stats is there already"),
    ] {
        server.psql("ops", &format!("create schema {schema}; {sql}"));
        let refused = sync(&bench, &["--schema", schema]);
        assert_ne!(refused.code, 0);
        refused.is(refused.code, &[words]);
        let made = format!("select count(*) from pg_class where relnamespace = '{schema}'::regnamespace and relkind in ('r', 'v')");
        assert_eq!(server.psql("ops", &made), "1", "{schema}: all or nothing");
    }
}

#[test]
fn apply_records_as_a_role_that_may_only_insert_once_the_table_is_there() {
    let (server, bench) = rig();
    server.psql("ops", "create role writer login; revoke create on schema public from public");
    pipeline_for(&server, &bench, "writer", &format!("{STORED}{RECORDED}"));
    bench.apply().is(12, &["permission denied", "run `runner log sync` once as a role that owns the schema"]);
    pipeline(&server, &bench, &format!("{STORED}{RECORDED}"));
    sync(&bench, &[]).is(0, &[]);
    server.psql("ops", "grant insert on backup_log to writer");
    next_second();
    pipeline_for(&server, &bench, "writer", &format!("{STORED}{VERIFIED}{RECORDED}"));
    bench.apply().is(0, &["recorded 1 row"]);
    assert_eq!(server.psql("ops", "select level from backup_log order by run_id"), "stored\nproven");

    // What is there it can not update, and that is told.
    let synced = sync(&bench, &[]);
    synced.is(0, &[]);
    assert!(synced.stdout.contains("0 rows of 2 restore points") && synced.stdout.contains("2 there already"), "{}", synced.stdout);
}

#[test]
fn apply_records_hangul_in_names_and_errors_in_a_schema_of_its_own() {
    let (server, bench) = rig();
    server.psql("postgres", "create database \"기록 '실\"");
    let record =
        "  - { id: 기록, uses: record, when: always, with: { connection: logs, database: \"기록 '실\", schema: '백업 \"로그\"' } }\n";
    let dump = STORED.replace("{{ run.id }}.dump.zst", "백업/{{ run.id }}-주문's.dump.zst");
    pipeline(&server, &bench, &format!("{dump}{record}"));
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    bench.text(&yaml.replace(&format!("name: {NAME}"), "name: 주문-야간"));
    bench.apply().is(0, &["recorded 1 row"]);
    let table = "\"백업 \"\"로그\"\"\".backup_log";
    let row = server.psql("기록 '실", &format!("select pipeline, store, key from {table}"));
    assert!(row.starts_with("주문-야간|vault|백업/") && row.ends_with("-주문's.dump.zst"), "{row}");
    bench.text(&yaml.replace("connection: shop }", "connection: shop, tables: [없는표] }"));
    bench.apply().is(10, &[]);
    assert!(server.psql("기록 '실", &format!("select error from {table} where status = 'failed'")).contains("없는표"));
    let synced = bench.run(&[
        "log",
        "sync",
        "pipeline.yaml",
        "--to",
        &format!("postgresql://{SUPERUSER}@:{}/ops?host={}", server.port, server.socket_folder().display()),
        "--schema",
        "다른",
    ]);
    synced.is(0, &[]);
    assert_eq!(
        server.psql("ops", "select count(*), count(level) from 다른.v_backup_status where pipeline = 'orders'"),
        "1|0",
        "the file names another pipeline now, which has no point and one run that failed"
    );
}

const GLOBALS: &str = "  - { id: globals, uses: globals, needs: [], with: { connection: shop } }
  - { id: roles, uses: upload, with: { store: vault, key: \"{{ run.id }}.sql\" } }
";

/// The views of version 1, which counted objects.
const OLD: &str = "create or replace view backup_stats as
    select started_at::date as day, count(*) as backups, round(avg(size_bytes))::bigint as average_bytes, max(size_bytes) as maximum_bytes,
    min(size_bytes) as minimum_bytes from backup_log where uploaded and level is not null group by 1 order by 1 desc;
    comment on table backup_log is '우리 백업. Written by runner, table version 1.'";

#[test]
fn apply_records_a_run_of_several_objects_as_one_backup_also_in_views_of_an_older_runner() {
    let (server, bench) = rig();
    let all = "  - { id: record, uses: record, needs: [upload, roles], when: always, with: { connection: logs } }\n";
    pipeline(&server, &bench, &format!("{STORED}{GLOBALS}{all}"));
    bench.apply().is(0, &["recorded 2 rows"]);
    let (ops, bytes) = (|sql: &str| server.psql("ops", sql), points(&bench)[0]["bytes"].as_u64().unwrap());
    let stats = "select backups, average_bytes, maximum_bytes, minimum_bytes from backup_stats";
    assert_eq!(ops(stats), format!("1|{bytes}|{bytes}|{bytes}"));
    let types = "select type, total, succeeded, failed from v_backup_statistics";
    assert_eq!(ops(types), "dump|1|1|0\nglobals|1|1|0");

    ops(OLD);
    assert!(ops(stats).starts_with("2|"));
    // Whoever may not replace them records all the same.
    ops("create role writer login; grant insert on backup_log to writer");
    next_second();
    pipeline_for(&server, &bench, "writer", &format!("{STORED}{GLOBALS}{all}"));
    bench.apply().is(0, &["recorded 2 rows", "the views of public.backup_log are those of an older runner", "runner log sync"]);
    pipeline(&server, &bench, &format!("{STORED}{GLOBALS}"));
    sync(&bench, &[]).is(0, &[]);
    let bytes: Vec<u64> = points(&bench).iter().map(|point| point["bytes"].as_u64().unwrap()).collect();
    let (most, least) = (bytes.iter().max().unwrap(), bytes.iter().min().unwrap());
    let stats = "select sum(backups), max(maximum_bytes), min(minimum_bytes) from backup_stats";
    assert_eq!(ops(stats), format!("2|{most}|{least}"));
    assert_eq!(ops(types), "dump|2|2|0\nglobals|2|2|0");
}

/// A pipeline whose points another one made, with two stores, and a server that has the log.
fn shelves() -> (TestServer, Bench, LocalStore, LocalStore) {
    let (server, bench) = (TestServer::start(crate::apply_support::MAJOR), Bench::new());
    server.psql("postgres", "create database ops");
    bench.text(&format!(
        "version: 1\nname: {PIPELINE}\nconnections:\n  logs: {{ postgres: {{ host: {}, port: {}, user: {SUPERUSER}, database: ops }} }}
stores: {{ vault: {{ local: {{ path: @/store }} }}, far: {{ local: {{ path: @/far }} }} }}\nsteps:
  - {{ id: offsite, uses: copy, with: {{ from: vault, to: far }} }}\n",
        server.socket_folder().display(),
        server.port
    ));
    let open = |name: &str| LocalStore::open(&local_spec(&bench.path(name))).unwrap();
    let (vault, far) = (open("store"), open("far"));
    (server, bench, vault, far)
}

/// What `list` shows of all stores: store, run, level and bytes.
fn listed_everywhere(bench: &Bench) -> Vec<String> {
    let told: Value = serde_json::from_str(&bench.run(&["list", "pipeline.yaml", "--format", "json"]).stdout).unwrap();
    let mut lines = Vec::new();
    for listing in told["listings"].as_array().unwrap() {
        for point in listing["points"].as_array().unwrap() {
            let text = |of: &Value| of.as_str().unwrap().to_owned();
            lines.push(format!("{}|{}|{}|{}", text(&listing["store"]), text(&point["run"]), text(&point["level"]), point["bytes"]));
        }
    }
    lines.sort();
    lines
}

/// What SQL answers of what is there.
fn recorded(server: &TestServer) -> Vec<String> {
    let rows = server.psql("ops", "select store, run_id, level, size_bytes from v_backup_status where uploaded and level is not null");
    let mut rows: Vec<String> = rows.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

fn put_copy(point: &Point, far: &LocalStore) {
    let mut manifest = point.manifest();
    manifest.artifacts[0].store = "far".parse().unwrap();
    point.put_as(far, &manifest);
}

fn remove(store: &LocalStore, point: &Point) {
    for key in &shelf::of(store, &point.run) {
        store.delete(key).unwrap();
    }
}

#[test]
fn log_sync_writes_what_each_store_keeps_and_takes_back_what_is_gone() {
    let (server, bench, vault, far) = shelves();
    let points = [point(1), Point { level: Some(Level::Proven), ..point(25) }, point(49)];
    for point in &points {
        point.put(&vault);
    }
    points[..2].iter().for_each(|point| put_copy(point, &far));
    let first = sync(&bench, &[]);
    first.is(0, &[]);
    assert!(first.stdout.contains("5 rows of 3 restore points"), "{}", first.stdout);
    assert_eq!(recorded(&server), listed_everywhere(&bench));
    assert_eq!(recorded(&server).len(), 5);
    assert_eq!(server.psql("ops", "select sum(backups) from backup_stats"), "3", "a copy is no second backup");

    remove(&vault, &points[2]);
    let second = sync(&bench, &[]);
    second.is(0, &[]);
    assert!(second.stdout.contains("; 1 row of objects that are gone"), "{}", second.stdout);
    assert_eq!(recorded(&server), listed_everywhere(&bench));
    assert_eq!(server.psql("ops", "select count(*), sum(uploaded::int) from backup_log"), "5|4", "no row goes");

    // Of a store that can not be read whole nobody knows what is gone, and it hides nothing of others.
    remove(&far, &points[1]);
    std::fs::write(bench.path("far").join(manifest_key(&shelf::pipeline(), &points[0].run)), "{").unwrap();
    remove(&vault, &points[0]);
    let third = sync(&bench, &[]);
    third.is(12, &["in far can not be used"]);
    let told = |store: &str| server.psql("ops", &format!("select sum(uploaded::int) from backup_log where store = '{store}'"));
    assert_eq!((told("vault"), told("far")), ("1".to_owned(), "2".to_owned()));
}

#[test]
fn log_sync_writes_runs_that_failed_without_a_restore_point_once() {
    let (server, bench, vault, far) = shelves();
    let kept = point(1);
    kept.put(&vault);
    let (told, silent, recorded) = (point(25).run, point(49).run, point(73).run);
    let word = FailedRun {
        version: manifest::VERSION,
        run: told.clone(),
        pipeline: shelf::pipeline(),
        started: told.started(),
        ended: told.started() + jiff::SignedDuration::from_secs(5),
        host: "db1".to_owned(),
        outcome: End::Failed,
        node: None,
        error: "디스크가 가득".to_owned(),
    };
    add_failed(&vault, &word).unwrap();
    // It was ruled out where it left no word, which tells less.
    rule_out(&far, &shelf::pipeline(), &told).unwrap();
    rule_out(&vault, &shelf::pipeline(), &silent).unwrap();
    add_failed(&vault, &FailedRun { run: recorded.clone(), ..word }).unwrap();
    // A copier was ruled out in a store of a run that has its point in another.
    rule_out(&far, &shelf::pipeline(), &kept.run).unwrap();
    sync(&bench, &[]).is(0, &[]);
    let failed = "select run_id, status, error, host, extract(epoch from duration)::int, level is null and not uploaded from backup_log
                  where level is null order by run_id desc";
    let rows = server.psql("ops", failed);
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[0], format!("{told}|failed|디스크가 가득|db1|5|t"));
    assert_eq!(rows[1], format!("{silent}|failed|it ended without a word, and a later run has ruled it out||0|t"));
    // One that has a row of its own has told more already.
    server.psql("ops", &format!("update backup_log set key = 'k', type = 'dump', error = '스스로 한 말' where run_id = '{recorded}'"));
    let again = sync(&bench, &[]);
    again.is(0, &[]);
    assert!(!again.stdout.contains("failed run"), "{}", again.stdout);
    assert_eq!(server.psql("ops", "select count(*) from backup_log"), "4");
    // Whoever may only insert can not see which have a row.
    server.psql("ops", "create role writer login; grant insert on backup_log to writer");
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    bench.text(&yaml.replace(&format!("user: {SUPERUSER}"), "user: writer"));
    let blind = sync(&bench, &[]);
    blind.is(0, &[]);
    assert!(blind.stdout.contains("3 failed runs left out"), "{}", blind.stdout);
    assert_eq!(server.psql("ops", "select count(*) from backup_log"), "4");
}

#[test]
fn log_sync_tells_a_failure_only_where_list_does_and_takes_back_only_what_a_verification_said() {
    let (server, bench, vault, _far) = shelves();
    let point = point(5);
    point.put(&vault);
    let receive = |receipt: Receipt| add_receipt(&vault, &receipt).unwrap();
    let status = || {
        sync(&bench, &[]).is(0, &[]);
        server.psql("ops", "select status, coalesce(error, '-'), level, verified_at is not null from backup_log")
    };
    let set = |error: &str| server.psql("ops", &format!("update backup_log set status = 'failed', error = '{error}'"));
    receive(Receipt { fault: Some(Fault::Key), ..point.receipt(Level::ReadBack, Some("no key fits")) });
    assert_eq!(status(), "success|-|read-back|f", "a wrong key says nothing of the point");
    point.condemn(&vault);
    assert_eq!(status(), "failed|rows differ|read-back|f");
    receive(point.receipt(Level::Proven, None));
    assert_eq!(status(), "success|-|proven|t");
    // What else has failed in the run stays told, whatever is verified later.
    set("the script after the commit said no");
    receive(point.receipt(Level::Proven, None));
    assert_eq!(status(), "failed|the script after the commit said no|proven|t");
    point.condemn(&vault);
    assert_eq!(status(), "failed|the script after the commit said no|read-back|t");
    receive(point.receipt(Level::Proven, None));
    // The run said it without the major version, which its receipt names.
    let elsewhere = |failure: Option<&str>| Receipt {
        step: "verify@18".parse().unwrap(),
        fault: failure.map(|_| Fault::Elsewhere),
        ..point.receipt(Level::Restored, failure)
    };
    receive(elsewhere(Some("on PostgreSQL 18: no such extension")));
    set("no such extension");
    assert_eq!(status(), "failed|no such extension|proven|t");
    receive(elsewhere(None));
    assert_eq!(status(), "success|-|proven|t");
}
