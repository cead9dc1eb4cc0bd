//! Two hosts whose clocks are twenty minutes apart, one ten behind and one ten ahead, on one S3 server: nothing goes that should stay, no
//! lease is lost or taken by a clock, and what lies in the future is no surprise.
//!
//! The clock of the real binary is shifted by libfaketime (Debian: faketime), its monotonic clock is not.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use runner::ids::RunId;
use runner::store::ObjectStore as _;
use runner::store::catalog;
use runner::store::commit::points;
use runner::store::s3::S3Store;
use rustix::process::Signal;

use crate::apply_support::{Bench, NAME, is_dump, keys, shop};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};
use crate::store_shelf::{PIPELINE, point};

/// The library that shifts a clock.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.is_file());
    found.next().expect("libfaketime is not there: run .ci/setup (Debian: faketime)")
}

/// The variables under which a process believes another time of day.
fn shift(offset: &str) -> [(&'static str, String); 3] {
    let library = library().to_string_lossy().into_owned();
    [("LD_PRELOAD", library), ("FAKETIME", offset.to_owned()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned())]
}

/// A host behind, a host ahead, and the truth.
struct Scene {
    slow: Bench,
    fast: Bench,
    store: S3Store,
    database: TestServer,
    server: S3Server,
    _client: Client,
}

/// The dump sends a part, and the rest only when a file is there.
const HELD_BACK: &str = "\"$REAL\" \"$@\" | { head -c 1000; touch @/begun; while ! [ -e @/go ]; do sleep 0.1; done; cat; }";

impl Scene {
    fn new() -> Self {
        let (database, server, client) = (shop(0), S3Server::seaweed(), Client::new());
        let host = |offset| {
            let mut bench = Bench::new();
            bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
            bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            for (name, value) in shift(offset) {
                bench.env(name, &value);
            }
            bench
        };
        let store = client.store(&spec(&server.endpoint()));
        Self { slow: host("-10m"), fast: host("+10m"), store, database, server, _client: client }
    }

    /// The pipeline of both hosts: a dump, an upload, and a `prune` by these rules.
    fn rules(&self, prune: &str) {
        let endpoint = self.server.endpoint();
        let text = format!(
            "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
concurrency: {{ ttl: 1s }}
defaults: {{ retry: {{ attempts: 1 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud, key: \"{{{{ run.id }}}}.dump\" }} }}
  - {{ id: prune, uses: prune, with: {{ store: cloud, {prune} }} }}\n"
        );
        for host in [&self.slow, &self.fast] {
            host.pipeline(&self.database, &text);
        }
    }

    fn points(&self) -> Vec<RunId> {
        points(&self.store, &NAME.parse().unwrap()).unwrap().into_iter().map(|point| point.run).collect()
    }

    /// The points that are on the way out.
    fn marked(&self) -> Vec<RunId> {
        let read = catalog::read(&self.store, &NAME.parse().unwrap()).unwrap();
        read.points.into_iter().filter(|point| point.marks.tombstoned.is_some()).map(|point| point.summary.run).collect()
    }

    /// Makes a restore point; answers its id.
    fn apply(&self, host: &Bench) -> RunId {
        let before = self.points();
        host.apply().is(0, &[]);
        self.points().into_iter().find(|run| !before.contains(run)).unwrap()
    }

    fn prune(host: &Bench) -> String {
        let ran = host.run(&["prune", "pipeline.yaml", "--yes"]);
        ran.is(0, &[]);
        ran.stderr
    }
}

#[test]
fn the_time_of_day_is_shifted_and_the_monotonic_clock_is_not() {
    let told = |offset: Option<&str>| {
        let mut python = Command::new("python3");
        python.args(["-c", "import time; print(time.time(), time.monotonic())"]).env_clear();
        python.envs(offset.map(shift).into_iter().flatten());
        let output = python.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        (numbers[0], numbers[1])
    };
    let (real, steady) = told(None);
    for (offset, seconds) in [("-10m", -600.0), ("+10m", 600.0)] {
        let (shifted, same) = told(Some(offset));
        assert!((shifted - real - seconds).abs() < 60.0 && (same - steady).abs() < 60.0, "{offset}: {shifted} {same}");
    }
}

#[test]
fn apply_and_prune_delete_nothing_in_its_grace_whichever_clock_is_ahead() {
    let scene = Scene::new();
    let points = [1, 25, 49].map(point);
    for (marks, judges) in [(&scene.slow, &scene.fast), (&scene.fast, &scene.slow)] {
        for key in keys(&scene.store) {
            scene.store.delete(&key).unwrap();
        }
        for point in &points {
            point.put(&scene.store);
        }
        let rules = |skew: &str| {
            let store = serde_json::to_string(&spec(&scene.server.endpoint())).unwrap();
            for host in [marks, judges] {
                host.text(&format!(
                    "version: 1\nname: {PIPELINE}\nstores: {{ cloud: {{ s3: {store} }} }}\nsteps:\n  - {{ id: prune, uses: prune, with: {{ store: cloud, keep: {{ last: 1 }}, grace: 5m{skew} }} }}\n"
                ));
            }
        };
        rules("");
        assert!(Scene::prune(marks).contains("1 point kept, 2 to mark"));
        let before = keys(&scene.store);
        let said = Scene::prune(judges);
        assert!(said.contains("1 point kept, 2 wait for the end of their grace"), "{said}");
        assert_eq!(keys(&scene.store), before);
        // A pipeline that says that the clocks are right loses them: it is the difference allowed for that saved them.
        rules(", clock_skew: 0s");
        let said = Scene::prune(judges);
        assert_eq!(said.contains("2 to delete"), std::ptr::eq(judges, &raw const scene.fast), "{said}");
    }
}

#[test]
fn apply_on_clocks_twenty_minutes_apart_commits_and_keeps_what_may_be_the_newest() {
    let scene = Scene::new();
    scene.rules("keep: { last: 1 }, grace: 0s");
    // Truly one after the other; the host ahead made the middle one.
    let ids = [scene.apply(&scene.slow), scene.apply(&scene.fast), scene.apply(&scene.slow)];
    let [first, ahead, last] = &ids;
    let apart = ahead.started().duration_since(last.started());
    assert!(apart > SignedDuration::from_mins(18) && apart < SignedDuration::from_mins(22), "{apart:?}");
    assert_eq!(scene.points(), [ahead, last, first].map(Clone::clone), "all have committed, whatever their clocks say");
    // Whichever is the newest, nobody can tell: both hosts keep all three, for they are closer together than clocks may differ.
    for host in [&scene.slow, &scene.fast] {
        let said = Scene::prune(host);
        assert!(said.contains("3 points kept"), "{said}");
    }
    assert_eq!(scene.marked(), []);
    // Without any difference allowed for, each host believes its own clock: what lies in its future counts for no rule, and stays.
    scene.rules("keep: { last: 1 }, grace: 0s, clock_skew: 0s");
    let said = Scene::prune(&scene.slow);
    assert!(said.contains("2 points kept, 1 to mark"), "{said}");
    assert_eq!(scene.marked(), std::slice::from_ref(first));
    scene.rules("keep: { last: 1 }, grace: 0s");
    let said = Scene::prune(&scene.fast);
    assert!(said.contains("1 wanted again"), "{said}");
    assert_eq!((scene.marked(), scene.points().len()), (Vec::new(), 3));
}

#[test]
fn apply_beside_points_of_the_future_lists_shows_and_marks_them() {
    let scene = Scene::new();
    scene.rules("keep: { last: 9 }");
    let (ahead, behind) = (scene.apply(&scene.fast), scene.apply(&scene.slow));
    let ask = |host: &Bench, words: &[&str]| {
        let ran = host.run(words);
        assert!(
            ran.code == 0 && !ran.stderr.contains("panicked") && !ran.stderr.contains("defect"),
            "{words:?}\n{}{}",
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    };
    for host in [&scene.slow, &scene.fast] {
        let listed = ask(host, &["list", "pipeline.yaml"]);
        let place = |run: &RunId| listed.find(run.as_str()).unwrap();
        assert!(place(&ahead) < place(&behind), "{listed}");
        let shown = ask(host, &["show", "pipeline.yaml", "--at", "latest"]);
        assert!(shown.contains(ahead.as_str()), "{shown}");
        ask(host, &["diff", "pipeline.yaml"]);
        ask(host, &["plan", "pipeline.yaml"]);
        ask(host, &["catalog", "check", "pipeline.yaml", "--digests"]);
        let state = host.state();
        assert!(ask(host, &["runs", "--state-dir", state.to_str().unwrap()]).contains(NAME));
    }
    // By a time: the newest that is not later than it, by the clocks that made them.
    let between = (behind.started() + SignedDuration::from_mins(5)).to_string();
    assert!(ask(&scene.fast, &["show", "pipeline.yaml", "--at", &between]).contains(behind.as_str()));

    // The host ahead marks; whoever is behind takes it back, and is believed though its clock says that it came first.
    let mark = |host: &Bench| {
        scene.rules("keep: { last: 1 }, clock_skew: 0s");
        Scene::prune(host);
        scene.rules("keep: { last: 1 }");
    };
    mark(&scene.fast);
    assert_eq!(scene.marked(), std::slice::from_ref(&behind));
    ask(&scene.slow, &["undelete", "pipeline.yaml", behind.as_str()]);
    assert_eq!(scene.marked(), []);
    mark(&scene.fast);
    assert_eq!(scene.marked(), std::slice::from_ref(&behind), "and the next mark counts again");
    ask(&scene.slow, &["undelete", "pipeline.yaml", behind.as_str()]);

    // A pin that by the clock of the host ahead is over, and truly is not.
    let until = (Timestamp::now() + SignedDuration::from_mins(5)).to_string();
    ask(&scene.slow, &["pin", "pipeline.yaml", behind.as_str(), "--until", &until, "--reason", "감사"]);
    scene.rules("keep: { last: 1 }, clock_skew: 19m");
    Scene::prune(&scene.fast);
    assert_eq!(scene.marked(), []);
}

#[test]
fn apply_waits_for_and_takes_over_a_lease_by_no_clock_but_its_own_steady_one() {
    let scene = Scene::new();
    scene.rules("keep: { last: 9 }");
    for (holder, other) in [(&scene.slow, &scene.fast), (&scene.fast, &scene.slow)] {
        holder.program("pg_dump", HELD_BACK);
        let mut first = holder.start();
        let begun = holder.path("begun");
        first.wait_until("the dump", |_| begun.exists());
        // It is alive for longer than its lease holds without being renewed, and twenty minutes away.
        std::thread::sleep(Duration::from_millis(1500));
        other.apply().is(14, &["is held by run "]);
        first.signal(Signal::STOP);
        let since = Instant::now();
        other.apply().is(0, &["taking over the lease `orders`", "it was not renewed for longer than it holds"]);
        assert!(since.elapsed() > Duration::from_millis(1250), "{:?}", since.elapsed());
        std::fs::write(holder.path("go"), "").unwrap();
        first.signal(Signal::CONT);
        first.end().is(14, &["the lease `orders` is lost"]);
        holder.program("pg_dump", "exec \"$REAL\" \"$@\"");
        std::fs::remove_file(holder.path("begun")).unwrap();
        std::fs::remove_file(holder.path("go")).unwrap();
    }
    scene.slow.apply().is(0, &[]);
    scene.fast.apply().is(0, &[]);
    let runs = scene.points();
    assert_eq!(runs.len(), 4, "each of the two that took over, and two more");
    assert_eq!(keys(&scene.store).iter().filter(|key| is_dump(key)).count(), 4);
    assert_eq!(scene.store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}
