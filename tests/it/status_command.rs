//! `runner status` as it is used: on stores with points of known times, each objective missed on its own, and its answers in every form.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use runner::store::PutOptions;
use runner::store::failed::add_failed;
use runner::store::local::LocalStore;
use runner::store::manifest::Level;
use runner::store::{ObjectStore as _, manifest::manifest_key};
use serde_json::Value;

use crate::apply_support::{Bench, Ran};
use crate::status_reading::word;
use crate::store_conformance::local_spec;
use crate::store_shelf::{PIPELINE, Point, point, run};

/// A pipeline with these objectives that uploads to one store, or to several.
fn text(head: &str, stores: &[&str]) -> String {
    let declared = stores.iter().map(|store| format!("  {store}: {{ local: {{ path: @/{store} }} }}\n")).collect::<Vec<_>>().concat();
    let uploads = stores
        .iter()
        .map(|store| {
            format!(
                "  - {{ id: dump-{store}, uses: dump, needs: [], with: {{ connection: shop }} }}\n  - {{ id: to-{store}, uses: upload, with: {{ store: {store}, key: \"{{{{ run.id }}}}.dump\" }} }}\n"
            )
        })
        .collect::<Vec<_>>()
        .concat();
    // Nobody answers there: a status needs no database.
    let shop = "  shop: { postgres: { host: 127.0.0.1, port: 1, user: nobody, database: shop } }\n";
    format!("version: 1\nname: {PIPELINE}\n{head}connections:\n{shop}stores:\n{declared}steps:\n{uploads}")
}

/// A bench whose pipeline has these objectives, with points of so many hours ago in its store, all of a level.
fn bench(objectives: &str, hours: &[i64], level: Level) -> (Bench, LocalStore) {
    let bench = Bench::new();
    bench.text(&text(&format!("objectives: {{ {objectives} }}\n"), &["vault"]));
    let store = shelf(&bench, "vault");
    for hours in hours {
        Point { level: Some(level), ..point(*hours) }.put(&store);
    }
    (bench, store)
}

fn shelf(bench: &Bench, name: &str) -> LocalStore {
    LocalStore::open(&local_spec(&bench.path(name))).unwrap()
}

fn status(bench: &Bench, more: &[&str]) -> Ran {
    bench.run(&[&["status", "pipeline.yaml"], more].concat())
}

fn json(bench: &Bench) -> (i32, Value) {
    let ran = status(bench, &["--format", "json"]);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr)))
}

/// The objectives that are missed, and the exit code.
fn missed(bench: &Bench) -> (i32, Vec<String>) {
    let (code, json) = json(bench);
    let missed = json["statuses"][0]["missed"].as_array().unwrap();
    (code, missed.iter().map(|miss| miss["objective"].as_str().unwrap().to_owned()).collect())
}

fn only(name: &str) -> (i32, Vec<String>) {
    (20, vec![name.to_owned()])
}

#[test]
fn a_pipeline_that_meets_its_objectives_is_ok_without_its_database() {
    let (bench, _store) =
        bench("rpo: 26h, verified_every: 7d, copies: 1, min_size: 1 kB, max_shrink: 30%", &[2, 26, 50, 74], Level::Proven);
    let ran = status(&bench, &[]);
    ran.is(0, &[]);
    for words in
        ["주문-야간  ● ok", "proven, 2 h 00 m old; RPO 1d 2h", "the newest, 2 h 00 m ago; every 7d", "1 of 1, in vault", "not measured"]
    {
        assert!(ran.stdout.contains(words), "{words:?} is missing in:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("  ! ") && !ran.stdout.contains("  ~ "), "{}", ran.stdout);
}

#[test]
fn without_a_restore_point_the_status_is_missed_and_says_what_to_do() {
    let (bench, _store) = bench("rpo: 26h", &[], Level::Stored);
    let ran = status(&bench, &[]);
    ran.is(20, &[]);
    assert!(ran.stdout.contains("● MISSED") && ran.stdout.contains("! there is no restore point that can be used"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("→ runner doctor {PIPELINE}, then: runner apply {PIPELINE}")), "{}", ran.stdout);
    assert_eq!(missed(&bench), only("point"));
}

#[test]
fn the_newest_point_is_older_than_the_rpo() {
    assert_eq!(missed(&bench("rpo: 26h", &[27, 51], Level::Proven).0), only("rpo"));
    assert_eq!(missed(&bench("rpo: 26h", &[25, 51], Level::Stored).0), (0, vec![]));
}

#[test]
fn nothing_was_proven_for_longer_than_it_may_be() {
    let (bench, store) = bench("verified_every: 7d", &[1], Level::Decoded);
    assert_eq!(missed(&bench), only("verified_every"));
    Point { level: Some(Level::Proven), ..point(24 * 8) }.put(&store);
    let ran = status(&bench, &[]);
    assert!(ran.stdout.contains("! the newest proof is 8 d 00 h old; there must be one every 7d"), "{}", ran.stdout);
    Point { level: Some(Level::Proven), ..point(24 * 6) }.put(&store);
    assert_eq!(missed(&bench), (0, vec![]));
}

#[test]
fn a_newest_point_that_is_known_to_be_damaged_does_not_meet_the_rpo() {
    let (bench, store) = bench("rpo: 26h", &[], Level::Proven);
    let (new, old) = (point(1), Point { level: Some(Level::Proven), ..point(27) });
    for point in [&new, &old] {
        point.put(&store);
    }
    assert_eq!(missed(&bench), (0, vec![]));
    new.condemn(&store);
    assert_eq!(missed(&bench), only("rpo"));
    let told = status(&bench, &[]).stdout;
    assert!(
        told.contains(&format!("~ the restore point {} can not be used: a verification found its content wrong: rows differ", new.run)),
        "{told}"
    );
    let metrics = status(&bench, &["--format", "prometheus"]).stdout;
    let success = format!("runner_backup_last_success_timestamp_seconds{{pipeline=\"{PIPELINE}\"}} {}\n", old.run.started().as_second());
    assert!(metrics.contains(&success), "{success} is missing in:\n{metrics}");
    // Verified again, it counts again.
    runner::store::commit::add_receipt(&store, &new.receipt(Level::Proven, None)).unwrap();
    assert_eq!(missed(&bench), (0, vec![]));
}

#[test]
fn the_measured_recovery_took_longer_than_the_rto() {
    let (bench, store) = bench("rto: 1h", &[], Level::Stored);
    let there = point(1);
    there.put(&store);
    let (code, answer) = json(&bench);
    assert_eq!((code, &answer["statuses"][0]["light"]), (0, &"look".into()), "nobody has measured it: {answer}");
    let receipt = serde_json::json!({
        "version": 1, "run": there.run, "pipeline": PIPELINE, "step": "verify", "key": there.key, "level": "proven", "failure": null,
        "started": there.run.started(), "finished": there.run.started(), "server_version": null, "restore_took": null, "database_bytes": null,
        "tables": [], "checks": [], "recovery": { "took": { "secs": 3700, "nanos": 0 }, "bytes": 1000 },
    });
    runner::store::commit::add_receipt(&store, &serde_json::from_value(receipt).unwrap()).unwrap();
    assert_eq!(missed(&bench), only("rto"));
    assert!(status(&bench, &[]).stdout.contains("recovery   1 h 01 m, measured; RTO 1h"));
}

#[test]
fn a_part_of_the_newest_point_lies_in_too_few_stores() {
    let bench = Bench::new();
    bench.text(&text("objectives: { copies: 2 }\n", &["vault", "mirror"]));
    let (vault, mirror) = (shelf(&bench, "vault"), shelf(&bench, "mirror"));
    let (new, old) = (point(1), point(25));
    new.put(&vault);
    old.put(&vault);
    old.put(&mirror);
    assert_eq!(missed(&bench), only("copies"));
    new.put(&mirror);
    assert_eq!(missed(&bench), (0, vec![]));
    assert!(status(&bench, &[]).stdout.contains("2 of 2, in vault, mirror"));
}

#[test]
fn the_newest_dump_is_too_small_or_much_smaller_than_those_before() {
    let (small, _store) = bench("min_size: 1 MB", &[1], Level::Stored);
    assert_eq!(missed(&small), only("min_size"));
    let (bench, store) = bench("max_shrink: 30%", &[26, 50, 74, 98], Level::Stored);
    assert_eq!(missed(&bench), (0, vec![]));
    // Its key, and so its content, is shorter than half of theirs.
    Point { key: "덤".to_owned(), ..point(1) }.put(&store);
    assert_eq!(missed(&bench), only("max_shrink"));
    let ran = status(&bench, &[]);
    assert!(ran.stdout.contains("it may be 30% smaller") && ran.stdout.contains(&format!("→ runner diff {PIPELINE}")), "{}", ran.stdout);
}

#[test]
fn a_store_that_does_not_answer_is_missed_and_the_others_are_shown() {
    let bench = Bench::new();
    bench.text(&text("objectives: { rpo: 26h }\n", &["vault", "mirror"]));
    let there = point(1);
    there.put(&shelf(&bench, "vault"));
    std::fs::write(bench.path("mirror"), "no folder").unwrap();
    let ran = status(&bench, &[]);
    ran.is(20, &[]);
    assert!(ran.stdout.contains("! mirror did not answer: ") && ran.stdout.contains(there.run.as_str()), "{}", ran.stdout);
    assert_eq!(missed(&bench), only("store"));
    let metrics = status(&bench, &["--format", "prometheus"]).stdout;
    assert!(metrics.contains(&format!("runner_backup_store_up{{pipeline=\"{PIPELINE}\",store=\"mirror\"}} 0\n")), "{metrics}");
    // A server that nobody answers for.
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    let local = format!("mirror: {{ local: {{ path: {} }} }}", bench.path("mirror").display());
    assert!(yaml.contains(&local));
    let cloud = "mirror: { s3: { bucket: b, endpoint: \"http://127.0.0.1:1\", path_style: true, region: ap-northeast-2 } }";
    bench.file("pipeline.yaml", &yaml.replace(&local, cloud));
    let asked =
        bench.command(&["status", "pipeline.yaml"]).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").output().unwrap();
    assert_eq!(asked.status.code(), Some(20));
    assert!(String::from_utf8_lossy(&asked.stdout).contains("! mirror did not answer: s3://b: "));
}

#[test]
fn failed_runs_and_what_can_not_be_read_are_worth_a_look() {
    let (bench, store) = bench("rpo: 26h", &[], Level::Proven);
    let (there, failed) = (point(5), run(2));
    there.put(&store);
    add_failed(&store, &word(&failed, "no route to host")).unwrap();
    let ran = status(&bench, &[]);
    ran.is(0, &[]);
    let said = format!("~ 1 run failed since the newest restore point; the last, {failed} on db1: dump: no route to host");
    assert!(ran.stdout.contains("● look") && ran.stdout.contains(&said), "{}", ran.stdout);
    store.put_bytes(&format!(".runner-leases/{PIPELINE}.json"), b"{}", &PutOptions::default()).unwrap();
    std::fs::write(bench.path("vault").join(manifest_key(&PIPELINE.parse().unwrap(), &there.run)), "{}").unwrap();
    let ran = status(&bench, &[]);
    ran.is(20, &[]);
    for words in ["can not be read as a lease", "! there is no restore point that can be used", "~ the restore point 2"] {
        assert!(ran.stdout.contains(words), "{words:?} is missing in:\n{}", ran.stdout);
    }
}

#[test]
fn clocks_that_are_ahead_are_told_and_harm_nothing() {
    let (bench, store) = bench("rpo: 26h, verified_every: 7d", &[-30, 2], Level::Proven);
    add_failed(&store, &word(&run(-50), "later")).unwrap();
    let ran = status(&bench, &[]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("is said to begin at") && ran.stdout.contains(", proven, 2 h 00 m old"), "{}", ran.stdout);
    status(&bench, &["--format", "prometheus"]).is(0, &[]);
}

#[test]
fn what_makes_no_restore_points_is_not_judged() {
    let bench = Bench::new();
    bench.text(
        "version: 1\nname: 훈련\nstores: { vault: { local: { path: @/vault } } }\nsteps:\n  - { id: verify, uses: verify-restore, with: { from: { store: vault, pipeline: 주문-야간 } } }\n",
    );
    let ran = status(&bench, &[]);
    ran.is(0, &[]);
    assert_eq!(ran.stdout, "훈련: no restore points are made, so there is nothing to judge\n");
    let (code, answer) = json(&bench);
    assert_eq!((code, answer), (0, serde_json::json!({ "version": 1, "statuses": [], "without_points": ["훈련"] })));
}

/// What differs from run to run, made one.
fn redacted(text: &str, bench: &Bench) -> String {
    let text = text.replace(&bench.path("").display().to_string(), "[bench]/").replace("[bench]//", "[bench]/");
    let word = |word: &str| {
        let bare = word.trim_matches(|c| matches!(c, '"' | ','));
        if bare.parse::<jiff::Timestamp>().is_ok() {
            word.replace(bare, "[time]")
        } else if bare.parse::<runner::ids::RunId>().is_ok() {
            word.replace(bare, "[run]")
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let line_ = line.trim_start().split(' ').map(word).collect::<Vec<_>>().join(" ");
        let line_ = line_.split_once("\"age_seconds\": ").map_or(line_.clone(), |_| "\"age_seconds\": [n],".to_owned());
        format!("{}{line_}", &line[..indent])
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_forms_of_a_status_are_what_they_were() {
    let (bench, _store) =
        bench("rpo: 1h, rto: 1h, verified_every: 7d, copies: 2, min_size: 1 kB, max_shrink: 30%", &[2, 26, 50, 74], Level::Proven);
    insta::assert_snapshot!("status_json", redacted(&status(&bench, &["--format", "json"]).stdout, &bench));
    insta::assert_snapshot!("status_markdown", redacted(&status(&bench, &["--format", "markdown"]).stdout, &bench));
    insta::assert_snapshot!("status_human", redacted(&status(&bench, &[]).stdout, &bench));
}

/// Demands that Prometheus' own tool has nothing to say of a text.
fn promtool(text: &str) {
    let tools = std::env::var_os("RUNNER_TEST_TOOLS").map_or_else(|| PathBuf::from("/var/cache/runner-tools"), PathBuf::from);
    let path = tools.join("bin/promtool");
    assert!(path.exists(), "{} is not there: run .ci/setup", path.display());
    let mut tool = Command::new(path);
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "promtool says: {said}\n{text}");
}

#[test]
fn metrics_are_valid_and_tell_nothing_of_what_never_was() {
    let (full, _store) =
        bench("rpo: 26h, rto: 1h, copies: 1, verified_every: 7d, min_size: 1 kB, max_shrink: 30%", &[2, 26, 50, 74], Level::Proven);
    let metrics = status(&full, &["--format", "prometheus"]).stdout;
    promtool(&metrics);
    let (_, answer) = json(&full);
    let started: jiff::Timestamp = answer["statuses"][0]["newest"]["started"].as_str().unwrap().parse().unwrap();
    for line in [
        format!("runner_backup_newest_data_timestamp_seconds{{pipeline=\"{PIPELINE}\"}} {}\n", started.as_second()),
        format!("runner_backup_level{{pipeline=\"{PIPELINE}\"}} 5\n"),
        format!("runner_backup_rpo_seconds{{pipeline=\"{PIPELINE}\"}} 93600\n"),
        format!("runner_backup_objective_missed{{pipeline=\"{PIPELINE}\",objective=\"rpo\"}} 0\n"),
        format!("runner_backup_copies{{pipeline=\"{PIPELINE}\"}} 1\n"),
    ] {
        assert!(metrics.contains(&line), "{line:?} is missing in:\n{metrics}");
    }
    let (empty, _store) = bench("rpo: 26h, rto: 1h, copies: 1, verified_every: 7d, min_size: 1 kB, max_shrink: 30%", &[], Level::Stored);
    let metrics = status(&empty, &["--format", "prometheus"]).stdout;
    promtool(&metrics);
    let missed = |objective: &str, value: &str| {
        format!("runner_backup_objective_missed{{pipeline=\"{PIPELINE}\",objective=\"{objective}\"}} {value}")
    };
    for objective in ["rpo", "copies", "verified_every"] {
        assert!(metrics.contains(&missed(objective, "1\n")), "{objective} is not missed in:\n{metrics}");
    }
    for unknown in ["rto", "min_size", "max_shrink"] {
        assert!(!metrics.contains(&missed(unknown, "")), "nobody can say of {unknown}:\n{metrics}");
    }
    assert!(metrics.contains(&format!("runner_backup_failed_runs{{pipeline=\"{PIPELINE}\"}} 0\n")), "{metrics}");
    let (down, _store) = bench("rpo: 26h", &[2], Level::Proven);
    std::fs::remove_dir_all(down.path("vault")).unwrap();
    std::fs::write(down.path("vault"), "no folder").unwrap();
    let metrics = status(&down, &["--format", "prometheus"]).stdout;
    assert!(metrics.contains(&missed("store", "1\n")) && !metrics.contains("failed_runs"), "{metrics}");
    for unknown in ["point", "rpo"] {
        assert!(!metrics.contains(&missed(unknown, "")), "nobody can say of {unknown}:\n{metrics}");
    }
    let told = status(&down, &[]);
    told.is(20, &[]);
    assert!(told.stdout.contains("! vault did not answer: ") && !told.stdout.contains("no restore point"), "{}", told.stdout);
    for never in ["last_attempt", "last_success", "last_proven", "newest_data", "_bytes", "backup_level", "backup_copies", "duration"] {
        assert!(!metrics.contains(never), "{never} is in:\n{metrics}");
    }
}

#[test]
fn the_textfile_is_replaced_whole_and_others_can_read_it() {
    let (bench, _store) = bench("rpo: 1h", &[2], Level::Proven);
    let path = bench.path("runner.prom");
    std::fs::write(&path, "old").unwrap();
    status(&bench, &["--textfile", path.to_str().unwrap()]).is(20, &[]);
    let metrics = std::fs::read_to_string(&path).unwrap();
    promtool(&metrics);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let beside: Vec<_> = std::fs::read_dir(bench.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(beside.iter().all(|name| !name.to_string_lossy().starts_with(".runner-")), "{beside:?}");
    status(&bench, &["--textfile", bench.path("gone/runner.prom").to_str().unwrap()]).is(1, &["the folder must be there"]);
    status(&bench, &["--textfile", bench.path("metrics.txt").to_str().unwrap()]).is(20, &["does not end in .prom"]);
}
