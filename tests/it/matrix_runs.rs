//! Runs as a whole: several pipelines, branches side by side, notifications by outcome, warnings, and plans applied as reviewed.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::Path;

use serde_json::{Value, json};

use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::create;
use crate::servers::ports;
use crate::servers::postgres::TestServer;

fn source(major: u16) -> TestServer {
    let server = TestServer::start(major);
    create(&server, "orders", "");
    server.psql("orders", "create table 주문 as select generate_series(1, 1000) as id");
    server
}

/// A pipeline that dumps and keeps, and has these steps behind it.
fn backup(name: &str, connection: &Value, more: &[Value]) -> Value {
    let mut steps = vec![step("dump", "dump", &json!({ "connection": "db" })), step("keep", "upload", &json!({ "store": "vault" }))];
    steps.extend(more.iter().cloned());
    pipeline(name, connection, &steps)
}

fn with(mut step: Value, name: &str, value: Value) -> Value {
    step[name] = value;
    step
}

fn events(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn several_pipelines_run_in_turn_and_one_that_fails_does_not_hold_up_the_next() {
    let server = source(15);
    let rig = Rig::new();
    let good = by_socket(&server, "orders");
    let absent = with(step("drill", "verify-restore", &json!({ "checks": [{ "sql": "select false" }] })), "needs", json!(["keep"]));
    let paths = [backup("first", &good, &[]), backup("second", &good, &[absent]), backup("third", &good, &[])].map(|p| rig.pipeline(&p));
    let both = rig.run(["apply".as_ref(), paths[0].as_path(), paths[2].as_path(), "--format=json".as_ref()]).ended(0);
    let outcomes = |answer: &Value| {
        let runs = answer["runs"].as_array().unwrap().iter();
        runs.map(|run| (run["pipeline"].as_str().unwrap().to_owned(), run["outcome"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let named = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    assert_eq!(outcomes(&both.json()), named(&[("first", "done"), ("third", "done")]));
    let mut arguments = vec![Path::new("apply")];
    arguments.extend(paths.iter().map(std::path::PathBuf::as_path));
    arguments.push(Path::new("--format=json"));
    let ran = rig.run(arguments).ended(11);
    assert_eq!(outcomes(&ran.json()), named(&[("first", "done"), ("second", "failed"), ("third", "done")]));
    let manifests = rig.files("store").into_iter().filter(|file| file.ends_with(".manifest.json")).count();
    assert_eq!(manifests, 5, "two and three, each its own restore point");
}

#[test]
fn a_pipeline_that_can_not_start_does_not_hold_up_the_others() {
    let server = source(17);
    let rig = Rig::new();
    let nowhere = json!({ "postgres": { "host": "/nowhere", "user": "x", "database": "y" } });
    let (lost, good) = (rig.pipeline(&backup("lost", &nowhere, &[])), rig.pipeline(&backup("good", &by_socket(&server, "orders"), &[])));
    let ran = rig.run(["apply".as_ref(), lost.as_path(), good.as_path(), "--format=json".as_ref()]);
    assert!(ran.code == 69 && ran.stderr.contains("/nowhere"), "{} {}", ran.code, ran.stderr);
    let answer = ran.json();
    assert_eq!([&answer["runs"][0]["outcome"], &answer["runs"][1]["outcome"]], ["failed", "done"]);
    assert_eq!(rig.files("store").iter().filter(|file| file.ends_with(".manifest.json")).count(), 1, "good was backed up: {}", ran.stderr);
}

#[test]
fn branches_run_side_by_side_and_one_at_a_time_when_told_so() {
    let server = source(16);
    let branch = |name: &str| {
        let dump = with(step(name, "dump", &json!({ "connection": "db", "format": "plain" })), "needs", json!([]));
        [dump, step(&format!("{name}-keep"), "upload", &json!({ "store": "vault" }))]
    };
    let steps = ["하나", "둘", "셋"].map(branch).concat();
    let rig = Rig::new();
    let path = rig.pipeline(&pipeline("branches", &by_socket(&server, "orders"), &steps));
    for (parallel, together) in [("3", 3), ("1", 1)] {
        let file = rig.path(&format!("events-{parallel}"));
        let arguments = ["apply".as_ref(), path.as_path(), "--parallel".as_ref(), parallel.as_ref(), "--events".as_ref(), file.as_path()];
        rig.run(arguments).ended(0);
        let (mut now, mut most) = (0, 0);
        for event in events(&file) {
            match event["event"].as_str().unwrap() {
                "node-started" => now += 1,
                "node-ended" => now -= 1,
                _ => {}
            }
            most = most.max(now);
        }
        assert_eq!(most, together);
    }
    let manifests: Vec<String> = rig.files("store").into_iter().filter(|file| file.ends_with(".manifest.json")).collect();
    assert_eq!(manifests.len(), 2, "one manifest a run, however many branches");
}

#[test]
fn notifications_follow_the_outcome() {
    let server = source(14);
    let tell =
        |name: &str, when: &str| with(step(name, "notify", &json!({ "file": { "path": format!("told-{name}") } })), "when", json!(when));
    let all = [tell("bad", "failure"), tell("any", "always"), with(tell("good", "success"), "needs", json!(["keep"]))];
    let told = |rig: &Rig| ["bad", "any", "good"].map(|name| rig.path(&format!("told-{name}")).exists());
    let rig = Rig::new();
    let ran = rig.apply(&rig.pipeline(&backup("good", &by_socket(&server, "orders"), &all))).ended(0);
    assert_eq!(told(&rig), [false, true, true], "{}", ran.stderr);
    assert!(ran.stderr.contains("bad skipped"), "{}", ran.stderr);
    let rig = Rig::new();
    let mut failing = backup("failing", &by_socket(&server, "orders"), &all);
    failing["steps"][0]["with"]["tables"] = json!(["없는 표"]);
    let ran = rig.apply(&rig.pipeline(&failing)).ended(10);
    assert_eq!(told(&rig), [true, true, false], "{}", ran.stderr);
    let bad = std::fs::read_to_string(rig.path("told-bad")).unwrap();
    assert!(bad.contains("없는 표") && bad.contains("dump"), "the error and the step are told: {bad}");
}

#[test]
fn a_notification_that_nobody_takes_is_a_warning_unless_told_otherwise() {
    let server = source(18);
    let url = format!("http://127.0.0.1:{}/hook", ports::one());
    let tell = step("tell", "notify", &json!({ "webhook": { "url": url } }));
    let rig = Rig::new();
    let ran = rig.apply(&rig.pipeline(&backup("warned", &by_socket(&server, "orders"), std::slice::from_ref(&tell)))).ended(12);
    let answer = &ran.json()["runs"][0];
    assert_eq!((answer["outcome"].as_str(), answer["level"].as_str()), (Some("warned"), Some("stored")));
    rig.manifest(answer);
    let strict = with(tell, "on_failure", json!("fail"));
    let ran = rig.apply(&rig.pipeline(&backup("strict", &by_socket(&server, "orders"), &[strict])));
    assert!(matches!(ran.code, 10 | 69 | 75), "a failure, and no warning: {} {}", ran.code, ran.stderr);
    rig.manifest(&ran.json()["runs"][0]);
}

#[test]
fn a_plan_is_applied_as_reviewed_and_is_stale_once_the_world_has_changed() {
    let (server, other) = (source(17), source(17));
    let rig = Rig::new();
    let services = rig.path("pg_service.conf");
    let point_to = |server: &TestServer| {
        let (host, port) = (server.socket_folder().display(), server.port);
        std::fs::write(&services, format!("[orders]\nhost={host}\nport={port}\nuser=postgres\ndbname=orders\n")).unwrap();
    };
    let rig = rig.env("PGSERVICEFILE", services.display().to_string());
    point_to(&server);
    let connection = json!({ "postgres": { "service": "orders" } });
    let path = rig.pipeline(&backup("reviewed", &connection, &[]));
    let plan = rig.path("reviewed.plan.json");
    rig.run(["plan".as_ref(), path.as_path(), "-o".as_ref(), plan.as_path()]).ended(0);
    let ran = rig.apply(&plan).ended(0);
    assert_eq!(ran.json()["runs"][0]["level"], "stored");
    // More rows are no other world: the database grows between review and run.
    server.psql("orders", "insert into 주문 select generate_series(1, 5000)");
    rig.apply(&plan).ended(0);
    point_to(&other);
    let stale = rig.apply(&plan).ended(13);
    assert!(stale.stderr.contains("server"), "{}", stale.stderr);
    point_to(&server);
    let mut changed = backup("reviewed", &connection, &[]);
    changed["description"] = json!("바뀜");
    rig.pipeline(&changed);
    let stale = rig.apply(&plan).ended(13);
    assert!(stale.stderr.contains("reviewed.yaml has changed"), "{}", stale.stderr);
    assert_eq!(rig.files("store").iter().filter(|file| file.ends_with(".manifest.json")).count(), 2);
}
