//! Runs that are stopped, politely or with `kill -9`: what they leave is never taken for a restore point, and the next run
//! cleans up after them.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::time::{Duration, Instant};

use runner::event::{Outcome, State, What};
use runner::store::ObjectStore as _;
use rustix::process::Signal;

use crate::apply_support::{Bench, everything, files, keys, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

/// A dump that is committed and verified.
const STEPS: &str = "
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { codec: zstd, level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
  - { id: verify, uses: verify-restore, with: { min_tables: 2 } }
  - { id: tell, uses: notify, when: always, with: { file: { path: @/told.ndjson } } }
";

/// Sends a part of the dump, then waits as long as the run lets it; its child can not be asked to end.
const HANGING: &str = "\"$REAL\" \"$@\" | head -c 900000; (trap '' TERM INT; sleep 100)";

fn holds(events: &str, kind: &str, node: &str) -> bool {
    events.lines().any(|line| line.contains(&format!("\"event\":\"{kind}\"")) && line.contains(&format!("\"node\":\"{node}\"")))
}

/// Whether bytes of the dump have arrived in the store, under a name that is not final.
fn is_uploading(bench: &Bench) -> bool {
    files(&bench.path("store")).iter().any(|path| path.extension().is_some_and(|ending| ending == "partial"))
}

/// Whether a scratch server runs.
fn is_restoring(bench: &Bench) -> bool {
    files(&bench.path("tmp")).iter().any(|path| path.ends_with("postmaster.pid"))
}

/// A moment of a run.
type Moment<'a> = (&'a str, &'a dyn Fn(&str) -> bool);

/// Kills runs at these moments and answers what they all said. What is committed is whole, what is not is no restore point; a last run cleans up after all of them.
fn killed_at(bench: &Bench, server: &TestServer, moments: &[Moment<'_>]) -> String {
    let mut said = String::new();
    for (name, moment) in moments {
        bench.pipeline(server, STEPS);
        let before = bench.points().len();
        let mut running = bench.start();
        running.wait_until(name, moment);
        running.signal(Signal::KILL);
        let ran = running.end();
        assert_eq!(ran.code, -9, "{name}: it was killed, and did not end by itself");
        said.push_str(&ran.stderr);
        let journal = bench.journal();
        let has = |wanted: &dyn Fn(&What) -> bool| journal.iter().any(|event| wanted(&event.what));
        let stored = has(&|what| matches!(what, What::NodeEnded { node, state: State::Done, .. } if node.as_str() == "dump"));
        let begun = has(&|what| matches!(what, What::NodeStarted { node, .. } if node.as_str() == ":commit"));
        let points = bench.points();
        assert!(points.len() == before || stored && begun, "{name}: a restore point that no journal accounts for: {}", bench.story());
        assert!(!has(&|what| matches!(what, What::RunEnded { .. })), "{name}: {}", bench.story());
        for point in &points {
            is_whole(bench, point);
        }
    }
    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    let known = bench.points().len();
    let ran = bench.apply();
    ran.is(0, &[]);
    assert_eq!(bench.points().len(), known + 1);
    // Who was killed between making a folder and locking it left it empty; it is taken for one in the making for a minute.
    for path in everything(&bench.path("tmp")) {
        drop(std::fs::remove_dir(path));
    }
    bench.is_clean();
    said + &ran.stderr
}

/// The object of a restore point is there, with the bytes that its manifest names.
fn is_whole(bench: &Bench, point: &runner::store::commit::PointSummary) {
    let object = bench.manifest(point).artifacts.remove(0).object;
    let mut stream = bench.vault().get(&object.key, &runner::stream::Cancel::new()).unwrap();
    let mut bytes = 0;
    while let Some(chunk) = stream.pull().unwrap() {
        bytes += chunk.len() as u64;
    }
    assert_eq!(bytes, object.bytes);
}

#[test]
fn apply_killed_while_it_dumps_and_uploads_commits_nothing() {
    let (bench, server) = (Bench::new(), shop(4));
    bench.program("pg_dump", "\"$REAL\" \"$@\" | (head -c 900000; sleep 3; cat)");
    let uploading = |_: &str| is_uploading(&bench);
    killed_at(
        &bench,
        &server,
        &[
            ("the run's beginning", &|events| events.contains("\"event\":\"run-started\"")),
            ("the dump's beginning", &|events| holds(events, "node-started", "dump")),
            ("the upload", &uploading),
            ("bytes on their way", &|events| holds(events, "progress", "dump")),
        ],
    );
}

#[test]
fn apply_killed_around_its_commit_has_a_whole_restore_point_or_none() {
    let (bench, server) = (Bench::new(), shop(2));
    killed_at(
        &bench,
        &server,
        &[
            ("the end of the upload", &|events| holds(events, "node-ended", "dump")),
            ("the beginning of the commit", &|events| holds(events, "node-started", ":commit")),
            ("the end of the commit", &|events| holds(events, "node-ended", ":commit")),
        ],
    );
}

#[test]
fn apply_killed_while_it_verifies_is_cleaned_up_after_by_the_next_run() {
    let (bench, server) = (Bench::new(), shop(2));
    let restoring = |_: &str| is_restoring(&bench);
    bench.program("pg_restore", "case \"$*\" in *--list*) ;; *) touch @/restoring; sleep 2;; esac; exec \"$REAL\" \"$@\"");
    let loading = |_: &str| bench.path("restoring").exists();
    let said = killed_at(
        &bench,
        &server,
        &[
            ("the beginning of the verification", &|events| holds(events, "node-started", "verify")),
            ("the scratch server", &restoring),
            ("the restore", &loading),
            ("the checks", &|events| holds(events, "node-started", "verify:check")),
        ],
    );
    for words in ["removed the scratch server of a killed run", "removed the private files of a killed run"] {
        assert!(said.contains(words), "{words:?} is missing in:\n{said}");
    }
}

#[test]
fn apply_stopped_by_a_signal_undoes_what_it_began_and_tells() {
    let (bench, server) = (Bench::new(), shop(2));
    for (signal, code, name) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")] {
        bench.pipeline(&server, STEPS);
        bench.program("pg_dump", HANGING);
        let mut running = bench.start();
        running.wait_until("the upload", |_| is_uploading(&bench));
        let began = Instant::now();
        running.signal(signal);
        let ran = running.end();
        ran.is(code, &["stopping: children and uploads are ended", name]);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        bench.left_nothing();
        let story = bench.story();
        assert!(story.contains("dump=Failed :commit=NotRun verify=NotRun") && story.ends_with("tell=Done Cancelled"), "{story}");
        let told = std::fs::read_to_string(bench.path("told.ndjson")).unwrap();
        let told: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        assert_eq!(told["outcome"], "cancelled", "{told}");
    }
    assert_eq!(std::fs::read_to_string(bench.path("told.ndjson")).unwrap().lines().count(), 2);
}

#[test]
fn apply_stopped_while_it_verifies_keeps_the_restore_point_and_says_so() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_restore", "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac; touch @/restoring; sleep 100");
    let mut running = bench.start();
    running.wait_until("the restore", |_| bench.path("restoring").exists());
    running.signal(Signal::INT);
    let ran = running.end();
    ran.is(130, &[]);
    bench.is_clean();
    assert_eq!(bench.points().len(), 1);
    let receipt = bench.receipt();
    assert!(receipt.failure.is_some() && receipt.level <= runner::store::manifest::Level::Decoded, "{receipt:?}");
    assert!(matches!(bench.journal().last().unwrap().what, What::RunEnded { outcome: Outcome::Cancelled, .. }));
    assert!(ran.stdout.contains("restore point"), "{}", ran.stdout);
}

#[test]
fn apply_stopped_in_the_middle_of_an_s3_upload_aborts_it() {
    let (server, weed, client) = (shop(20), S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&weed.endpoint()));
    let proxy = FaultyS3::before(weed.address, vec![rule("PUT", "partNumber=2", u32::MAX, Fault::Hang)]);
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let endpoint = proxy.endpoint();
    bench.pipeline(
        &server,
        &format!(
            "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud }} }}
"
        ),
    );
    let mut running = bench.start();
    running.wait_until("the second part", |_| proxy.seen("partNumber=2") > 0);
    running.signal(Signal::TERM);
    running.end().is(143, &[]);
    assert_eq!(keys(&direct), Vec::<String>::new());
    assert_eq!(direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "an unfinished upload is left");
    bench.is_clean();
    drop(client);
}

#[test]
fn apply_stopped_before_an_attempt_that_only_warns_warns() {
    let (bench, server) = (Bench::new(), shop(1));
    let steps = "steps:
  - { id: dump, uses: dump, on_failure: warn, retry: { attempts: 3, backoff: 100s }, with: { connection: shop } }
  - { id: upload, uses: upload, on_failure: warn, with: { store: vault } }
";
    bench.pipeline(&server, steps);
    bench.program("pg_dump", "echo 'server closed the connection unexpectedly' >&2; exit 1");
    let mut running = bench.start();
    running.wait_until("the wait", |events| holds(events, "attempt-failed", "dump"));
    running.signal(Signal::TERM);
    running.end().is(143, &[]);
    assert!(bench.story().contains("dump=Warned"), "{}", bench.story());
}

#[test]
fn apply_tries_again_only_once_there_is_room() {
    let (bench, server) = (Bench::new(), shop(1));
    let two = |id: &str| {
        format!(
            "  - {{ id: {id}, uses: dump, needs: [], retry: {{ attempts: 2, backoff: 100ms }}, with: {{ connection: shop }} }}\n  - {{ id: {id}-up, uses: upload, with: {{ store: vault, key: \"{{{{ run.id }}}}-{id}.dump\" }} }}\n"
        )
    };
    bench.pipeline(&server, &format!("steps:\n{}{}", two("one"), two("two")));
    let fails = "mkdir @/failed 2>/dev/null && { echo 'server closed the connection unexpectedly' >&2; exit 1; }";
    bench.program("pg_dump", &format!("{fails}; sleep 3; exec \"$REAL\" \"$@\""));
    let ran = bench.apply_command().args(["--parallel", "1"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut at_once = 0_i32;
    for event in bench.journal() {
        match event.what {
            What::NodeStarted { .. } => at_once += 1,
            What::NodeEnded { .. } | What::AttemptFailed { .. } => at_once -= 1,
            _ => {}
        }
        assert!(at_once <= 1, "{}", bench.story());
    }
}

#[test]
fn apply_stopped_twice_waits_for_nobody() {
    let (bench, server) = (Bench::new(), shop(1));
    // A server that takes the notification and never answers: the run that always tells waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    bench.pipeline(&server, &STEPS.replace("file: { path: @/told.ndjson }", &format!("webhook: {{ url: \"{url}\" }}")));
    bench.program("pg_dump", HANGING);
    let mut running = bench.start();
    running.wait_until("the upload", |_| is_uploading(&bench));
    running.signal(Signal::TERM);
    running.wait_until("the notification", |events| holds(events, "node-started", "tell"));
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    running.signal(Signal::INT);
    running.end().is(130, &["stopping at once"]);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    bench.left_nothing();
    assert!(matches!(bench.journal().last().unwrap().what, What::RunEnded { outcome: Outcome::Cancelled, .. }));
}

#[test]
fn apply_that_is_told_to_stop_while_a_check_runs_does_not_wait_for_the_answer() {
    let server = shop(1);
    let bench = Bench::new();
    bench.pipeline(
        &server,
        "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: verify, uses: verify-restore, with: { checks: [ { sql: \"select pg_sleep(300) is not null\" } ] } }
",
    );
    let mut running = bench.start();
    running.wait_until("the check", |events| holds(events, "node-started", "verify:check"));
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    running.signal(Signal::TERM);
    let ran = running.end();
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    ran.is(143, &["SIGTERM"]);
    assert_eq!(bench.points().len(), 1, "what was committed before stays");
    bench.is_clean();
}
