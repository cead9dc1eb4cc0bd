//! `also_majors`: what was dumped from one major is restored, checked and compared on others, and each tells for itself.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::Path;

use runner::store::commit::last_failure;
use runner::store::manifest::{Level, Receipt};
use serde_json::{Value, json};

use crate::archive_seed::{DATABASE, SEED};
use crate::matrix_rig::{Ran, Rig, by_socket, pipeline, step};
use crate::matrix_source::create;
use crate::servers::postgres::TestServer;

/// A server with a small database.
fn small(major: u16) -> TestServer {
    let server = TestServer::start(major);
    create(&server, "shop", "");
    server.psql("shop", "create table 주문 (id int primary key); insert into 주문 select generate_series(1, 10)");
    server
}

/// A pipeline that dumps, keeps, verifies in this way, and tells of it in a file.
fn verified(server: &TestServer, database: &str, with: &Value) -> Value {
    let steps = [
        step("dump", "dump", &json!({ "connection": "db" })),
        step("keep", "upload", &json!({ "store": "vault" })),
        step("drill", "verify-restore", with),
        step("tell", "notify", &json!({ "file": { "path": "told.jsonl" } })),
    ];
    let mut made = pipeline("majors", &by_socket(server, database), &steps);
    made["steps"][3]["when"] = json!("always");
    made
}

/// The last thing that was told.
fn told(rig: &Rig) -> Value {
    let text = std::fs::read_to_string(rig.path("told.jsonl")).unwrap();
    serde_json::from_str(text.lines().next_back().unwrap()).unwrap()
}

fn majors(receipts: &[Receipt]) -> Vec<(String, u32, Level)> {
    receipts.iter().map(|receipt| (receipt.step.to_string(), receipt.server_version.unwrap() / 10_000, receipt.level)).collect()
}

#[test]
fn verify_restores_and_proves_everything_a_dump_may_hold_on_newer_majors() {
    let server = TestServer::start(14);
    create(&server, DATABASE, "");
    server.psql(DATABASE, SEED);
    let rig = Rig::new();
    let path = rig.pipeline(&verified(&server, DATABASE, &json!({ "also_majors": [18, 16, 17] })));
    let plan = rig.run([Path::new("plan"), &path]).ended(0);
    assert!(plan.stdout.contains("into a scratch server of PostgreSQL 17"), "{}", plan.stdout);
    let ran = rig.apply(&path).ended(0);
    let answer = &ran.json()["runs"][0];
    let receipts = rig.receipts(answer);
    let expected = [("drill", 14), ("drill@16", 16), ("drill@17", 17), ("drill@18", 18)];
    let expected: Vec<_> = expected.iter().map(|(step, major)| ((*step).to_owned(), *major, Level::Proven)).collect();
    let mut found = majors(&receipts);
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(answer["level"], "proven");
    assert_eq!(answer["other_majors"], json!({ "16": "proven", "17": "proven", "18": "proven" }));
    for receipt in &receipts {
        let incomparable = &receipt.proof.as_ref().unwrap().incomparable;
        let texts = incomparable.iter().any(|left| left.contains("the texts of definitions"));
        assert_eq!(texts, receipt.step.other_major().is_some(), "{incomparable:?}");
        assert!(receipt.recovery.is_some_and(|recovery| recovery.bytes > 0 && receipt.restore_took == Some(recovery.took)));
    }
    // One after the other: each ended before the next began.
    let mut times: Vec<_> = receipts.iter().map(|receipt| (receipt.started, receipt.finished)).collect();
    times.sort_unstable();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
    assert!(rig.scratch_left().is_empty());
}

#[test]
fn verify_that_fails_on_another_major_fails_names_it_and_leaves_the_level_alone() {
    let server = small(14);
    let rig = Rig::new();
    let checks = json!([{ "sql": "select current_setting('server_version_num')::int / 10000 <> 16" }]);
    let path = rig.pipeline(&verified(&server, "shop", &json!({ "also_majors": [16, 17], "checks": checks })));
    let ran = rig.apply(&path).ended(11);
    let answer = &ran.json()["runs"][0];
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("on PostgreSQL 16: check failed"), "{answer:#}");
    assert_eq!((answer["level"].as_str(), &answer["other_majors"]), (Some("proven"), &json!({ "16": "decoded", "17": "proven" })));
    let receipts = rig.receipts(answer);
    assert_eq!(receipts.len(), 3, "17 was tried all the same");
    let failure = last_failure(&receipts).unwrap();
    assert_eq!(failure.step.as_str(), "drill@16", "a later success on 17 does not answer it");
    assert!(failure.failure.as_ref().unwrap().starts_with("on PostgreSQL 16: check failed"), "{failure:?}");
    let listed = rig.run([Path::new("list"), &path]).ended(0);
    assert!(listed.stdout.contains("proven") && listed.stdout.contains("on PostgreSQL 16"), "{}", listed.stdout);
    assert_eq!(told(&rig)["failed_step"], "drill@16");
}

#[test]
fn verify_that_fails_on_its_own_major_tries_no_other() {
    let server = small(16);
    let rig = Rig::new();
    let path = rig.pipeline(&verified(&server, "shop", &json!({ "also_majors": [17], "checks": [{ "sql": "select false" }] })));
    let ran = rig.apply(&path).ended(11);
    assert_eq!(rig.receipts(&ran.json()["runs"][0]).len(), 1);
}

#[test]
fn verify_on_a_major_that_can_not_be_is_refused_before_anything_is_dumped() {
    let server = small(16);
    let refused = |majors: Value, code: i32, words: &str| {
        let rig = Rig::new();
        let path = rig.pipeline(&verified(&server, "shop", &json!({ "also_majors": majors })));
        let named = |ran: Ran| {
            let ran = ran.ended(code);
            assert!(format!("{}{}", ran.stdout, ran.stderr).contains(words), "{}{}", ran.stdout, ran.stderr);
        };
        named(rig.apply(&path));
        named(rig.run([Path::new("plan"), &path]));
        assert!(rig.files("store").iter().all(|file| file.ends_with(".failed.json")), "{:?}", rig.files("store"));
    };
    refused(json!([17, 99]), 69, "install postgresql-99");
    refused(json!([15]), 10, "a dump of PostgreSQL 16 can not be restored on 15, which is older");
    // Its own is tried anyway, and only once.
    let rig = Rig::new();
    let ran = rig.apply(&rig.pipeline(&verified(&server, "shop", &json!({ "also_majors": [16] })))).ended(0);
    assert_eq!(majors(&rig.receipts(&ran.json()["runs"][0])), [("drill".to_owned(), 16, Level::Proven)]);
}

#[test]
fn verify_slower_than_the_objective_is_a_warning_and_no_failure() {
    let server = small(16);
    for (rto, late) in [("1h", false), ("1ms", true)] {
        let rig = Rig::new();
        let mut pipeline = verified(&server, "shop", &json!({ "also_majors": [17] }));
        pipeline["objectives"] = json!({ "rto": rto });
        let ran = rig.apply(&rig.pipeline(&pipeline)).ended(0);
        let answer = &ran.json()["runs"][0];
        assert_eq!(answer["recovery"]["rto_met"], !late, "{answer:#}");
        let warned =
            |list: &Value| list.as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("longer than the objective"));
        assert_eq!((warned(&answer["warnings"]), warned(&told(&rig)["warnings"])), (late, late));
        assert_eq!((told(&rig)["outcome"].as_str(), answer["outcome"].as_str()), (Some("success"), Some("done")));
        let words = if late { "RTO 1ms: missed by" } else { "RTO 1h: met" };
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        let receipts = rig.receipts(answer);
        // The objective is about the day of a recovery, which is not the day of an upgrade.
        let with_objective: Vec<&str> =
            receipts.iter().filter(|receipt| receipt.recovery.unwrap().objective.is_some()).map(|receipt| receipt.step.as_str()).collect();
        assert_eq!(with_objective, ["drill"]);
    }
}
