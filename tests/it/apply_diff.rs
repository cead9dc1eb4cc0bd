//! `runner diff`: what happened to a database between two runs is told by name, and what is suspicious is told with its rule.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use serde_json::Value;

use crate::apply_show::{damage, redacted, sealed};
use crate::apply_support::{Bench, files};
use crate::servers::postgres::TestServer;

const BEFORE: &str = "
    create schema \"물류\";
    create table \"물류\".\"배송\" (id int primary key, 주소 text); insert into \"물류\".\"배송\" select n, '서울 ' || n from generate_series(1, 10) n;
    create table emptied (id int); insert into emptied values (1);
    create table dropped (id int); insert into dropped values (1), (2);
    create table changed (id int, name text); insert into changed values (1, 'a');
    create table same (id int); insert into same values (7);
    create table widened (id int); insert into widened values (1);
    create view seen as select 1 as one; create sequence counter; select nextval('counter');
    select lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two')";

const BETWEEN: &str = "
    delete from \"물류\".\"배송\" where id > 4;
    delete from emptied; drop table dropped;
    update changed set name = 'b'; alter table widened add column more text;
    create or replace view seen as select 2 as one; create index on same (id); create table fresh (id int); insert into fresh values (1);
    delete from \"주문\" where id > 700; select nextval('counter');
    select lo_unlink(min(oid)) from pg_largeobject_metadata";

/// Two restore points and what happened between them.
fn two_points() -> (TestServer, Bench) {
    let (server, bench) = sealed();
    server.psql("shop", BEFORE);
    bench.apply().is(0, &[]);
    server.psql("shop", BETWEEN);
    // Run ids sort by the second in which a run started.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.apply().is(0, &[]);
    (server, bench)
}

fn json(bench: &Bench, args: &[&str]) -> Value {
    let ran = bench.run(&[args, &["--format", "json"]].concat());
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn apply_twice_and_diff_names_each_change_and_what_is_suspicious() {
    let (_server, bench) = two_points();
    let ran = bench.run(&["diff", "pipeline.yaml"]);
    ran.is(0, &[]);
    redacted(&bench, || insta::assert_snapshot!("each_change_by_name", ran.stdout));
    let markdown = bench.run(&["diff", "pipeline.yaml", "--format", "markdown"]).stdout;
    redacted(&bench, || insta::assert_snapshot!("each_change_in_markdown", markdown));
    bench.run(&["diff", "pipeline.yaml", "--fail-on-anomaly"]).is(11, &["something is suspicious"]);

    let told = json(&bench, &["diff", "pipeline.yaml"]);
    let rules: Vec<&str> = told["anomalies"].as_array().unwrap().iter().map(|anomaly| anomaly["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["table-gone", "table-emptied", "table-shrunk", "rows-fell", "size-fell", "large-objects-fewer", "schema-changed"]);
    let [from, to] = ["from", "to"].map(|side| told[side]["run"].as_str().unwrap());
    let by_ids = json(&bench, &["diff", "pipeline.yaml", from, to]);
    assert_eq!(by_ids, told);
    let backwards = json(&bench, &["diff", "pipeline.yaml", to, from]);
    assert!(backwards["anomalies"].as_array().unwrap().iter().all(|anomaly| anomaly["rule"] != "rows-fell"));
    let none = bench.run(&["diff", "pipeline.yaml", to, to, "--fail-on-anomaly"]);
    none.is(0, &[]);
    assert!(none.stdout.contains("no anomaly") && none.stdout.contains("all as before"), "{}", none.stdout);

    let manifests: Vec<_> =
        files(&bench.path("store")).into_iter().filter(|path| path.to_string_lossy().ends_with(".manifest.json")).collect();
    let [first, second] = &manifests[..] else { panic!("two manifests, not {manifests:?}") };
    let (first, second, key) = (first.to_str().unwrap(), second.to_str().unwrap(), bench.path("keys/drill"));
    let by_place = json(&bench, &["diff", first, second, "--identity", key.to_str().unwrap()]);
    assert_eq!((&by_place["changes"], &by_place["anomalies"]), (&told["changes"], &told["anomalies"]));
    bench.run(&["diff", first]).is(64, &["the other manifest is expected"]);
    bench.run(&["diff", "pipeline.yaml", "yesterday"]).is(64, &["is no restore point"]);
    bench.run(&["diff", "pipeline.yaml", "2001-01-01T00:00Z"]).is(10, &["no restore point of orders at or before"]);
}

#[test]
fn apply_twice_and_diff_without_the_key_tells_what_the_manifests_say_and_a_damaged_fingerprint_is_no_answer() {
    let (_server, bench) = two_points();
    let key = bench.path("keys/drill");
    std::fs::rename(&key, bench.path("keys/away")).unwrap();
    let ran = bench.run(&["diff", "pipeline.yaml"]);
    ran.is(0, &[]);
    for words in ["could not be compared", "--identity FILE", "not judged: table-gone", "all tables together lost more than 20 %"] {
        assert!(ran.stdout.contains(words), "{words:?} is missing in:\n{}", ran.stdout);
    }
    bench.run(&["diff", "pipeline.yaml", "--identity", bench.path("keys/away").to_str().unwrap()]).is(0, &[]);
    bench.run(&["diff", "pipeline.yaml", "latest", "latest", "--fail-on-anomaly"]).is(77, &["--identity FILE"]);
    std::fs::rename(bench.path("keys/away"), &key).unwrap();
    let sidecar = files(&bench.path("store")).into_iter().find(|path| path.to_string_lossy().contains(".fingerprint.")).unwrap();
    damage(&sidecar);
    let ran = bench.run(&["diff", "pipeline.yaml"]);
    ran.is(11, &["sha256"]);
    assert!(ran.stdout.contains("could not be compared"), "{}", ran.stdout);
}
