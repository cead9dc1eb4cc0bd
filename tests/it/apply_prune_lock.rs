//! `prune` in a bucket with object lock, on a real server: what is locked stays, and a plan says so before anything is asked to go.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use aws_sdk_s3::types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus};
use jiff::{SignedDuration, Timestamp};
use runner::store::spec::S3Spec;

use crate::apply_support::{Bench, keys};
use crate::servers::seaweed::{ACCESS_KEY, Client, S3Server, SECRET_KEY, spec};
use crate::store_shelf::{PIPELINE, of, point};

const BUCKET: &str = "locked";

/// The bucket, with a lock on what is written, or without.
fn bucket(server: &S3Server, days: Option<u32>) -> S3Spec {
    let object_lock = days.map(|days| serde_json::from_value(serde_json::json!({ "mode": "governance", "days": days })).unwrap());
    S3Spec { bucket: BUCKET.to_owned(), object_lock, ..spec(&server.endpoint()) }
}

#[test]
fn prune_keeps_what_is_under_object_lock_and_says_until_when() {
    let (mut bench, server, client) = (Bench::new(), S3Server::seaweed(), Client::new());
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let raw = Client::raw(&server);
    client.runtime.block_on(raw.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send()).unwrap();
    let (locking, free) = (client.store(&bucket(&server, Some(3))), client.store(&bucket(&server, None)));
    let points = [1, 25, 49, 73, 97].map(point);
    for (point, locked) in points.iter().zip([true, true, true, false, false]) {
        point.put(if locked { &locking } else { &free });
    }
    let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    let key = format!("{}/{}", bucket(&server, None).prefix, points[4].key);
    client.runtime.block_on(raw.put_object_legal_hold().bucket(BUCKET).key(key).legal_hold(hold).send()).unwrap();
    let store = serde_json::to_string(&bucket(&server, Some(3))).unwrap();
    bench.text(&format!(
        "version: 1\nname: {PIPELINE}\nconnections: {{ shop: {{ postgres: {{ host: 127.0.0.1, port: 1, user: nobody, database: shop }} }} }}\nstores: {{ vault: {{ s3: {store} }} }}\nsteps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}\n  - {{ id: upload, uses: upload, with: {{ store: vault }} }}\n  - {{ id: prune, uses: prune, with: {{ store: vault, grace: 0s, clock_skew: 0s, keep: {{ last: 1 }} }} }}\n"
    ));

    let ran = bench.run(&["plan", "pipeline.yaml", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let plan = plan.pointer("/plans/0").unwrap_or(&plan);
    let node = plan["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "prune").unwrap();
    let reason = node["reason"].as_str().unwrap();
    assert!(
        reason.contains("4 points kept, 3 of them only by object lock without an end (legal hold) at the latest, 1 to mark"),
        "{reason}"
    );
    let text = node.to_string();
    let until = |run: &str| {
        let after =
            text.split(&format!("{{\"run\":\"{run}\",\"until\":\"")).nth(1).unwrap_or_else(|| panic!("{run} is not locked: {text}"));
        after.split('"').next().unwrap().parse::<Timestamp>().unwrap()
    };
    let days = SignedDuration::from_hours(72);
    for point in &points[1..3] {
        let left = until(point.run.as_str()).duration_since(Timestamp::now());
        assert!(left < days && left > days - SignedDuration::from_mins(5), "{left:?}");
    }
    assert_eq!(until(points[4].run.as_str()), Timestamp::MAX);

    let page = bench.run(&["report", "pipeline.yaml"]).stdout;
    assert!(page.contains("kept 4") && page.contains("due to go 1") && page.contains("object lock until "), "{page}");

    // Twice, for the two phases: the one that is not locked goes, the others are not even marked.
    let before = keys(&free);
    for _ in 0..2 {
        bench.run(&["prune", "pipeline.yaml", "--yes"]).is(0, &["only by object lock"]);
    }
    let left: Vec<String> = before.into_iter().filter(|key| !key.contains(points[3].run.as_str())).collect();
    assert_eq!((keys(&free), of(&free, &points[3].run)), (left, Vec::new()));
}

#[test]
fn prune_asks_for_locks_again_before_it_deletes() {
    let (mut bench, server, client) = (Bench::new(), S3Server::seaweed(), Client::new());
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let raw = Client::raw(&server);
    client.runtime.block_on(raw.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send()).unwrap();
    let direct = client.store(&bucket(&server, None));
    let points = [1, 25, 49].map(point);
    for point in &points {
        point.put(&direct);
    }
    let store = serde_json::to_string(&bucket(&server, None)).unwrap();
    // A slow step gives others time between the plan and the deletion.
    let wait = "  - { id: wait, uses: command, with: { argv: [sh, -c, 'touch @/started; while ! test -e @/go; do sleep 0.1; done'] } }\n";
    bench.text(&format!(
        "version: 1\nname: {PIPELINE}\nstores: {{ vault: {{ s3: {store} }} }}\nsteps:\n{wait}  - {{ id: prune, uses: prune, with: {{ store: vault, grace: 0s, clock_skew: 0s, keep: {{ last: 1 }} }} }}\n"
    ));
    bench.run(&["prune", "pipeline.yaml", "--yes"]).is(0, &["is marked for deletion"]);
    let mut running = bench.start();
    let started = bench.path("started");
    running.wait_until("the slow step", |_| started.exists());
    let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    let key = format!("{}/{}", bucket(&server, None).prefix, points[1].key);
    client.runtime.block_on(raw.put_object_legal_hold().bucket(BUCKET).key(key).legal_hold(hold).send()).unwrap();
    let before = of(&direct, &points[1].run);
    std::fs::write(bench.path("go"), "").unwrap();
    let said = format!("{} is left as it is: object lock without an end (legal hold)", points[1].run);
    running.end().is(0, &[&said, &format!("{} is deleted", points[2].run)]);
    assert_eq!((of(&direct, &points[1].run), of(&direct, &points[2].run)), (before, Vec::new()));
}
