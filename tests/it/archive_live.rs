//! A restored database has the fingerprint of its dump, and every change made to it is named.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use runner::archive::{Fingerprint, Form, compare, given_up};
use runner::postgres::conninfo::Host;
use runner::postgres::fingerprint::{ENVIRONMENT, Early, Live, SLICE, counts_of, fingerprint};
use runner::postgres::restored::row_counts;
use runner::postgres::{Client, ConnInfo, PgError};
use runner::stream::bytes::{collect, stream_of};
use runner::stream::{Cancel, StreamError};

use crate::archive_seed::{DATABASE, client, differences, dump, read, seeded};
use crate::servers::postgres::{Options, TestServer, runtime, tools};

/// Dumps a database as `runner` must, and restores it into another of the same server.
fn dumped_and_restored(server: &TestServer, major: u16, from: &str, into: &str) -> Fingerprint {
    let (program, _passfile) = client(server, major, "pg_dump", from);
    let source = program.args(["-Fc", "-Z0"]).env(ENVIRONMENT.0, ENVIRONMENT.1).source(&Cancel::new()).unwrap();
    let bytes = collect(source, 1 << 30).unwrap();
    let (program, _passfile) = client(server, major, "pg_restore", into);
    program.args(["--exit-on-error", "-Fc", "-d", into]).sink(stream_of(bytes.clone()), &Cancel::new()).unwrap();
    (*read(&bytes, Form::Custom).unwrap()).clone()
}

fn live(info: &ConnInfo, major: u16, slice: u64, dumped: &Fingerprint) -> Result<Fingerprint, PgError> {
    let (runtime, cancel) = (runtime(), Cancel::new());
    let jobs = NonZeroUsize::new(3).unwrap();
    fingerprint(&Live { info, handle: runtime.handle(), tools: &tools(major), jobs, slice, cancel: &cancel, early: None }, dumped)
}

fn words(server: &TestServer, major: u16, database: &str, dumped: &Fingerprint) -> String {
    differences(&compare(dumped, &live(&server.conninfo(database), major, SLICE, dumped).unwrap()))
}

/// The rows that are only counted, of the dump's tables in their order.
fn counts(server: &TestServer, major: u16, database: &str, dumped: &Fingerprint) -> Vec<u64> {
    let (runtime, cancel, info, tools) = (runtime(), Cancel::new(), server.conninfo(database), tools(major));
    let live =
        Live { info: &info, handle: runtime.handle(), tools: &tools, jobs: NonZeroUsize::MIN, slice: SLICE, cancel: &cancel, early: None };
    let all = row_counts(&info, runtime.handle(), NonZeroUsize::MIN).unwrap();
    let found = counts_of(&live, dumped, &all).unwrap();
    dumped.tables.iter().map(|table| found[&(table.schema.clone(), table.name.clone())]).collect()
}

/// What the mutation test of a proof asks for, and what must be said of each.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "update everything set d = d + 1e-12 where id = 7",
        "update everything set d = d - 1e-12 where id = 7",
        "table public.everything: its 53 rows do not hold what was dumped",
    ),
    (
        "update everything set tsz = tsz + interval '1 microsecond' where id = 7",
        "update everything set tsz = tsz - interval '1 microsecond' where id = 7",
        "table public.everything: its 53 rows do not hold what was dumped",
    ),
    (
        "delete from child where a = 4",
        "insert into child (a, b, c, d) values (4, 'c', 5, 7)",
        "table public.child: 1 row missing (2 dumped, 1 restored)",
    ),
    (
        "update orders set total = 4.5 - total where id in (1, 2)",
        "update orders set total = 4.5 - total where id in (1, 2)",
        "table public.orders: its 200 rows do not hold what was dumped",
    ),
    ("insert into no_columns default values", "", "table public.no_columns: 1 row too many (2 dumped, 3 restored)"),
    ("select setval('counting', 1)", "select setval('counting', 6)", "sequence public.counting is behind: 1 restored, 6 dumped"),
    ("drop index orders_total", "create index orders_total on orders (total) where total > 10", "index public.orders_total is absent"),
    ("create index more on orders (id)", "drop index more", "index public.more is there and was not dumped"),
    ("drop policy mine on users", "create policy mine on users using (name = current_user)", "policy public.users mine is absent"),
    (
        "alter table orders alter total set default 1",
        "alter table orders alter total drop default",
        "table public.orders is defined differently",
    ),
    (
        "revoke grant option for select on orders from owner_of_some",
        "grant select on orders to owner_of_some with grant option",
        "rights of table public.orders is absent",
    ),
    (
        "alter sequence untouched owner to owner_of_some",
        "alter sequence untouched owner to postgres",
        "sequence public.untouched belongs to owner_of_some instead of postgres",
    ),
    (
        "alter table gone rename column c to d",
        "alter table gone rename column d to c",
        "table public.gone has the columns (a, d) instead of (a, c)",
    ),
    ("drop table events_2026", "", "table public.events_2026 is missing with its 8 rows"),
    (
        "refresh materialized view filled with no data",
        "refresh materialized view filled",
        "filling of materialized view public.filled is absent",
    ),
    (
        "refresh materialized view unfilled",
        "refresh materialized view unfilled with no data",
        "filling of materialized view public.unfilled is there and was not dumped",
    ),
    (
        "alter large object 40002 owner to owner_of_some",
        "alter large object 40002 owner to postgres",
        "large object 40002 belongs to owner_of_some instead of postgres",
    ),
    (
        "revoke select on large object 40001 from owner_of_some",
        "grant select on large object 40001 to owner_of_some",
        "rights of large object 40001 is absent",
    ),
    (
        "grant select on large object 3000000000 to owner_of_some",
        "revoke select on large object 3000000000 from owner_of_some",
        "rights of large object 3000000000 is there and was not dumped",
    ),
    (
        "grant update on large object 40001 to owner_of_some",
        "revoke update on large object 40001 from owner_of_some",
        "rights of large object 40001 is defined differently",
    ),
    (
        "comment on large object 40001 is 'other'",
        "comment on large object 40001 is 'a large one'",
        "comment of large object 40001 is defined differently",
    ),
    (
        "comment on large object 40002 is 'new'",
        "comment on large object 40002 is null",
        "comment of large object 40002 is there and was not dumped",
    ),
    ("select lo_unlink(40002)", "", "2 large objects of 120001 bytes restored, 3 large objects of 120001 bytes dumped"),
];

fn proves(major: u16) {
    let server = seeded(major);
    // The zone of the server is not that of the dump, and rows come back in another order than they went.
    server.psql("postgres", &format!("alter database \"{DATABASE}\" set timezone = 'Asia/Seoul'; create database restored"));
    let dumped = dumped_and_restored(&server, major, DATABASE, "restored");
    server.psql("restored", "alter database restored set timezone = 'America/New_York'; alter database restored set datestyle = 'German'");
    server.psql("restored", "alter database restored set intervalstyle = 'iso_8601'; alter database restored set bytea_output = 'escape'");
    server.psql("restored", "update users set name = name where id % 2 = 0");
    assert_eq!(words(&server, major, "restored", &dumped), "", "PostgreSQL {major}");
    // Smaller slices than any table: the same sums.
    let sliced = live(&server.conninfo("restored"), major, 8192, &dumped).unwrap();
    assert_eq!(sliced.tables, dumped.tables);
    assert_eq!(sliced.sequences, dumped.sequences);
    for (change, undo, expected) in CHANGES {
        server.psql("restored", change);
        let said = words(&server, major, "restored", &dumped);
        assert!(said.lines().any(|line| line == *expected), "{change}: {said}");
        server.psql("restored", undo);
    }
}

#[test]
fn a_restore_of_14_is_proven_and_every_change_of_it_named() {
    proves(14);
}

#[test]
fn a_restore_of_16_is_proven_and_every_change_of_it_named() {
    proves(16);
}

#[test]
fn a_restore_of_18_is_proven_and_every_change_of_it_named() {
    proves(18);
}

#[test]
fn how_and_where_rows_are_stored_is_told_by_archives_and_scripts() {
    let server = TestServer::start(18);
    server.psql("postgres", "alter role postgres set allow_in_place_tablespaces = on; create database restored");
    server.psql("postgres", "create tablespace \"빠른 곳\" location ''");
    server.psql(
        "postgres",
        "create access method 축적 type table handler heap_tableam_handler;
         create table 쌓임 (n int) using 축적; create table 놓임 (n int primary key) tablespace \"빠른 곳\"; create index 색인 on 쌓임 (n);
         create table 나뉨 (n int) partition by range (n) using 축적; create table 나뉨_1 partition of 나뉨 for values from (1) to (9) using heap;
         create materialized view 모음 using 축적 as select 1 as n; create index 모음_n on 모음 (n) tablespace \"빠른 곳\"",
    );
    let dumped = dumped_and_restored(&server, 18, "postgres", "restored");
    let told = |found: &Fingerprint| -> Vec<String> {
        let of = |name: &Option<String>| name.clone().unwrap_or_default();
        let entries = found.inventory.iter().filter(|entry| entry.tablespace.is_some() || entry.access_method.is_some());
        let mut lines: Vec<String> = entries.map(|it| format!("{} {}{}", it.name, of(&it.tablespace), of(&it.access_method))).collect();
        lines.sort();
        lines
    };
    assert_eq!(told(&dumped), ["나뉨 축적", "놓임 빠른 곳", "모음 축적", "모음_n 빠른 곳", "쌓임 축적"]);
    let script = read(&dump(&server, 18, "postgres", &["-Fp"]), Form::Plain).unwrap();
    // What a partitioned table says of its partitions is in its text there.
    assert_eq!(told(&script), told(&dumped)[1..]);
    assert_eq!(dumped.summary().tablespaces, [("빠른 곳".to_owned(), 2)].into());
    assert_eq!(words(&server, 18, "restored", &dumped), "");
    let lost = || {
        let found = live(&server.conninfo("restored"), 18, SLICE, &dumped).unwrap();
        given_up(&dumped, Some(&found)).map(|left| left.to_string())
    };
    assert_eq!(lost(), None);
    server.psql("restored", "alter table 놓임 set tablespace pg_default");
    assert_eq!(lost().unwrap(), "the tablespace of 1 object (빠른 곳): everything is restored into the default tablespace of its database");
    server.psql("restored", "alter table 쌓임 set access method heap");
    assert_eq!(words(&server, 18, "restored", &dumped), "table public.쌓임 is defined differently");
}

#[test]
fn large_objects_in_groups_are_compared_one_by_one_also_with_another_major() {
    let (old, new) = (TestServer::start(16), TestServer::start(18));
    let seed = "create role 주인; create role 손님; select lo_create(40000 + n) from generate_series(1, 2500) n;
        do $$ begin for n in 40001..42000 loop execute format('alter large object %s owner to 주인', n); end loop;
        for n in 41500..42100 loop execute format('grant select on large object %s to 손님', n); end loop; end $$";
    for server in [&old, &new] {
        server.psql("postgres", seed);
        server.psql("postgres", "create database restored");
    }
    let dumped = dumped_and_restored(&new, 18, "postgres", "restored");
    let groups: Vec<&str> = dumped.holders.iter().map(|group| group.oids.as_str()).collect();
    assert_eq!(groups, ["42101-42500", "42001-42100", "40001-41499", "41500-42000"], "{:?}", dumped.holders);
    assert_eq!(words(&new, 18, "restored", &dumped), "");
    let before = read(&dump(&old, 16, "postgres", &["-Fc", "-Z0"]), Form::Custom).unwrap();
    assert_eq!((&before.holders, differences(&compare(&before, &dumped))), (&dumped.holders, String::new()));
    let script = read(&dump(&new, 18, "postgres", &["-Fp"]), Form::Plain).unwrap();
    assert_eq!(script.holders, dumped.holders);
    new.psql("restored", "alter large object 41234 owner to 손님; revoke select on large object 41777 from 손님");
    let expected = "large object 41234 belongs to 손님 instead of 주인\nrights of large object 41777 is absent";
    assert_eq!(words(&new, 18, "restored", &dumped), expected);
    // A script is compared so too, and what does not tell owners is listed.
    let bare = read(&dump(&new, 18, "postgres", &["-Fc", "-Z0", "--data-only"]), Form::Custom).unwrap();
    let listed = compare(&Fingerprint { holders: Vec::new(), ..(*bare).clone() }, &dumped).incomparable;
    assert!(listed.iter().any(|left| left.what == "the owners and rights of large objects"), "{listed:?}");
}

#[test]
fn a_database_in_another_encoding_is_compared_in_it() {
    let server = TestServer::start(17);
    let create = "encoding 'EUC_KR' locale 'C' template template0";
    server.psql("postgres", &format!("create database source {create}"));
    server.psql("postgres", &format!("create database restored {create}"));
    server.psql(
        "source",
        r#"create table "주문\내역" ("번호" serial, "메모""" text); insert into "주문\내역" ("메모""") select '한글 ' || n from generate_series(1, 20) n;
           create table "주문" (a text); insert into "주문" values ('가');"#,
    );
    let dumped = dumped_and_restored(&server, 17, "source", "restored");
    assert_eq!((dumped.facts.encoding.as_str(), dumped.tables.len()), ("EUC_KR", 2));
    assert_eq!(words(&server, 17, "restored", &dumped), "");
    assert_eq!(counts(&server, 17, "restored", &dumped), [1, 20]);
    server.psql("restored", r#"update "주문" set a = '나'"#);
    let said = words(&server, 17, "restored", &dumped);
    assert!(said.starts_with(r"table public.\xC1\xD6") && said.ends_with("its row does not hold what was dumped"), "{said}");
}

#[test]
fn rows_are_the_same_by_network_as_by_socket_whatever_their_size() {
    let server = TestServer::start_with(18, &Options { hba: vec!["host all all 127.0.0.1/32 trust"], ..Options::default() });
    server.psql("postgres", "create database restored");
    // A row of one byte, rows that do not fit into what is read at once, and many.
    server.psql(
        "postgres",
        "create table t as select repeat('가', n) a from unnest(array[0, 1, 87380, 87381, 87382, 400000]) n;
         create table many as select n, n::text || ' 행' b from generate_series(1, 50000) n",
    );
    let dumped = dumped_and_restored(&server, 18, "postgres", "restored");
    let by_socket = server.conninfo("restored");
    let host = Host { host: "127.0.0.1".to_owned(), address: None, port: server.port };
    let by_network = ConnInfo { hosts: vec![host], ..by_socket.clone() };
    for info in [by_socket, by_network] {
        for slice in [SLICE, 65_536] {
            let found = live(&info, 18, slice, &dumped).unwrap();
            assert_eq!(found.tables, dumped.tables, "{} in slices of {slice}", info.describe());
        }
    }
}

/// How many slices of eight blocks a table has that hold rows: the server makes a table longer than it needs.
fn slices(server: &TestServer, database: &str, table: &str) -> usize {
    let last = format!("pg_relation_size('{table}') / 65536 - 1");
    let sql = format!("select count(distinct least((ctid::text::point)[0]::bigint / 8, {last})) from {table}");
    server.psql(database, &sql).trim().parse().unwrap()
}

/// What is read of a database as it is loaded, in slices of eight blocks, once it is so many. It gives way to all that goes on here.
fn early(info: &ConnInfo, major: u16, enough: usize) -> Early {
    let (runtime, tools) = (runtime(), tools(major));
    for seconds in [1, 2, 4, 8, 16, 32] {
        let loaded = Cancel::new();
        let live =
            Live { info, handle: runtime.handle(), tools: &tools, jobs: NonZeroUsize::MIN, slice: 65_536, cancel: &loaded, early: None };
        let early = std::thread::scope(|scope| {
            let read = scope.spawn(|| Early::read(&live, "UTF8"));
            std::thread::sleep(Duration::from_secs(seconds));
            loaded.cancel("everything is loaded", false);
            let cancelled = Instant::now();
            let read = read.join().unwrap();
            assert!(cancelled.elapsed() < Duration::from_secs(10), "it goes on after it was told to stop");
            read
        });
        if early.slices() >= enough {
            return early;
        }
    }
    panic!("{enough} slices are not read")
}

#[test]
fn what_was_read_while_the_rest_was_loaded_counts_only_as_long_as_nothing_has_changed() {
    let server = TestServer::start(16);
    server.psql(
        "postgres",
        "create database restored; create type 상태 as enum ('대기', '완료');
         create table 주문 as select n, n::text || ' 행' b, '대기'::상태 s from generate_series(1, 50000) n;
         create table 다른 as select n, repeat('가', 20) b from generate_series(1, 20000) n; create index 색인 on 다른 (b, n desc)",
    );
    let dumped = dumped_and_restored(&server, 16, "postgres", "restored");
    let info = server.conninfo("restored");
    let all = slices(&server, "restored", "주문") + slices(&server, "restored", "다른");
    let early = early(&info, 16, all);
    assert!(all > 20 && early.slices() == all, "{} of {all}", early.slices());
    let (runtime, cancel) = (runtime(), Cancel::new());
    let with = |early: Option<&Early>| {
        let (jobs, tools) = (NonZeroUsize::new(2).unwrap(), &tools(16));
        let live = Live { info: &info, handle: runtime.handle(), tools, jobs, slice: 65_536, cancel: &cancel, early };
        fingerprint(&live, &dumped).unwrap().tables
    };
    assert_eq!(with(Some(&early)), dumped.tables);
    // Labels are no part of a row and are compared with the definitions. So this shows that what was read early is not read again.
    server.psql("restored", "alter type 상태 rename value '대기' to '보류'");
    assert_eq!(with(Some(&early)), dumped.tables);
    assert_ne!(with(None), dumped.tables);
    server.psql("restored", "alter type 상태 rename value '보류' to '대기'");
    let changes = [
        "update 주문 set b = 'x' where n = 40000",
        "update 주문 set b = '40000 행' where n = 40000",
        "delete from 주문 where n = 7",
        "insert into 주문 values (7, '7 행', '대기')",
        "delete from 다른 where n = 20000; insert into 다른 values (20000, 'y')",
        "update 다른 set b = repeat('가', 20) where n = 20000",
        "vacuum full 다른",
        "cluster 다른 using 색인",
        "alter table 주문 alter n type bigint",
        "create table neu as table 주문; truncate 주문; insert into 주문 table neu; drop table neu",
        "truncate 다른",
    ];
    for change in changes {
        server.psql("restored", change);
        assert_eq!(with(Some(&early)), with(None), "{change}");
    }
}

#[test]
fn who_reads_early_waits_for_nobody() {
    let server = TestServer::start(17);
    server.psql("postgres", "create table a as select n from generate_series(1, 50000) n; create table b as table a");
    let (info, runtime) = (server.conninfo("postgres"), runtime());
    let client = Client::connect(&info, runtime.handle()).unwrap();
    client.batch("begin; lock table a in access exclusive mode").unwrap();
    let others = slices(&server, "postgres", "b");
    assert_eq!(early(&info, 17, others).slices(), others);
    client.batch("commit").unwrap();
}

#[test]
fn a_cancelled_or_refused_reading_is_an_error() {
    let server = TestServer::start(18);
    server.psql("postgres", "create database restored; create role nobody login");
    server.psql("postgres", "create table t as select n from generate_series(1, 100) n");
    let dumped = dumped_and_restored(&server, 18, "postgres", "restored");
    let (runtime, cancel, tools) = (runtime(), Cancel::new(), tools(18));
    let info = server.conninfo("restored");
    let read = |info: &ConnInfo| {
        let live =
            Live { info, handle: runtime.handle(), tools: &tools, jobs: NonZeroUsize::MIN, slice: SLICE, cancel: &cancel, early: None };
        fingerprint(&live, &dumped).unwrap_err()
    };
    let refused = read(&ConnInfo { user: "nobody".to_owned(), ..info.clone() });
    assert!(refused.to_string().contains("permission denied for table t"), "{refused}");
    cancel.cancel("SIGTERM", false);
    let cancelled = read(&info);
    assert!(matches!(&cancelled, PgError::Program { source, .. } if matches!(**source, StreamError::Cancelled { .. })), "{cancelled}");
}

#[test]
fn of_an_extensions_tables_only_the_users_rows_count() {
    let server = TestServer::start(18);
    let folder = server.socket_folder().join("extension");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tuned.control"), "default_version = '1.0'\nrelocatable = true\n").unwrap();
    let script = "create table settings (name text, own bool); insert into settings values ('shipped', false);
        select pg_catalog.pg_extension_config_dump('settings', 'where own');";
    std::fs::write(folder.join("tuned--1.0.sql"), script).unwrap();
    let path = format!("{}:$system", server.socket_folder().display());
    for database in ["source", "restored"] {
        server.psql("postgres", &format!("create database {database}"));
        server.psql("postgres", &format!("alter database {database} set extension_control_path = '{path}'"));
    }
    server.psql("source", "create extension tuned; insert into settings values ('mine', true)");
    let dumped = dumped_and_restored(&server, 18, "source", "restored");
    assert_eq!(dumped.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [1]);
    assert_eq!(words(&server, 18, "restored", &dumped), "");
    assert_eq!(counts(&server, 18, "restored", &dumped), [1]);
    server.psql("restored", "update settings set name = 'other' where own");
    assert_eq!(words(&server, 18, "restored", &dumped), "table public.settings: its row does not hold what was dumped");
}
