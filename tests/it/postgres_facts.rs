//! Facts and counts are what the server really holds, on every major.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::num::NonZeroUsize;
use std::time::Duration;

use runner::postgres::restored::{Answer, TableRows, database_bytes, row_counts, row_counts_beyond, scalar};
use runner::postgres::{ConnInfo, Facts, PgError};

use crate::servers::postgres::{MAJORS, TestServer, runtime};

const DATABASE: &str = r#"
create role backup login;
create role reader login in role pg_read_all_data;
create schema "판매 ""특가""";
create table "판매 ""특가"""."주문내역" ("번호" int primary key, "메모" text);
insert into "판매 ""특가"""."주문내역" select n, '메모 ' || n from generate_series(1, 1000) n;
create table "MixedCase" (id int generated always as identity);
insert into "MixedCase" default values;
create table events (at date not null, n int) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
insert into events select '2025-12-30'::date + n, n from generate_series(0, 9) n;
create table parent (a int);
create table child () inherits (parent);
insert into parent values (1); insert into child values (2), (3);
create materialized view filled as select * from child;
create materialized view unfilled as select * from child with no data;
create view looking as select * from child;
create unlogged table empty ();
create extension if not exists plpgsql;
grant usage on schema "판매 ""특가""" to backup;
grant select on "MixedCase", events, events_2025, events_2026, parent, child to backup;
grant select on sequence "MixedCase_id_seq" to backup;
alter table parent enable row level security;
select lo_from_bytea(0, '\x00ff');
"#;

#[test]
fn facts_and_exact_counts_are_read_from_every_major() {
    let runtime = runtime();
    for major in MAJORS {
        let server = TestServer::start(major);
        server.psql("postgres", "create database \"주문 DB\"");
        server.psql("주문 DB", DATABASE);
        let info = server.conninfo("주문 DB");
        check_facts(&info, major, runtime.handle());
        check_backup_role(&info, runtime.handle());
        check_counts(&info, runtime.handle());
    }
}

fn check_facts(info: &ConnInfo, major: u16, handle: &tokio::runtime::Handle) {
    let facts = Facts::read(info, handle).unwrap();
    assert_eq!(facts.major(), major);
    assert!(facts.server_version.starts_with(&major.to_string()), "{facts:?}");
    assert!(facts.system_identifier.as_deref().is_some_and(|id| id.len() > 15 && id.parse::<u64>().is_ok()), "{facts:?}");
    assert!(facts.database_bytes > 1_000_000, "{facts:?}");
    assert_eq!((facts.tables, facts.locale.encoding.as_str(), facts.locale.provider), (7, "UTF8", 'c'));
    assert_eq!((facts.role.as_str(), facts.superuser, facts.replication_role, facts.in_recovery), ("postgres", true, true, false));
    assert!(facts.large_objects && facts.unreadable.is_empty() && facts.filtered.is_empty(), "{facts:?}");
    assert!(facts.extensions.contains(&"plpgsql 1.0".to_owned()), "{facts:?}");
    assert_eq!(facts.hints(), Vec::<String>::new());
}

fn check_backup_role(info: &ConnInfo, handle: &tokio::runtime::Handle) {
    let backup = ConnInfo { user: "backup".to_owned(), ..info.clone() };
    let facts = Facts::read(&backup, handle).unwrap();
    assert_eq!((facts.role.as_str(), facts.superuser, facts.replication_role), ("backup", false, false));
    assert_eq!(facts.unreadable, ["\"판매 \"\"특가\"\"\".\"주문내역\"", "public.empty"]);
    assert_eq!(facts.filtered, ["public.parent"]);
    let hints = facts.hints().join("\n");
    assert!(
        hints.contains("grant pg_read_all_data to \"backup\"") && hints.contains("bypassrls") && hints.contains("large objects"),
        "{hints}"
    );
    let hidden = row_counts(&backup, handle, NonZeroUsize::MIN).unwrap_err();
    assert!(matches!(hidden, PgError::Query { ref state, .. } if state == "42501"), "{hidden}");
    let reader = ConnInfo { user: "reader".to_owned(), ..info.clone() };
    assert_eq!(Facts::read(&reader, handle).unwrap().unreadable, Vec::<String>::new());
    let filtered = row_counts(&reader, handle, NonZeroUsize::MIN).unwrap_err().to_string();
    assert!(filtered.contains("row-level security"), "fewer rows must not be taken for the rows: {filtered}");
}

fn check_counts(info: &ConnInfo, handle: &tokio::runtime::Handle) {
    let counts = row_counts(info, handle, NonZeroUsize::new(3).unwrap()).unwrap();
    let flat: Vec<String> = counts.iter().map(|t| format!("{}.{}={}", t.schema, t.table, t.rows)).collect();
    let expected = [
        "public.MixedCase=1",
        "public.child=2",
        "public.empty=0",
        "public.events_2025=2",
        "public.events_2026=8",
        "public.filled=2",
        "public.parent=1",
        "판매 \"특가\".주문내역=1000",
    ];
    assert_eq!(flat, expected);
    // What is known already is not read again, and what is not there is not made up.
    let known = |schema: &str, table: &str| TableRows { schema: schema.to_owned(), table: table.to_owned(), rows: 7, materialized: false };
    let beyond = row_counts_beyond(&[known("public", "child"), known("판매", "없음")], info, handle, NonZeroUsize::MIN).unwrap();
    let child = counts.iter().position(|t| t.table == "child").unwrap();
    let mut expected = counts.clone();
    expected[child].rows = 7;
    assert_eq!(beyond, expected);
    assert!(database_bytes(info, handle).unwrap() > 1_000_000);
}

#[test]
fn a_check_reads_one_value_and_can_not_write() {
    let (runtime, server) = (runtime(), TestServer::start(18));
    server.psql("postgres", "create table users as select n from generate_series(1, 5) n");
    let info = server.conninfo("postgres");
    let ask = |sql: &str| scalar(&info, runtime.handle(), sql, Duration::from_secs(1));
    let table = [
        ("select count(*) > 0 from users", Some("t")),
        ("select '가나다' -- 끝", Some("가나다")),
        ("select null", None),
        ("show server_encoding", Some("UTF8")),
        ("with a as (select 2.50) select * from a", Some("2.50")),
    ];
    for (sql, expected) in table {
        assert_eq!(ask(sql).unwrap(), Answer::Value(expected.map(str::to_owned)), "{sql}");
    }
    for (sql, words) in [
        ("select n from users where n > 9", "no row"),
        ("select true, false", "2 columns: t, f"),
        ("table users;", "more than one row: 1; 2"),
        ("select generate_series(1, 1000000000)", "more than one row: 1; 2"),
    ] {
        assert_eq!(ask(sql).unwrap(), Answer::Other(words.to_owned()), "{sql}");
    }
    for (sql, state) in [
        ("select 1; drop table users", "42601"),
        ("delete from users", "25006"),
        ("select pg_sleep(9)", "57014"),
        ("select nothing", "42703"),
    ] {
        let error = ask(sql).unwrap_err();
        assert!(matches!(&error, PgError::Query { state: got, .. } if got == state), "{sql} gave {error}");
    }
    assert_eq!(server.psql("postgres", "select count(*) from users"), "5");
}
