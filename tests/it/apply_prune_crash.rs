//! `prune` on a real S3 server that fails, and under `kill -9`: nothing protected goes, and the next run ends as an undisturbed one.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use runner::store::ObjectStore;
use runner::store::catalog::look_again;
use runner::store::manifest::manifest_key;
use runner::store::mark::{Author, Wish, add};
use runner::store::s3::S3Store;

use crate::apply_support::{Bench, Ran};
use crate::servers::faulty_s3::{Fault, FaultyS3, Rule, rule};
use crate::servers::seaweed::{ACCESS_KEY, Client, S3Server, SECRET_KEY, spec};
use crate::store_shelf::{PIPELINE, Point, keys, point};

const HOURS: [i64; 4] = [1, 25, 49, 73];
const ALWAYS: u32 = u32::MAX;

struct Scene {
    bench: Bench,
    store: S3Store,
    _client: Client,
    server: S3Server,
}

impl Scene {
    fn new() -> Self {
        let (mut bench, server, client) = (Bench::new(), S3Server::seaweed(), Client::new());
        bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
        bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        bench.env("AWS_EC2_METADATA_DISABLED", "true");
        let store = client.store(&spec(&server.endpoint()));
        Self { bench, store, _client: client, server }
    }

    /// Begins again with four points, of which one rule keeps two.
    fn fill(&self) -> Vec<Point> {
        for key in keys(&self.store) {
            self.store.delete(&key).unwrap();
        }
        let points: Vec<Point> = HOURS.iter().map(|hours| point(*hours)).collect();
        for point in &points {
            point.put(&self.store);
        }
        points
    }

    fn at(&self, endpoint: &str) {
        let store = serde_json::to_string(&spec(endpoint)).unwrap();
        let with = "store: vault, grace: 0s, clock_skew: 0s, keep: { last: 2 }";
        self.bench.text(&format!(
            "version: 1\nname: {PIPELINE}\nstores: {{ vault: {{ s3: {store} }} }}\nsteps:\n  - {{ id: prune, uses: prune, retry: {{ attempts: 1 }}, with: {{ {with} }} }}\n"
        ));
    }

    fn prune(&self) -> Ran {
        self.bench.run(&["prune", "pipeline.yaml", "--yes"])
    }

    /// Prunes through a server with faults.
    fn through(&self, rules: Vec<Rule>) -> (Ran, FaultyS3) {
        let proxy = FaultyS3::before(self.server.address, rules);
        self.at(&proxy.endpoint());
        (self.prune(), proxy)
    }

    /// What an undisturbed run leaves of these points.
    fn expected(&self, points: &[Point]) -> Vec<String> {
        keys(&self.store).into_iter().filter(|key| points[2..].iter().all(|point| !key.contains(point.run.as_str()))).collect()
    }
}

/// Waits for something, for a minute at most.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_prune_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let scene = Scene::new();
    // The tombstone's writing, and every kind of deletion in its order.
    let places = [
        ("PUT", "tombstone"),
        ("DELETE", ".manifest.json"),
        ("DELETE", ".dump"),
        ("DELETE", ".dump.sha256"),
        ("DELETE", ".recipe.txt"),
        ("DELETE", "tombstone"),
    ];
    for (method, holds) in places {
        let points = scene.fill();
        let expected = scene.expected(&points);
        if method == "DELETE" {
            scene.at(&scene.server.endpoint());
            scene.prune().is(0, &[]);
        }
        let proxy = FaultyS3::before(scene.server.address, vec![rule(method, holds, ALWAYS, Fault::Hang)]);
        scene.at(&proxy.endpoint());
        let mut child = scene.bench.command(&["prune", "pipeline.yaml", "--yes"]).spawn().unwrap();
        until(holds, || proxy.saw(method, holds) || child.try_wait().unwrap().is_some());
        assert!(proxy.saw(method, holds), "{method} {holds} was never asked for");
        child.kill().unwrap();
        child.wait().unwrap();
        scene.at(&scene.server.endpoint());
        for _ in 0..2 {
            scene.prune().is(0, &[]);
        }
        assert_eq!(keys(&scene.store), expected, "killed at {method} {holds}");
    }
}

#[test]
fn a_store_that_fails_or_tells_a_part_has_nothing_deleted() {
    let scene = Scene::new();
    let points = scene.fill();
    let expected = scene.expected(&points);
    scene.at(&scene.server.endpoint());
    scene.prune().is(0, &[]);
    let before = keys(&scene.store);
    let last = points[3].run.as_str().to_owned();
    let last: &'static str = Box::leak(last.into_boxed_str());
    let faults: [(&'static str, &'static str, Fault); 6] = [
        ("GET", "list-type=2", Fault::Answer(500, "InternalError")),
        ("GET", "list-type=2", Fault::Answer(403, "AccessDenied")),
        ("GET", "list-type=2", Fault::CutAnswer(900)),
        ("GET", ".manifest.json", Fault::Answer(503, "SlowDown")),
        ("GET", last, Fault::Answer(500, "InternalError")),
        ("GET", ".manifest.json", Fault::CutAnswer(100)),
    ];
    for (method, holds, fault) in faults {
        let words = format!("{method} {holds} {fault:?}");
        let (ran, _proxy) = scene.through(vec![rule(method, holds, ALWAYS, fault)]);
        assert_ne!(ran.code, 0, "{words}\n{}", ran.stderr);
        assert_eq!(keys(&scene.store), before, "{words}\n{}", ran.stderr);
    }
    // A deletion that the store refuses is told; a later run does it.
    let (ran, _proxy) = scene.through(vec![rule("DELETE", ".dump", ALWAYS, Fault::Answer(403, "AccessDenied"))]);
    ran.is(77, &["could not be deleted, a later run tries again", "refuses to delete"]);
    assert!(points.iter().all(|point| scene.store.head(&point.key).unwrap().is_some()));
    scene.at(&scene.server.endpoint());
    scene.prune().is(0, &["an earlier deletion was not finished"]);
    assert_eq!(keys(&scene.store), expected);
}

#[test]
fn an_undelete_that_comes_while_a_prune_reads_what_manifests_name_saves_the_point() {
    let scene = Scene::new();
    let points = scene.fill();
    scene.at(&scene.server.endpoint());
    scene.prune().is(0, &[]);
    let proxy = FaultyS3::before(scene.server.address, vec![rule("GET", ".manifest.json", ALWAYS, Fault::Slow(1500))]);
    scene.at(&proxy.endpoint());
    let child = scene.bench.command(&["prune", "pipeline.yaml", "--yes"]).spawn().unwrap();
    until("the lease", || proxy.saw("PUT", "lease"));
    std::thread::sleep(Duration::from_millis(700));
    let (_, marks) = look_again(&scene.store, &points[2].pipeline, &points[2].run).unwrap();
    let wish = Wish::Undelete { reason: "needed".to_owned() };
    add(&scene.store, (&points[2].pipeline, &points[2].run), wish, Author { by: "김", now: Timestamp::now() }, &marks).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("is left as it is"), "{said}");
    let left: Vec<bool> = points.iter().map(|point| scene.store.head(&point.key).unwrap().is_some()).collect();
    assert_eq!(left, [true, true, true, false], "{said}");
}

#[test]
fn a_pin_of_a_point_that_is_deleted_meanwhile_fails() {
    let scene = Scene::new();
    let points = scene.fill();
    let proxy = FaultyS3::before(scene.server.address, vec![rule("PUT", ".pin-", ALWAYS, Fault::Slow(1500))]);
    scene.at(&proxy.endpoint());
    let id = points[3].run.as_str();
    let child = scene.bench.command(&["pin", "pipeline.yaml", id, "--until", "2999-12-31", "--reason", "감사"]).spawn().unwrap();
    until("the pin", || proxy.saw("PUT", ".pin-"));
    scene.store.delete(&manifest_key(&points[3].pipeline, &points[3].run)).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("was deleted from vault before its pin took effect"), "{said}");
}
