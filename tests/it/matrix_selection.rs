//! What a dump leaves out and takes in: tables, schemas, definitions, data, owners, privileges, sections, and locks held by others.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, create, major, rows, server};
use crate::servers::postgres::{TestServer, bin};

/// Dumps with these parameters and answers the archive's table of contents, or the text of a plain dump.
fn dumped(server: &TestServer, parameters: &Value) -> String {
    let rig = Rig::new();
    let mut with = parameters.clone();
    with["connection"] = json!("db");
    let steps = [step("dump", "dump", &with), step("keep", "upload", &json!({ "store": "vault" }))];
    let ran = rig.apply(&rig.pipeline(&pipeline("selection", &by_socket(server, DATABASE), &steps))).ended(0);
    let manifest = rig.manifest(&ran.json()["runs"][0]);
    let object = rig.object(&manifest.artifacts[0]);
    if parameters["format"] == "plain" {
        return std::fs::read_to_string(object).unwrap();
    }
    let listed = Command::new(bin(major(server)).join("pg_restore")).arg("-l").arg(object).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap()
}

/// The tables whose data an archive has, as `schema.table`: `412; 0 16500 TABLE DATA 매출 고객 소유자`.
fn tables(listing: &str) -> BTreeSet<String> {
    let lines = listing.lines().filter_map(|line| line.split_once(" TABLE DATA ")).map(|(_, rest)| rest);
    let owners = ["소유자", "App Owner", "postgres"];
    lines.map(|rest| owners.iter().find_map(|owner| rest.strip_suffix(owner)).unwrap().trim().to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn tables_and_schemas_are_chosen_by_their_own_case_in_any_script() {
    let server = server(16);
    let sales = r#"Sales Team's "A""#;
    let chosen = |parameters: Value| tables(&dumped(&server, &parameters));
    assert_eq!(chosen(json!({ "tables": ["매출.고객"] })), names(&["매출 고객"]));
    assert_eq!(chosen(json!({ "tables": ["매출.Orders_2026"] })), names(&["매출 Orders_2026"]));
    assert_eq!(chosen(json!({ "tables": ["매출.*_202?"] })), names(&["매출 orders_2025", "매출 Orders_2026"]));
    assert_eq!(chosen(json!({ "tables": ["*.감사 기록", "매출.빈 표"] })), names(&["매출 감사 기록", "매출 빈 표"]));
    assert_eq!(chosen(json!({ "schemas": ["Sales*"] })), names(&[&format!("{sales} Leads"), &format!("{sales} Leads_archive")]));
    assert_eq!(chosen(json!({ "schemas": ["public"], "exclude_tables": ["public.file?"] })), names(&["public orders"]));
    let without = chosen(json!({ "exclude_schemas": ["매출", "Sales Team*"] }));
    assert_eq!(without, names(&["public files", "public orders"]));
}

#[test]
fn a_name_that_fits_nothing_is_a_failure_and_not_an_empty_backup() {
    let server = TestServer::start(18);
    create(&server, DATABASE, "");
    server.psql(DATABASE, "create table \"주문\" (id int)");
    let rig = Rig::new();
    let dump = step("dump", "dump", &json!({ "connection": "db", "tables": ["주문", "Orders"] }));
    let steps = [dump, step("keep", "upload", &json!({ "store": "vault" }))];
    let ran = rig.apply(&rig.pipeline(&pipeline("selection", &by_socket(&server, DATABASE), &steps))).ended(10);
    assert!(ran.stderr.contains("Orders") && !rig.files("store").iter().any(|file| !file.starts_with(".runner")), "{}", ran.stderr);
    assert_eq!(ran.json()["runs"][0]["level"], Value::Null);
}

#[test]
fn definitions_data_owners_privileges_and_sections_are_left_out_on_request() {
    let server = server(17);
    let plain = |mut parameters: Value| {
        parameters["format"] = json!("plain");
        dumped(&server, &parameters)
    };
    let has = |text: &str, words: &[&str]| words.iter().map(|words| text.contains(words)).collect::<Vec<_>>();
    let words = ["CREATE TABLE", "COPY ", "고객\" OWNER TO", "GRANT USAGE ON SCHEMA", "CREATE TRIGGER", "ADD CONSTRAINT", "lo_open"];
    for (parameters, expected) in [
        (json!({}), [true, true, true, true, true, true, true]),
        (json!({ "schema_only": true }), [true, false, true, true, true, true, false]),
        (json!({ "data_only": true }), [false, true, false, false, false, false, true]),
        (json!({ "no_owner": true }), [true, true, false, true, true, true, true]),
        (json!({ "no_privileges": true }), [true, true, true, false, true, true, true]),
        (json!({ "sections": ["pre-data"] }), [true, false, true, true, false, false, false]),
        (json!({ "sections": ["data"] }), [false, true, false, false, false, false, true]),
        (json!({ "sections": ["post-data"] }), [false, false, false, false, true, true, false]),
        (json!({ "sections": ["pre-data", "post-data"] }), [true, false, true, true, true, true, false]),
    ] {
        assert_eq!(has(&plain(parameters.clone()), &words), expected, "{parameters}: {words:?}");
    }
}

#[test]
fn definitions_alone_restore_to_empty_tables_and_so_does_a_selection() {
    let server = server(15);
    // `pg_dump --table` writes no schema; the tables come back in theirs all the same.
    let leads = server.psql(DATABASE, r#"select count(*) from only "Sales Team's ""A"""."Leads""#).parse().unwrap();
    for (parameters, tables, rows_all) in [
        (json!({ "schema_only": true }), rows(&server, DATABASE).len(), 0),
        (json!({ "tables": ["public.orders"] }), 1, 5),
        (json!({ "tables": ["Sales*.Leads"] }), 1, leads),
        (json!({ "tables": ["Sales*.Leads"], "format": "plain" }), 1, leads),
    ] {
        let rig = Rig::new();
        let mut with = parameters.clone();
        with["connection"] = json!("db");
        let steps = [
            step("dump", "dump", &with),
            step("keep", "upload", &json!({ "store": "vault" })),
            step("drill", "verify-restore", &json!({ "min_tables": tables - 1 })),
        ];
        let ran = rig.apply(&rig.pipeline(&pipeline("selection", &by_socket(&server, DATABASE), &steps))).ended(0);
        let receipt = rig.receipts(&ran.json()["runs"][0]).remove(0);
        // Definitions alone leave a materialized view unfilled, and what is not filled has no rows to count.
        assert!(receipt.tables.len() <= tables && receipt.tables.len() + 1 >= tables, "{parameters}: {:?}", receipt.tables);
        assert_eq!(receipt.tables.iter().map(|table| table.rows).sum::<u64>(), rows_all, "{parameters}");
        assert!(receipt.proof.as_ref().is_some_and(|proof| proof.differences.is_empty()), "{parameters}: {receipt:?}");
    }
}

#[test]
fn a_lock_held_by_somebody_else_ends_the_dump_in_time() {
    let server = TestServer::start(16);
    create(&server, DATABASE, "");
    server.psql(DATABASE, "create table \"주문\" (id int)");
    let mut holder = Holder::of(&server, "주문");
    let rig = Rig::new();
    let dump = step("dump", "dump", &json!({ "connection": "db", "lock_timeout": "300ms" }));
    let pipeline =
        rig.pipeline(&pipeline("locked", &by_socket(&server, DATABASE), &[dump, step("keep", "upload", &json!({ "store": "vault" }))]));
    let began = std::time::Instant::now();
    let ran = rig.apply(&pipeline);
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "it waited for the lock");
    // It may work later, and the next attempt of a pipeline with a retry would.
    assert_eq!((ran.code, ran.json()["runs"][0]["error"]["class"].as_str()), (75, Some("transient")), "{}", ran.stderr);
    assert!(ran.stderr.contains("주문") && ran.stderr.contains("lock"), "{}", ran.stderr);
    assert_eq!(rig.files("store").iter().filter(|file| !file.starts_with(".runner")).count(), 0, "nothing was stored");
    holder.release();
    server.psql(
        DATABASE,
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)' and pid <> pg_backend_pid()",
    );
    rig.apply(&pipeline).ended(0);
}

/// Somebody who holds a lock on a table.
struct Holder(std::process::Child);

impl Holder {
    fn of(server: &TestServer, table: &str) -> Self {
        let mut psql = Command::new(bin(16).join("psql"));
        psql.arg("-h").arg(server.socket_folder()).args(["-p", &server.port.to_string(), "-U", "postgres", "-d", DATABASE, "-Xqc"]);
        psql.arg(format!("begin; lock table \"{table}\" in access exclusive mode; select pg_sleep(60)"));
        let held = Self(psql.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap());
        let count = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null and pid <> pg_backend_pid()";
        crate::stream_tools::eventually("the lock", || server.psql(DATABASE, count) == "1");
        held
    }

    fn release(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.release();
    }
}
