//! `verify-restore` beyond its defaults: on a server that runs already, with checks of every kind, and without a server to use.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::Path;

use runner::store::manifest::Level;
use serde_json::{Value, json};

use crate::matrix_rig::{Ran, Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, create, rows, server};
use crate::servers::postgres::{TestServer, bin};

/// A small database in a new server.
fn small(major: u16) -> TestServer {
    let server = TestServer::start(major);
    create(&server, DATABASE, "");
    server.psql(DATABASE, "create table 주문 (id int); insert into 주문 select generate_series(1, 10); create table \"Empty\" (id int)");
    server
}

/// A pipeline that dumps, keeps and verifies, with these verifications.
fn verified(server: &TestServer, verifications: &[Value]) -> Value {
    let mut steps = vec![step("dump", "dump", &json!({ "connection": "db" })), step("keep", "upload", &json!({ "store": "vault" }))];
    steps.extend(verifications.iter().enumerate().map(|(at, with)| {
        let mut step = step(&format!("drill-{at}"), "verify-restore", with);
        step["needs"] = json!(["keep"]);
        step
    }));
    pipeline("verified", &by_socket(server, DATABASE), &steps)
}

fn databases(server: &TestServer) -> Vec<String> {
    server.psql("postgres", "select datname from pg_database where datname like 'runner%'").lines().map(str::to_owned).collect()
}

#[test]
fn a_server_that_runs_already_lends_a_database_and_gets_it_back() {
    let (source, drill) = (server(16), TestServer::start(16));
    for role in ["소유자", "App Owner", "reader", "backup"] {
        drill.psql("postgres", &format!("create role \"{role}\""));
    }
    let rig = Rig::new();
    // Two at once on one server: each has a database of its own.
    let with = json!({ "server": "drill", "jobs": 2, "checks": [{ "sql": "select current_database() like 'runner%'" }] });
    let mut pipeline = verified(&source, &[with.clone(), with]);
    pipeline["connections"]["drill"] = by_socket(&drill, "postgres");
    let ran = rig.apply(&rig.pipeline(&pipeline)).ended(0);
    let receipts = rig.receipts(&ran.json()["runs"][0]);
    assert_eq!(receipts.iter().map(|receipt| receipt.level).collect::<Vec<_>>(), [Level::Proven; 2]);
    let expected: u64 = rows(&source, DATABASE).iter().map(|(.., rows)| rows).sum();
    assert!(receipts.iter().all(|receipt| receipt.tables.iter().map(|table| table.rows).sum::<u64>() == expected));
    assert_eq!(databases(&drill), Vec::<String>::new(), "the databases are dropped");
    assert!(!ran.stderr.contains("initdb") && rig.scratch_left().is_empty());
}

#[test]
fn every_check_that_fails_is_named_and_nothing_is_left_behind() {
    let source = small(17);
    let checks = json!([
        { "sql": "select count(*) = 10 from 주문" },
        { "sql": "select count(*) > 10 from 주문" },
        { "sql": "select count(*) from 주문", "equals": 11 },
        { "sql": "select nothing from nowhere" },
        { "row_count": { "table": "주문", "min": 11 } },
        { "row_count": { "table": "public.주문", "max": 9 } },
        { "row_count": { "table": "주문", "min": 10, "max": 10 } },
        { "row_count": { "table": "gone", "min": 0 } },
        { "sql": "delete from 주문 returning true" },
    ]);
    for server in [None, Some("db")] {
        let rig = Rig::new();
        let mut with = json!({ "min_tables": 3, "checks": checks });
        if let Some(server) = server {
            with["server"] = json!(server);
        }
        let ran = rig.apply(&rig.pipeline(&verified(&source, &[with]))).ended(11);
        let answer = &ran.json()["runs"][0];
        let message = answer["error"]["message"].as_str().unwrap();
        for named in [
            "at least 3 tables: found 2",
            "select count(*) > 10 from 주문: found f",
            "= 11: found 10",
            "nowhere",
            "주문 has at least 11 rows: found 10",
            "public.주문 has at most 9 rows: found 10",
            "gone has at least 0 rows: found no such table",
            "delete from 주문",
        ] {
            assert!(message.contains(named), "{named} is missing in: {message}");
        }
        assert!(!message.contains("10 to 10") && !message.contains("count(*) = 10"), "these held: {message}");
        assert_eq!((answer["outcome"].as_str(), answer["level"].as_str()), (Some("failed"), Some("decoded")));
        let receipt = rig.receipts(answer).remove(0);
        assert_eq!((receipt.level, receipt.checks.iter().filter(|check| check.passed).count()), (Level::Decoded, 2));
        assert!(receipt.failure.unwrap().contains("nowhere"));
        assert_eq!(databases(&source), Vec::<String>::new());
        assert!(rig.scratch_left().is_empty());
    }
    assert_eq!(source.psql(DATABASE, "select count(*) from 주문"), "10", "checks never touch the source");
}

/// A set of tools that can dump PostgreSQL 16 and restore, and can not make a server.
fn clients_only(rig: &Rig) -> String {
    let folder = rig.path("clients/bin");
    std::fs::create_dir_all(&folder).unwrap();
    for tool in ["pg_dump", "pg_restore", "psql"] {
        std::fs::copy(bin(16).join(tool), folder.join(tool)).unwrap();
    }
    for beside in ["lib", "share"] {
        std::os::unix::fs::symlink(bin(16).parent().unwrap().join(beside), rig.path("clients").join(beside)).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn without_server_programs_of_the_major_nothing_is_dumped_and_the_package_is_named() {
    let source = small(16);
    let rig = Rig::new();
    let clients = clients_only(&rig);
    let rig = rig.env("RUNNER_PG_BINDIR", clients);
    let path = rig.pipeline(&verified(&source, &[json!({})]));
    let named = |ran: Ran| {
        let ran = ran.ended(69);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("install postgresql-16"), "{}{}", ran.stdout, ran.stderr);
    };
    named(rig.apply(&path));
    named(rig.run([Path::new("plan"), &path]));
    let left = rig.files("store");
    assert!(left.iter().all(|file| file.ends_with(".failed.json")), "nothing was dumped, but word of it is there: {left:?}");
    // A server that runs already is enough, and so is no verification at all.
    rig.apply(&rig.pipeline(&verified(&source, &[json!({ "server": "db" })]))).ended(0);
    rig.apply(&rig.pipeline(&verified(&source, &[]))).ended(0);
}
