//! Runs as another machine sees them, through the stores alone: good ones, failed ones, dead ones, stuck ones; and whose turn it is.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runner::store::ObjectStore as _;
use runner::store::failed::{End, FailedRun, read_failed};
use rustix::process::Signal;
use serde_json::Value;

use crate::apply_support::{Bench, NAME, Ran, shop};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};
use crate::store_shelf::{Point, point};

const STEPS: &str = "
objectives: { rpo: 26h, rto: 1h, verified_every: 7d }
concurrency: { ttl: 2s }
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

const VERIFY: &str = "  - { id: verify, uses: verify-restore }\n";

/// A status as another machine asks for it: without a home, a state folder or programs of PostgreSQL, from a copy of the pipeline's file.
fn from_elsewhere(bench: &Bench, more: &[&str]) -> Ran {
    let elsewhere = tempfile::TempDir::new().unwrap();
    std::fs::copy(bench.path("pipeline.yaml"), elsewhere.path().join("copy.yaml")).unwrap();
    let mut command = bench.command(&[&["status", "copy.yaml"], more].concat());
    command.current_dir(elsewhere.path()).env("HOME", elsewhere.path()).env("TMPDIR", elsewhere.path()).env("PATH", "/nowhere");
    let output = command.env_remove("RUNNER_PG_BINDIR").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn json(bench: &Bench) -> Value {
    serde_json::from_str::<Value>(&from_elsewhere(bench, &["--format", "json"]).stdout).unwrap()["statuses"][0].clone()
}

/// The words of failed runs in the folder store.
fn words(bench: &Bench) -> Vec<FailedRun> {
    let store = bench.vault();
    let keys = store.list(".runner/").unwrap().into_iter().map(|object| object.key).filter(|key| key.ends_with(".failed.json"));
    keys.map(|key| read_failed(&store.get_bytes(&key, 1 << 20).unwrap()).unwrap()).collect()
}

#[test]
fn a_good_run_is_proven_and_measured_for_whoever_asks_and_a_failed_one_leaves_word() {
    let (bench, mut server) = (Bench::new(), shop(1));
    bench.pipeline(&server, &format!("{STEPS}{VERIFY}"));
    bench.apply().is(0, &[]);
    let ran = from_elsewhere(&bench, &[]);
    ran.is(0, &[]);
    assert!(
        ran.stdout.contains("orders  ● ok") && ran.stdout.contains(", proven, ") && ran.stdout.contains(", measured; RTO 1h"),
        "{}",
        ran.stdout
    );

    std::thread::sleep(Duration::from_millis(1100));
    bench.program("pg_dump", "echo 'pg_dump: error: 주문 is locked' >&2; exit 1");
    bench.apply().is(10, &[]);
    let told = words(&bench);
    let [word] = &told[..] else { panic!("{told:?}") };
    assert_eq!((word.outcome, word.node.as_ref().map(runner::ids::NodeId::as_str)), (End::Failed, Some("dump")));
    assert!(word.error.contains("주문 is locked") && word.ended >= word.started, "{word:?}");
    let status = json(&bench);
    assert_eq!((&status["light"], &status["failures"][0]["run"]), (&"look".into(), &word.run.as_str().into()));
    assert_eq!(status["last_attempt"], word.started.to_string());
    let told = from_elsewhere(&bench, &[]);
    told.is(0, &[]);
    assert!(told.stdout.contains(&format!("~ 1 run failed since the newest restore point; the last, {}", word.run)), "{}", told.stdout);
    bench.run(&["catalog", "check", "pipeline.yaml"]).is(0, &[]);

    // One that can not even start leaves word too.
    std::thread::sleep(Duration::from_millis(1100));
    server.stop();
    bench.apply().is(69, &[]);
    let told = words(&bench);
    assert_eq!((told.len(), told[1].outcome), (2, End::Refused));
    assert!(json(&bench)["failures"][0]["error"].as_str().unwrap().starts_with("it could not start: "), "{}", json(&bench));
    bench.is_clean();
}

#[test]
fn a_verification_that_fails_leaves_its_receipt_and_no_word_and_one_that_was_stopped_leaves_word() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, &format!("{STEPS}  - {{ id: verify, uses: verify-restore, with: {{ min_tables: 99 }} }}\n"));
    bench.apply().is(11, &[]);
    assert_eq!(words(&bench), [], "its restore point tells");
    let ran = from_elsewhere(&bench, &[]);
    ran.is(20, &[]);
    let told =
        ran.stdout.contains(" can not be used: a verification found its content wrong: ") && ran.stdout.contains("at least 99 tables");
    assert!(told && ran.stdout.contains("! there is no restore point that can be used"), "{}", ran.stdout);
    let everything = bench.vault().list(".runner/").unwrap();
    assert!(everything.iter().all(|object| !object.key.contains(".ended-")), "its receipt tells: {everything:?}");

    std::thread::sleep(Duration::from_millis(1100));
    bench.program("pg_dump", "sleep 60");
    let mut run = bench.start();
    run.wait_until("the dump", |events| events.contains("\"event\":\"node-started\""));
    run.signal(Signal::TERM);
    run.end().is(143, &[]);
    assert_eq!(words(&bench).iter().map(|word| word.outcome).collect::<Vec<_>>(), [End::Cancelled]);
    assert!(json(&bench)["failures"][0]["error"].as_str().unwrap().starts_with("it was stopped: "), "{}", json(&bench));
}

#[test]
fn a_run_that_fails_after_its_commit_is_no_good_one_for_whoever_asks_until_it_is_gone_on_with() {
    let (bench, server) = (Bench::new(), shop(1));
    let prune = "  - { id: prune, uses: prune, with: { store: vault, grace: 0s, clock_skew: 0s, keep: { last: 1 } } }\n";
    let after = "  - { id: after, uses: command, with: { argv: [test, -e, \"@/there\"] } }\n";
    bench.pipeline(&server, &format!("{}{after}{prune}", STEPS.replace(", verified_every: 7d", "")));
    let store = bench.vault();
    let old = Point { pipeline: NAME.parse().unwrap(), key: "26.dump".to_owned(), ..point(26) };
    old.put(&store);
    bench.apply().is(10, &[]);
    assert_eq!(words(&bench), [], "it made a restore point");
    let status = json(&bench);
    let run = status["newest"]["run"].as_str().unwrap().to_owned();
    assert_eq!((&status["light"], status["failures"][0]["run"].as_str()), (&"look".into(), Some(run.as_str())), "{status}");
    let told = from_elsewhere(&bench, &[]);
    told.is(0, &[]);
    let said = format!("~ the run of the newest restore point, {run} on ");
    assert!(told.stdout.contains(&said) && told.stdout.contains(", failed: after: "), "{}", told.stdout);
    let metrics = from_elsewhere(&bench, &["--format", "prometheus"]).stdout;
    assert!(metrics.contains(&format!("runner_backup_failed_runs{{pipeline=\"{NAME}\"}} 1\n")), "{metrics}");
    bench.run(&["catalog", "check", "pipeline.yaml"]).is(0, &[]);
    // Another host, without the journal of that run.
    let elsewhere = || bench.run(&["prune", "pipeline.yaml", "--yes", "--state-dir", bench.path("another-host").to_str().unwrap()]);
    elsewhere().is(0, &["a run has failed since: nothing is deleted"]);
    bench.run(&["report", "pipeline.yaml", "--format", "markdown"]).is(0, &[]);

    std::fs::write(bench.path("there"), "").unwrap();
    let state = bench.state();
    bench.run(&["resume", &run, "--again", "after", "--state-dir", state.to_str().unwrap()]).is(0, &[]);
    let status = json(&bench);
    assert_eq!((status["failures"].as_array().unwrap().len(), status["newest"]["run"].as_str()), (0, Some(run.as_str())), "{status}");
    elsewhere().is(0, &["is marked for deletion"]);

    // What is said of a run goes with its restore point.
    std::thread::sleep(Duration::from_millis(1100));
    bench.apply().is(0, &[]);
    for _ in 0..2 {
        elsewhere().is(0, &[]);
    }
    let left: Vec<String> = store.list("").unwrap().into_iter().map(|object| object.key).filter(|key| key.contains(&run)).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_run_without_a_sign_of_life_is_told_and_one_that_was_ruled_out_has_failed() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", "\"$REAL\" \"$@\" | { head -c 500000; sleep 60; }");
    let mut first = bench.start();
    let uploading =
        || crate::apply_support::files(&bench.path("store")).iter().any(|path| path.extension().is_some_and(|end| end == "partial"));
    first.wait_until("the upload", |_| uploading());
    let status = json(&bench);
    assert_eq!((&status["at_work"][0]["stuck"], &status["last_due"]), (&false.into(), &Value::Null), "{status}");
    first.signal(Signal::KILL);
    first.end();
    let lease = std::fs::File::open(bench.path("store/.runner-leases/orders.json")).unwrap();
    lease.set_modified(SystemTime::now() - Duration::from_mins(40)).unwrap();
    let ran = from_elsewhere(&bench, &[]);
    ran.is(20, &[]);
    assert!(
        ran.stdout.contains("has not renewed it for 40 m 0") && ran.stdout.contains("it is stuck or dead; the next run takes over"),
        "{}",
        ran.stdout
    );
    // The next run takes over, rules it out, and fails itself.
    bench.program("pg_dump", "exit 1");
    bench.apply().is(10, &["taking over the lease"]);
    let status = json(&bench);
    let errors: Vec<&str> = status["failures"].as_array().unwrap().iter().map(|failed| failed["error"].as_str().unwrap()).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(errors[1], "it died before its commit, and a later run ruled it out");
    bench.run(&["catalog", "check", "pipeline.yaml"]).is(0, &[]);
}

#[test]
fn a_run_that_gives_way_to_another_leaves_no_word() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", "while ! [ -e @/go ]; do sleep 0.1; done; exec \"$REAL\" \"$@\"");
    let mut first = bench.start();
    first.wait_until("the dump", |events| events.contains("\"event\":\"node-started\""));
    bench.apply().is(14, &[]);
    assert_eq!(words(&bench), []);
    std::fs::write(bench.path("go"), "").unwrap();
    first.end().is(0, &[]);
    assert_eq!(words(&bench), []);
}

#[test]
fn nothing_is_pruned_after_a_failed_run_and_its_word_is_forgotten_in_time() {
    let (bench, server) = (Bench::new(), shop(1));
    let prune = "  - { id: prune, uses: prune, with: { store: vault, grace: 0s, clock_skew: 0s, keep: { last: 1 } } }\n";
    bench.pipeline(&server, &format!("{STEPS}{prune}"));
    let store = bench.vault();
    let orders = |hours| Point { pipeline: NAME.parse().unwrap(), key: format!("{hours}.dump"), ..point(hours) };
    for hours in [2, 26, 50] {
        orders(hours).put(&store);
    }
    let told = |hours: i64| FailedRun {
        pipeline: NAME.parse().unwrap(),
        ..crate::status_reading::word(&crate::store_shelf::run(hours), "no route")
    };
    let (old, young) = (told(24 * 100), told(24 * 80));
    for word in [&old, &young] {
        runner::store::failed::add_failed(&store, word).unwrap();
    }
    runner::store::lease::rule_out(&store, &NAME.parse().unwrap(), &crate::store_shelf::run(24 * 101)).unwrap();
    bench.program("pg_dump", "exit 1");
    bench.apply().is(10, &[]);
    let plan = bench.run(&["plan", "pipeline.yaml"]);
    assert!(plan.stdout.contains("a run has failed since: nothing is deleted"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("to mark for deletion"), "{}", plan.stdout);
    assert_eq!(words(&bench).len(), 3);

    std::thread::sleep(Duration::from_millis(1100));
    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    bench.apply().is(0, &[]);
    let said = bench.run(&["prune", "pipeline.yaml", "--yes"]);
    said.is(0, &["deletes 2 records in vault of runs without a restore point, from more than 90 days ago", "2 records of runs without"]);
    let left: Vec<Timestamp> = words(&bench).iter().map(|word| word.started).collect();
    assert_eq!((left.len(), left[0]), (2, young.started), "one of 80 days ago and that of just now");
}

#[test]
fn a_real_run_on_s3_is_judged_from_the_bucket_alone() {
    let (mut bench, server, weed, client) = (Bench::new(), shop(1), S3Server::seaweed(), Client::new());
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let cloud = format!(
        "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
        weed.endpoint()
    );
    bench.pipeline(&server, &format!("{cloud}{}{VERIFY}", STEPS.replace("store: vault", "store: cloud")));
    bench.apply().is(0, &[]);
    let ran = from_elsewhere(&bench, &[]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("orders  ● ok") && ran.stdout.contains("1, in cloud"), "{}", ran.stdout);
    std::thread::sleep(Duration::from_millis(1100));
    bench.program("pg_dump", "exit 1");
    bench.apply().is(10, &[]);
    let direct = client.store(&spec(&weed.endpoint()));
    assert_eq!(direct.list(".runner/orders/").unwrap().iter().filter(|object| object.key.ends_with(".failed.json")).count(), 1);
    assert_eq!(json(&bench)["failures"].as_array().unwrap().len(), 1);
}

/// A pipeline file of this name and schedule in `pipelines/`.
fn scheduled(bench: &Bench, server: &crate::servers::postgres::TestServer, name: &str, head: &str) {
    let rest = format!(
        "{head}\nsteps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}\n  - {{ id: upload, uses: upload, with: {{ store: vault, key: \"{name}/{{{{ run.id }}}}.dump\" }} }}\n"
    );
    bench.pipeline(server, &rest);
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap().replace(&format!("name: {NAME}"), &format!("name: {name}"));
    std::fs::create_dir_all(bench.path("pipelines")).unwrap();
    std::fs::write(bench.path(&format!("pipelines/{name}.yaml")), yaml).unwrap();
}

#[test]
fn apply_due_runs_those_whose_turn_it_is_and_says_why_and_why_not() {
    let (bench, server) = (Bench::new(), shop(1));
    // A time of day that passed an hour ago, one that comes in two hours.
    let clock = |hours: i64| {
        let at = (Timestamp::now() + SignedDuration::from_hours(hours)).to_zoned(TimeZone::UTC);
        format!("{} {} * * *", at.minute(), at.hour())
    };
    scheduled(&bench, &server, "새벽", &format!("schedule: {{ cron: \"{}\" }}\nobjectives: {{ rpo: 26h }}", clock(-1)));
    scheduled(&bench, &server, "저녁", &format!("schedule: {{ cron: \"{}\" }}\nobjectives: {{ rpo: 26h }}", clock(2)));
    scheduled(&bench, &server, "수시", "objectives: { rpo: 6h }");
    let store = bench.vault();
    for (name, hours) in [("새벽", 3), ("저녁", 3), ("수시", 2)] {
        Point { pipeline: name.parse().unwrap(), key: format!("{name}.{hours}"), ..point(hours) }.put(&store);
    }
    std::fs::write(
        bench.path("pipelines/훈련.yaml"),
        format!("version: 1\nname: 훈련\nstores: {{ vault: {{ local: {{ path: {} }} }} }}\nsteps:\n  - {{ id: verify, uses: verify-restore, with: {{ from: {{ store: vault, pipeline: 새벽 }} }} }}\n", bench.path("store").display()),
    )
    .unwrap();
    let due = |more: &[&str]| bench.run(&[&["apply", "--due", "--state-dir", bench.path("state").to_str().unwrap()], more].concat());
    let first = due(&[]);
    first.is(
        0,
        &[
            "새벽: due: ",
            "has passed since the newest point",
            "저녁: not due: the newest point is ",
            "수시: not due: half of the RPO of 6h has not passed",
        ],
    );
    first.is(0, &["훈련: not due: it makes no restore points"]);
    assert_eq!(first.stderr.matches("journal: ").count(), 1, "one ran: {}", first.stderr);
    let again = due(&["--format", "json"]);
    again.is(0, &["새벽: not due: "]);
    let answer: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((answer["runs"].as_array().unwrap().len(), answer["turns"].as_array().unwrap().len()), (0, 4), "{answer}");
    // Named, and with nothing to go by.
    scheduled(&bench, &server, "언제나", "");
    due(&["언제나"]).is(0, &["언제나: due: there is no restore point"]);
    due(&["언제나"]).is(0, &["언제나: due: it has neither a schedule nor an RPO"]);
    due(&["plan.json"]).is(64, &["--due takes pipelines and no plan file"]);
    bench.run(&["apply"]).is(64, &[]);
}
