//! `runner resume` of real dumps: what a dead attempt left in a store is removed, what was stored is not stored again, and a run whose
//! objects are not there any more, or that another has ruled out, is refused.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::Path;
use std::time::Duration;

use runner::store::ObjectStore as _;
use runner::store::commit::points;
use runner::store::manifest::Level;
use rustix::process::Signal;

use crate::apply_support::{Bench, NAME, Ran, files, keys, shop};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

const STEPS: &str = "
concurrency: { ttl: 2s }
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

const VERIFY: &str = "  - { id: verify, uses: verify-restore }
  - { id: tell, uses: notify, when: always, with: { file: { path: @/told.ndjson } } }
";

/// The first dump sends a part, and the rest only when a file is there; half a minute later it gives up.
fn held_back(bytes: u32) -> String {
    format!(
        "if mkdir @/first 2>/dev/null; then \"$REAL\" \"$@\" | {{ head -c {bytes}; for n in $(seq 300); do [ -e @/go ] && break; sleep 0.1; done; cat; }}; else exec \"$REAL\" \"$@\"; fi"
    )
}

fn is_uploading(bench: &Bench) -> bool {
    files(&bench.path("store")).iter().any(|path| path.extension().is_some_and(|ending| ending == "partial"))
}

/// Kills a run in the middle of its upload.
fn killed(bench: &Bench, uploads: impl Fn() -> bool) {
    let mut run = bench.start();
    run.wait_until("the upload", |_| uploads());
    run.signal(Signal::KILL);
    run.end();
}

/// Resumes with the state folder of the last run.
fn resume(bench: &Bench, run: &str) -> Ran {
    bench.run(&["resume", run, "--state-dir", bench.state().to_str().unwrap()])
}

fn run_of(bench: &Bench) -> String {
    bench.journal()[0].run.to_string()
}

fn verified(server: &TestServer) -> Bench {
    let bench = Bench::new();
    bench.pipeline(server, &format!("{STEPS}{VERIFY}"));
    bench
}

/// How often the run has dumped; the proof of a verification is no dump.
fn dumps(bench: &Bench) -> usize {
    bench.story().split(' ').filter(|told| told.starts_with("dump#")).count()
}

#[test]
fn resume_removes_a_half_written_file_and_writes_it_anew() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", &held_back(500_000));
    killed(&bench, || is_uploading(&bench));
    let ran = resume(&bench, "latest");
    ran.is(0, &["nothing done, dump, :commit to do", "removed an unfinished object of this run"]);
    assert!(!is_uploading(&bench));
    let points = bench.points();
    assert_eq!((points.len(), points[0].run.to_string()), (1, run_of(&bench)));
    // The lease was taken by another process of the same run.
    assert_eq!(bench.manifest(&points[0]).fences.values().copied().collect::<Vec<_>>(), [2]);
    std::fs::write(bench.path("go"), "").unwrap();
    bench.is_clean();
    // Where no lease notes the keys, the plan tells them.
    let bench = Bench::new();
    bench.pipeline(&server, &STEPS.replace("ttl: 2s", "lease: false"));
    bench.program("pg_dump", &held_back(500_000));
    killed(&bench, || is_uploading(&bench));
    resume(&bench, "latest").is(0, &["removed an unfinished object of this run"]);
    assert!(!is_uploading(&bench) && bench.points().len() == 1);
}

#[test]
fn resume_aborts_an_upload_in_parts_and_begins_another() {
    let (mut bench, server, weed, client) = (Bench::new(), shop(20), S3Server::seaweed(), Client::new());
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let cloud = format!(
        "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
        weed.endpoint()
    );
    bench.pipeline(&server, &format!("{cloud}{}", STEPS.replace("store: vault", "store: cloud")));
    bench.program("pg_dump", &held_back(18_000_000));
    let raw = Client::raw(&weed);
    let unfinished = || {
        let listed = client.runtime.block_on(raw.list_multipart_uploads().bucket(BUCKET).send()).unwrap();
        listed.uploads().len()
    };
    killed(&bench, || unfinished() > 0);
    assert_eq!(unfinished(), 1, "the dead one could not abort it");
    resume(&bench, "latest").is(0, &["removed an unfinished object of this run"]);
    assert_eq!(unfinished(), 0);
    let direct = client.store(&spec(&weed.endpoint()));
    let run = run_of(&bench);
    assert_eq!(points(&direct, &NAME.parse().unwrap()).unwrap()[0].run.to_string(), run);
    assert_eq!(keys(&direct).iter().filter(|key| Path::new(key).extension().is_some_and(|ending| ending == "dump")).count(), 1);
    assert_eq!(direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}

#[test]
fn resume_behind_a_failed_verification_dumps_nothing_again_and_tells_of_the_good_end() {
    let (server, told) = (shop(1), |bench: &Bench| std::fs::read_to_string(bench.path("told.ndjson")).unwrap());
    let bench = verified(&server);
    bench.program("pg_restore", "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac; echo 'No space left on device' >&2; exit 1");
    let failed = bench.apply();
    assert_ne!(failed.code, 0, "{}", failed.stderr);
    assert!(failed.stderr.contains("what is done stays done: runner resume"), "{}", failed.stderr);
    bench.program("pg_restore", "exec \"$REAL\" \"$@\"");
    let run = run_of(&bench);
    resume(&bench, &run).is(0, &["dump, :commit done, verify, verify:check, verify:finish, tell to do"]);
    assert_eq!((dumps(&bench), bench.points().len()), (1, 1));
    assert!(bench.story().ends_with("tell=Done Failed resumed verify#1 verify=Done verify:check#1 verify:check=Done verify:finish#1 verify:finish=Done tell#1 tell=Done Done"), "{}", bench.story());
    let last = told(&bench).lines().last().unwrap().to_owned();
    assert!(last.contains("\"outcome\":\"success\"") && last.contains("\"level\":\"proven\""), "{last}");
    assert_eq!(
        runner::store::commit::level(
            &bench.manifest(&bench.points()[0]),
            &runner::store::commit::receipts(&bench.vault(), &NAME.parse().unwrap(), &bench.points()[0].run).unwrap().read
        ),
        Level::Proven
    );
    bench.is_clean();
}

#[test]
fn resume_refuses_when_what_was_stored_is_gone() {
    let server = shop(1);
    let bench = verified(&server);
    bench.program("pg_restore", "exit 1");
    assert_ne!(bench.apply().code, 0);
    bench.program("pg_restore", "exec \"$REAL\" \"$@\"");
    let run = run_of(&bench);
    let object = files(&bench.path("store")).into_iter().find(|path| path.extension().is_some_and(|ending| ending == "dump")).unwrap();
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    resume(&bench, &run).is(13, &[".dump is no longer in", "runner apply"]);
    std::fs::write(&object, &bytes[1..]).unwrap();
    resume(&bench, &run).is(13, &[".dump in", "and had"]);
    std::fs::write(&object, &bytes).unwrap();
    let manifest = bench.path("store").join(&bench.points()[0].key);
    let text = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    resume(&bench, &run).is(13, &["its restore point is no longer in"]);
    std::fs::write(&manifest, text).unwrap();
    resume(&bench, &run).is(0, &[]);
    assert_eq!(dumps(&bench), 1);
}

#[test]
fn resume_refuses_a_run_that_another_has_ruled_out_and_names_that_one() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", &held_back(500_000));
    killed(&bench, || is_uploading(&bench));
    let (killed, state) = (run_of(&bench), bench.state());
    // Another host: a state folder of its own.
    bench.apply().is(0, &["taking over the lease `orders`"]);
    let other = run_of(&bench);
    let before = files(&bench.path("store"));
    let ran = bench.run(&["resume", &killed, "--state-dir", state.to_str().unwrap()]);
    ran.is(13, &["it was ruled out by run ", &other, "runner apply"]);
    assert_eq!(files(&bench.path("store")), before);
}

#[test]
fn apply_resume_goes_on_with_the_same_pipeline_and_starts_anew_with_another() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    let go_on = || bench.run(&["apply", "pipeline.yaml", "--resume", "--state-dir", bench.state().to_str().unwrap()]);
    for changed in [false, true] {
        let _again = std::fs::remove_dir(bench.path("first"));
        bench.program("pg_dump", &held_back(500_000));
        killed(&bench, || is_uploading(&bench));
        let run = run_of(&bench);
        if changed {
            bench.pipeline(&server, &format!("{STEPS}\n# changed"));
        }
        let ran = go_on();
        ran.is(0, &[]);
        assert_eq!(ran.stderr.contains("has changed since") && ran.stderr.contains("a new one starts"), changed, "{}", ran.stderr);
        assert_eq!(bench.points()[0].run.to_string() == run, !changed);
        assert!(!is_uploading(&bench), "what the dead one left is gone in any case");
    }
    // With nothing to go on with it is an apply.
    go_on().is(0, &[]);
    assert_eq!(bench.points().len(), 3);
}
