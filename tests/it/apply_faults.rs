//! Dumps that die, hang or lie, and stores that fail: the right exit code and words, and nothing left that looks whole.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use runner::event::{Outcome, State, What};
use runner::store::ObjectStore as _;

use crate::apply_support::{Bench, MAJOR, NAME, Ran, files, keys, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, Rule, rule};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};
use crate::servers::small_disk::SmallDisk;

/// A dump through every kind of filter; two attempts, so that a retry which must not happen would be seen.
const STEPS: &str = "
defaults: { retry: { attempts: 2, backoff: 100ms } }
steps:
  - { id: dump, uses: dump, stall: 30s, with: { connection: shop } }
  - { id: compress, uses: compress, with: { codec: zstd, level: 1 } }
  - { id: checksum, uses: checksum, with: {} }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// Runs [`STEPS`] with this `pg_dump`, and demands a failure of the dump that left nothing.
#[track_caller]
fn fails(bench: &Bench, server: &TestServer, script: &str, code: i32, words: &[&str]) -> Ran {
    bench.pipeline(server, STEPS);
    bench.program("pg_dump", script);
    let ran = bench.apply();
    ran.is(code, words);
    bench.left_nothing();
    assert!(bench.points().is_empty());
    assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed", "the journal tells it, and nothing was tried again");
    let told = bench.journal().into_iter().find_map(|event| match event.what {
        What::NodeEnded { state: State::Failed, error, .. } => error,
        _ => None,
    });
    let told = told.unwrap();
    assert!(words.iter().all(|word| told.message.contains(word)), "{told:?} lacks one of {words:?}");
    ran
}

#[test]
fn apply_leaves_nothing_of_a_dump_that_dies() {
    let (bench, server) = (Bench::new(), shop(2));
    let table = [
        (
            "\"$REAL\" \"$@\" | head -c 700000; echo 'pg_dump: error: 디스크 고장' >&2; exit 3",
            "exited with status 3 after 700000 bytes: pg_dump: error: 디스크 고장",
        ),
        // All of the dump came, and still the program failed.
        ("\"$REAL\" \"$@\"; exit 1", "pg_dump exited with status 1 after"),
        ("\"$REAL\" \"$@\" | head -c 700000; kill -9 $$", "pg_dump was killed by signal 9 after 700000 bytes"),
        // The last byte came long before the failure.
        ("\"$REAL\" \"$@\"; exec >&-; sleep 1; exit 4", "pg_dump exited with status 4"),
        // Out of memory on the server: an error, but none that passes by itself.
        ("\"$REAL\" \"$@\" | head -c 10; echo 'pg_dump: error: query failed: ERROR:  out of memory' >&2; exit 1", "out of memory"),
    ];
    for (script, words) in table {
        fails(&bench, &server, script, 10, &[words]);
    }
}

#[test]
fn apply_takes_no_empty_dump_for_a_restore_point() {
    let (bench, server) = (Bench::new(), shop(1));
    fails(&bench, &server, "exit 0", 10, &["pg_dump", "not one byte"]);
    // Words instead of an archive: a wrapper's greeting, an error page.
    fails(&bench, &server, "echo 'Welcome to db1'; exit 0", 10, &["pg_dump", "custom", "PGDMP"]);
    fails(&bench, &server, "\"$REAL\" \"$@\" | tail -c +2", 10, &["pg_dump", "custom", "PGDMP"]);
    for format in ["plain", "tar", "directory"] {
        bench.pipeline(&server, &STEPS.replace("connection: shop", &format!("connection: shop, format: {format}")));
        bench.program("pg_dump", "exit 0");
        let ran = bench.apply();
        ran.is(10, &["pg_dump"]);
        bench.left_nothing();
    }
    // The same with a plain dump that was cut, by a tool that does not notice: its last line is missing.
    bench.pipeline(&server, &STEPS.replace("connection: shop", "connection: shop, format: plain"));
    bench.program("pg_dump", "\"$REAL\" \"$@\" | head -c 700000");
    bench.apply().is(10, &["pg_dump", "plain"]);
    bench.left_nothing();
    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    for format in ["plain", "tar", "directory", "custom"] {
        bench.pipeline(&server, &STEPS.replace("connection: shop", &format!("connection: shop, format: {format}")));
        bench.apply().is(0, &[]);
    }
}

#[test]
fn apply_ends_a_dump_that_hangs_at_its_stall_limit_and_at_its_timeout() {
    let (bench, server) = (Bench::new(), shop(1));
    for (limit, words) in [("stall: 2s", "no bytes moved for 2s"), ("stall: 30s, timeout: 2s", "longer than its timeout of 2s")] {
        let steps = STEPS.replace("stall: 30s", limit).replace("attempts: 2", "attempts: 1");
        // The chain's limits are the sink's, but for the timeout, of which the strictest counts.
        bench.pipeline(&server, &steps.replace("id: upload, uses: upload,", &format!("id: upload, uses: upload, {limit},")));
        // Its child ignores the polite signal, so its whole group must be killed.
        bench.program("pg_dump", "\"$REAL\" \"$@\" | head -c 300000; trap '' TERM; sleep 120 & wait; sleep 120");
        let began = Instant::now();
        bench.apply().is(75, &[words]);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        bench.left_nothing();
        assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed");
    }
}

#[test]
fn apply_tries_again_only_what_may_pass() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    let lost = "pg_dump: error: query failed: server closed the connection unexpectedly";
    let once = format!(
        "if mkdir @/first 2>/dev/null; then \"$REAL\" \"$@\" | head -c 500000; echo '{lost}' >&2; exit 1; fi; exec \"$REAL\" \"$@\""
    );
    bench.program("pg_dump", &once);
    bench.apply().is(0, &["server closed the connection"]);
    assert_eq!(bench.story(), "run dump#1 dump#1=again dump#2 dump=Done :commit#1 :commit=Done Done");
    let points = bench.points();
    assert_eq!(points.len(), 1);
    let manifest = bench.manifest(&points[0]);
    assert_eq!(
        files(&bench.path("store")).len(),
        7,
        "the object, its digest, its fingerprint, the recipe, the manifest and the kit: nothing of the first attempt"
    );
    assert!(
        manifest.artifacts[0].origin.bytes > 1_000_000,
        "the second attempt's own bytes are counted: {}",
        manifest.artifacts[0].origin.bytes
    );
    bench.is_clean();
    // And one that never comes back is told as what it is: try later.
    bench.program("pg_dump", &format!("echo '{lost}' >&2; exit 1"));
    bench.apply().is(75, &["server closed the connection"]);
    assert_eq!(bench.story(), "run dump#1 dump#1=again dump#2 dump=Failed :commit=NotRun Failed");
    assert_eq!(bench.points().len(), 1);
    bench.is_clean();
}

#[test]
fn apply_says_which_program_is_missing() {
    let (bench, server) = (Bench::new(), shop(1));
    // It was there when the run was planned.
    let ran = fails(&bench, &server, "exit 1", 10, &["pg_dump exited with status 1"]);
    assert!(!ran.stderr.contains("there is no program"));
    let gone = format!("#!/bin/sh\nrm -f '{}'\necho 'pg_dump (PostgreSQL) {MAJOR}.1'\n", bench.path("bin/pg_dump").display());
    std::fs::write(bench.path("bin/pg_dump"), gone).unwrap();
    let ran = bench.apply();
    ran.is(69, &["starting pg_dump: there is no program", "bin/pg_dump"]);
    bench.left_nothing();
    assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed");
}

#[test]
fn apply_plans_no_dump_by_a_program_older_than_the_server() {
    let bench = Bench::new();
    let server = TestServer::start(18);
    server.psql("postgres", "create database shop");
    bench.pipeline(&server, STEPS);
    // Only this folder's 16 and what the machine itself has are known; PATH leads to neither.
    let newest = bench.run(&["plan", "pipeline.yaml"]);
    newest.is(69, &[]);
    let said = format!("{}{}", newest.stdout, newest.stderr);
    assert!(said.contains("install postgresql-client-18"), "{said}");
    let ran = bench.apply();
    ran.is(69, &["the server is PostgreSQL 18", "install postgresql-client-18"]);
    bench.left_nothing();
    assert!(files(&bench.state()).is_empty(), "nothing ran, so there is no journal");
}

#[test]
fn apply_on_a_full_disk_leaves_room_and_no_object() {
    let server = shop(8);
    SmallDisk::run("apply_faults::apply_on_a_full_disk_leaves_room_and_no_object", |disk| {
        let bench = Bench::new();
        bench.pipeline(&server, &STEPS.replace("codec: zstd, level: 1", "codec: none"));
        let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
        let place = bench.path("store").display().to_string();
        bench.text(&yaml.replace(&place, &format!("{}/vault", disk.display())));
        bench.apply().is(10, &["No space left on device", "with 0 bytes free", "make room"]);
        assert_eq!(files(disk), Vec::<std::path::PathBuf>::new());
        bench.is_clean();
        assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed");
        let free = rustix::fs::statvfs(disk).unwrap();
        assert!(free.f_bavail * free.f_frsize > 3_900_000, "the room is free again");
    });
}

#[test]
fn apply_on_a_full_state_folder_stops_and_leaves_nothing() {
    let server = shop(2);
    SmallDisk::run("apply_faults::apply_on_a_full_state_folder_stops_and_leaves_nothing", |disk| {
        let bench = Bench::new();
        bench.pipeline(&server, STEPS);
        // The dump fills the disk under the journal, down to the last page that the journal has, and goes on as if nothing was.
        let fill = format!(
            "for f in {0}/state/runs/{NAME}/*.ndjson; do head -c $((4096 - $(stat -c %s \"$f\") % 4096)) /dev/zero | tr '\\0' ' ' >> \"$f\"; done
             dd if=/dev/zero of={0}/filler bs=4k 2>/dev/null; exec \"$REAL\" \"$@\"",
            disk.display()
        );
        bench.program("pg_dump", &fill);
        let mut command = bench.command(&["apply", "pipeline.yaml", "--state-dir"]);
        let output = command.arg(disk.join("state")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("No space left") && stderr.contains(&disk.join("state").display().to_string()), "{stderr}");
        assert!(bench.points().is_empty(), "a run nobody can account for commits nothing");
        bench.is_clean();
    });
}

#[test]
fn apply_to_a_folder_that_can_not_be_written_dumps_nothing() {
    let server = shop(1);
    SmallDisk::run("apply_faults::apply_to_a_folder_that_can_not_be_written_dumps_nothing", |disk| {
        let bench = Bench::new();
        bench.pipeline(&server, STEPS);
        bench.program("pg_dump", "touch @/dumped; exec \"$REAL\" \"$@\"");
        let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
        bench.text(&yaml.replace(&bench.path("store").display().to_string(), &format!("{}/vault", disk.display())));
        let remount = |how: &str| Command::new("mount").args(["-o", how]).arg(disk).status().unwrap().success();
        assert!(remount("remount,ro"), "a tmpfs can be mounted again as read-only");
        bench.apply().is(77, &["store vault", "Read-only file system", "mount it for writing"]);
        assert!(!bench.path("dumped").exists(), "found out before a byte was dumped");
        bench.is_clean();
        assert!(remount("remount,rw"));
    });
}

#[test]
fn apply_never_overwrites_a_key() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, &STEPS.replace("{{ run.id }}.dump.zst", "{{ run.month }}.dump.zst"));
    bench.apply().is(0, &[]);
    let kept = files(&bench.path("store"));
    let object = kept.iter().find(|path| path.to_string_lossy().ends_with(".dump.zst")).unwrap();
    let before = std::fs::read(object).unwrap();
    server.psql("shop", "insert into lines values (1000)");
    bench.apply().is(10, &[".dump.zst", "exists", "add {{ run.id }} to the key"]);
    assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed");
    assert!(before == std::fs::read(object).unwrap(), "the first run's object changed");
    assert_eq!(files(&bench.path("store")), kept);
    assert_eq!(bench.points().len(), 1);
    bench.is_clean();
}

const PART: &str = "partNumber=2";
const COMPLETE: &str = "uploadId=";

/// Runs a dump of three parts into S3 through faults; demands that the bucket is as empty afterwards as before.
fn to_s3(table: Vec<(Vec<Rule>, i32, &[&str])>) {
    let (server, weed, client) = (shop(20), S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&weed.endpoint()));
    for (rules, code, words) in table {
        let name = format!("{rules:?}");
        let proxy = FaultyS3::before(weed.address, rules);
        let mut bench = Bench::new();
        bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
        bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        bench.pipeline(&server, &s3_steps(&proxy));
        let ran = bench.apply();
        assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
        ran.is(code, words);
        assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed", "{name}");
        assert_eq!(keys(&direct), Vec::<String>::new(), "{name}: an object is left");
        assert_eq!(direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "{name}: an unfinished upload is left");
        bench.is_clean();
    }
    drop(client);
}

fn s3_steps(proxy: &FaultyS3) -> String {
    let endpoint = proxy.endpoint();
    format!(
        "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
defaults: {{ retry: {{ attempts: 1 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud, key: \"{{{{ run.id }}}}.dump\" }} }}
"
    )
}

#[test]
fn apply_to_s3_that_cuts_or_refuses_a_part_leaves_nothing() {
    to_s3(vec![
        (vec![rule("PUT", PART, u32::MAX, Fault::CutRequest(1_000_000))], 75, &[]),
        (vec![rule("PUT", PART, u32::MAX, Fault::Answer(403, "AccessDenied"))], 77, &["AccessDenied"]),
    ]);
}

#[test]
fn apply_to_s3_that_fails_on_completion_leaves_nothing() {
    to_s3(vec![
        (vec![rule("POST", COMPLETE, u32::MAX, Fault::Answer(500, "InternalError"))], 75, &["InternalError"]),
        (vec![rule("POST", COMPLETE, u32::MAX, Fault::ErrorInside)], 75, &["InternalError"]),
    ]);
}

#[test]
fn apply_to_s3_whose_manifest_can_not_be_read_back_does_not_deny_the_restore_point() {
    let (server, weed, client) = (shop(1), S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&weed.endpoint()));
    let proxy = FaultyS3::before(weed.address, vec![rule("GET", "manifest.json", u32::MAX, Fault::Answer(403, "AccessDenied"))]);
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    bench.pipeline(&server, &s3_steps(&proxy));
    bench.apply().is(77, &["its commit was not confirmed: `runner list` tells whether it is a restore point"]);
    assert_eq!(runner::store::commit::points(&direct, &NAME.parse().unwrap()).unwrap().len(), 1);
    bench.is_clean();
    drop(client);
}

#[test]
fn apply_to_s3_whose_manifest_is_refused_has_no_restore_point() {
    let (server, weed, client) = (shop(1), S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&weed.endpoint()));
    let proxy = FaultyS3::before(weed.address, vec![rule("PUT", "manifest.json", u32::MAX, Fault::Answer(403, "AccessDenied"))]);
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    bench.pipeline(&server, &s3_steps(&proxy));
    bench.apply().is(77, &["AccessDenied", "stored but not committed, so it is no restore point"]);
    assert_eq!(bench.story(), "run dump#1 dump=Done :commit#1 :commit=Failed Failed");
    let all = keys(&direct).into_iter();
    // The recipe goes before the commit, and is no restore point either.
    let left: Vec<String> = all.filter(|key| !key.ends_with(".recipe.txt")).collect();
    assert_eq!(left.len(), 2, "the object and its fingerprint: {left:?}");
    assert!(Path::new(&left[0]).extension().is_some_and(|ending| ending == "dump"), "{left:?}");
    assert_eq!(runner::store::commit::points(&direct, &NAME.parse().unwrap()).unwrap(), []);
    assert!(
        matches!(&bench.journal().last().unwrap().what, What::RunEnded { outcome: Outcome::Failed, left: told, .. } if told[0].contains(&left[0]))
    );
    bench.is_clean();
    drop(client);
}
